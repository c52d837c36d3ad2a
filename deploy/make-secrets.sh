#!/bin/sh
# Make the secret files docker-compose.yml mounts; what exists is kept. The folder is closed to others, the files are read inside the
# containers by a user of another number.
set -eu
cd "$(dirname "$0")/secrets"
chmod 700 .

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
keep() { # name, content
    if [ ! -e "$1" ]; then
        printf '%s' "$2" >"$1"
        chmod 444 "$1"
    fi
}

keep postgres_password "$(random 16)"
keep redis_password "$(random 16)"
postgres=$(cat postgres_password)
redis=$(cat redis_password)
keep redis_conf "requirepass $redis
"
keep HUB_DATABASE_URL "postgresql+psycopg2://hub:$postgres@postgres:5432/hub"
keep HUB_LANDING_KEY "$(random 32)"
keep AIRFLOW__DATABASE__SQL_ALCHEMY_CONN "postgresql+psycopg2://hub:$postgres@postgres:5432/airflow"
keep AIRFLOW__CELERY__RESULT_BACKEND "db+postgresql+psycopg2://hub:$postgres@postgres:5432/airflow"
keep AIRFLOW__CELERY__BROKER_URL "redis://:$redis@redis:6379/0"
keep AIRFLOW__CORE__FERNET_KEY "$(head -c 32 /dev/urandom | base64 | tr '+/' '-_')"
keep AIRFLOW__API__SECRET_KEY "$(random 32)"
keep AIRFLOW__API_AUTH__JWT_SECRET "$(random 32)"
keep airflow_passwords "{\"admin\": \"$(random 9)\"}"
echo "airflow: admin, $(pwd)/airflow_passwords"
