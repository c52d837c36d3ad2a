"""The seven steps of a night as plain functions, and the command line. No Airflow."""
