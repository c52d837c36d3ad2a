"""The Airflow DAG that publishes the night from what the intakes brought."""

from dags.factory import unify_dag
from schemas.contract import readable_contracts

unify = unify_dag(readable_contracts())
