# One image for everything the hub runs in containers: Airflow's processes, its workers, the simulated agencies.
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/hub
COPY requirements.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --require-hashes --requirement requirements.txt
COPY pyproject.toml README.md ./
COPY hub hub
COPY schemas schemas
COPY connectors connectors
COPY expectations expectations
COPY identity identity
COPY warehouse warehouse
COPY pipeline pipeline
COPY sharing sharing
COPY sandbox sandbox
COPY dags dags
COPY benchmarks benchmarks
COPY deploy deploy
RUN /opt/venv/bin/pip install --no-deps --editable .

FROM python:3.11-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/hub PYTHONUNBUFFERED=1 HUB_HOME=/var/lib/hub AIRFLOW_HOME=/var/lib/airflow
RUN useradd --create-home --uid 10001 hub \
    && install --directory --owner=hub --group=hub /var/lib/hub /var/lib/airflow
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/hub /opt/hub
WORKDIR /opt/hub
USER 10001:10001
ENTRYPOINT ["/opt/hub/deploy/entrypoint.sh"]
CMD ["hub", "--help"]
