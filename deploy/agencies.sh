#!/bin/bash
# Every simulated agency, a process each; when one ends, all end and the container is started again.
set -euo pipefail
stems=$(python -c 'from hub.settings import get_settings
from sandbox.endpoints import provision
from schemas.contract import stems
for stem in stems():
    provision(stem, get_settings())
    print(stem)')
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT
for stem in $stems; do
    python -m sandbox.servers "$stem" &
done
wait -n
exit 1
