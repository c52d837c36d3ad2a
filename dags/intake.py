"""One Airflow DAG per agency, made from the contracts; a new contract is a new DAG. A wrong one is told by `contracts.py`."""

from dags.factory import intake_dag
from schemas.contract import readable_contracts

for _contract in readable_contracts().values():
    _dag = intake_dag(_contract)
    globals()[_dag.dag_id] = _dag
