"""What runs when: Airflow only. No logic; a task body is one call into `pipeline`."""
