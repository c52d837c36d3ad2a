"""One Airflow DAG per agency, made from the contracts; a new contract is a new DAG."""

from dags.factory import intake_dag
from schemas.contract import load_contracts

for _contract in load_contracts().values():
    _dag = intake_dag(_contract)
    globals()[_dag.dag_id] = _dag
