# Set up, run, test. `make run` on a fresh machine needs Python 3.11, git and make only.

SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
PERSONS ?=
# Slow tests mostly wait for servers. A file stays with one worker; in the order collected, since the longest come early.
SIDE_BY_SIDE := -n 2 --dist loadfile --no-loadscope-reorder

export XDG_RUNTIME_DIR ?= /tmp
ifneq ($(PERSONS),)
export HUB_SANDBOX_PERSONS := $(PERSONS)
endif

.DEFAULT_GOAL := help
.PHONY: help setup run stop test test-fast search check docs pictures format locks dci-conformance dci-messages faults bench bench-history bench-sharing bench-log bench-lookout bench-night bench-setup bench-identity audit-setup sbom audit lock clean

help: ## What there is to make
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(STAMP) ## Install into .venv (quick the second time)

$(STAMP): requirements.txt pyproject.toml deploy/system-packages.sh
	@sh deploy/system-packages.sh $(PYTHON)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "安装到 / installing into $(VENV) …"
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

run: setup ## The next night through Airflow, then a summary; services stay up (PERSONS=20000)
	@$(BIN)/hub run

stop: ## Stop what `make run` left up; the data stays
	@if [ -x $(BIN)/hub ]; then $(BIN)/hub down; fi

test: setup check ## All checks and tests, two at a time
	@$(BIN)/python -m pytest tests -q $(SIDE_BY_SIDE)

test-fast: setup ## Tests that answer within a minute
	@$(BIN)/python -m pytest tests -q -m "not slow" $(SIDE_BY_SIDE)

search: setup ## Property and contract tests with examples nobody tried yet (EXAMPLES=300)
	@HUB_TEST_EXAMPLES=$(or $(EXAMPLES),300) $(BIN)/python -m pytest $$(grep -rlE "hypothesis import" tests --include='test_*.py') -q --hypothesis-profile=search $(SIDE_BY_SIDE)

check: setup ## Lint, types, import law, YAML, generated docs fresh
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >.lint-imports.log || { cat .lint-imports.log; exit 1; }
	@$(BIN)/yamllint --strict .
	@$(BIN)/python -W ignore -m manual --check

docs: setup ## Write the generated pages under docs/ again
	@$(BIN)/python -W ignore -m manual

pictures: setup ## Live the morning of docs/operations.md once more and draw its pictures
	@$(BIN)/python -W ignore -m manual.pictures

format: setup ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

locks: setup ## Attack the sharing side: a table of tries and how many got through
	@$(BIN)/python -m benchmarks.locks

dci-conformance: setup ## A public conformance suite of the DCI interface against this hub (SUITE=folder, after npm install in it)
	@$(BIN)/python -m benchmarks.conformance $(SUITE)

dci-messages: setup ## Every message of the DCI tests held against our schemas: a table by kind (SCHEMAS=folder: against the standard's own files too)
	@DCI_SCHEMAS=$(SCHEMAS) $(BIN)/python -m pytest tests/sharing/test_dci*.py tests/sharing/test_contract.py tests/sharing/test_quick_start.py -q --show-capture=no

faults: setup ## Every fault of docs/faults.md, and 200 kills: a table of what came of them (KILLS=200)
	@$(BIN)/python -m benchmarks.faults $(if $(KILLS),--kills $(KILLS))

bench-sharing: setup ## What an answer costs, beside a bare endpoint on the same pool
	@$(BIN)/python -m benchmarks.sharing

bench-log: setup ## The log of disclosures with ten million entries: appending, proving
	@$(BIN)/python -m benchmarks.log

bench-lookout: setup ## What looking for unusual access costs behind a short log and one of a million entries
	@$(BIN)/python -m benchmarks.lookout

bench: setup ## Score the last night against the county's truth
	$(BIN)/python -m benchmarks.truth

bench-history: setup ## What the past costs: as-of questions, an unchanged night, a merge taken back (PERSONS=20000)
	@$(BIN)/python -m benchmarks.history $(if $(PERSONS),--persons $(PERSONS))

bench-night: setup ## What a night costs: seconds, memory, ratio to COPY (PERSONS=200000)
	$(BIN)/python -m benchmarks.night $(if $(PERSONS),--persons $(PERSONS))

bench-setup: setup ## Install the engines that benchmarks/identity.py compares with, into .venv-bench
	@test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	@$(BIN)/uv pip sync --quiet --python .venv-bench/bin/python --require-hashes requirements-bench.txt

bench-identity: bench-setup ## Persons and households: ours beside Splink and goldenmatch, one table
	$(BIN)/python -m benchmarks.identity

audit-setup: setup # Install what looks at our dependencies, into .venv-audit
	@test -x .venv-audit/bin/python || $(PYTHON) -m venv .venv-audit
	@$(BIN)/uv pip sync --quiet --python .venv-audit/bin/python --require-hashes requirements-audit.txt

sbom: audit-setup ## Write sbom.cdx.json: everything the hub is made of, with versions and hashes (CycloneDX)
	@.venv-audit/bin/cyclonedx-py requirements requirements.txt --output-format JSON --output-reproducible --output-file sbom.cdx.json
	@echo sbom.cdx.json

audit: audit-setup ## Ask the advisory database of PyPI about every dependency; needs the network
	@.venv-audit/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip --strict

lock: ## Write requirements.txt again: versions and hashes, no addresses
	$(BIN)/uv pip compile pyproject.toml --quiet --upgrade --group airflow --group sharing --group dev --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements.txt
	$(BIN)/uv pip compile --quiet --upgrade --group bench --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements-bench.txt
	$(BIN)/uv pip compile --quiet --upgrade --group audit --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --output-file requirements-audit.txt

clean: stop ## Remove the environment and all state, data included
	rm -rf $(VENV) .hub .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build *.egg-info
