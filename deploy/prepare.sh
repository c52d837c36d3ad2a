#!/bin/sh
# Once per deployment: Airflow's database and one pool per agency, as the contracts say.
set -eu
airflow db migrate
pools=$(mktemp)
python -c 'import json
from schemas.contract import load_contracts
print(json.dumps({
    f"agency_{stem}": {"slots": c.delivery.pool_slots, "description": "calls to this agency at one time", "include_deferred": False}
    for stem, c in load_contracts().items()
}))' >"$pools"
airflow pools import "$pools"
rm -f "$pools"
