-- Statements of a simulated agency's exchange database. It is the agency's, not the hub's.
-- {…} are quoted identifiers and literals filled in by psycopg2.sql.

-- name: lock_down
REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE TEMPORARY, CONNECT ON DATABASE {database} FROM PUBLIC;

-- name: find_database
SELECT count(*) FROM pg_database WHERE datname = {name};

-- name: make_database
CREATE DATABASE {database};

-- name: lock_rest
REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC;

-- name: is_free
SELECT to_regclass({name}) IS NULL;

-- name: make_role
CREATE ROLE {role} LOGIN PASSWORD {secret} NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT CONNECTION LIMIT 10;
ALTER ROLE {role} SET default_transaction_read_only = on;
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA public TO {role};

-- name: login
ALTER ROLE {role} LOGIN;

-- name: no_login
ALTER ROLE {role} NOLOGIN;

-- name: wait_a_little
SET LOCAL lock_timeout = '2s';

-- name: end_readers
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = {role_name};

-- name: make_push
CREATE UNLOGGED TABLE {table} ({columns}, push_flag text, push_time timestamptz);

-- name: copy_push
COPY {table} FROM STDIN WITH (FORMAT csv, HEADER false);

-- name: swap
DROP VIEW IF EXISTS {view}, {batch_view};
CREATE VIEW {view} AS SELECT * FROM {table};
CREATE VIEW {batch_view} AS SELECT push_date, push_rows FROM {batch_table};
GRANT SELECT ON {view}, {batch_view} TO {role};

-- name: make_batch
CREATE UNLOGGED TABLE {batch_table} (push_date date PRIMARY KEY, push_rows bigint NOT NULL);

-- name: copy_batch
COPY {batch_table} FROM STDIN WITH (FORMAT csv, HEADER false);

-- name: drop_push
DROP TABLE IF EXISTS {table};
