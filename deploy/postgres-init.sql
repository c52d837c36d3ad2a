-- Airflow's own database beside the warehouse; runs at the first start of the server.
CREATE DATABASE airflow OWNER hub;
