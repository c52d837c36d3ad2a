"""No DAG: reads every contract, so that Airflow shows a wrong one as an import error with file and field; other DAGs go on."""

from schemas.contract import load_contracts

load_contracts()
