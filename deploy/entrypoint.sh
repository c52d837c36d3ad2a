#!/bin/sh
# Every secret file whose name is an environment variable's becomes that variable, then the command runs.
set -eu
for file in /run/secrets/HUB_* /run/secrets/AIRFLOW__*; do
    if [ -f "$file" ]; then
        export "$(basename "$file")=$(cat "$file")"
    fi
done
exec "$@"
