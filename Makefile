# Two commands do all the set-up: `make run` and `make test`.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3.11
STAMP := $(VENV)/.installed
PERSONS ?=

export XDG_RUNTIME_DIR ?= /tmp
ifneq ($(PERSONS),)
export HUB_SANDBOX_PERSONS := $(PERSONS)
endif

help: ## Show the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): requirements.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is missing; install Python 3.11 (Debian: apt-get install python3.11 python3.11-venv)" >&2; exit 2; }
	@command -v git >/dev/null || { echo "error: git is missing (Debian: apt-get install git)" >&2; exit 2; }
	@echo "installing into $(VENV) …"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv 2>/dev/null || true
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $(STAMP)

setup: $(STAMP) ## Install everything into .venv

run: setup ## Run the next night and print the morning (PERSONS= sets the county's size)
	@$(BIN)/hub up
	@$(BIN)/hub night

stop: setup ## Stop the services; the data stays
	@$(BIN)/hub down

test: setup check ## All tests
	@$(BIN)/python -m pytest tests -q

test-fast: setup ## Tests without servers
	@$(BIN)/python -m pytest tests -q -m "not slow"

check: setup ## ruff, mypy, import-linter, yamllint
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >/tmp/lint-imports.$$$$ || { cat /tmp/lint-imports.$$$$; exit 1; }
	@$(BIN)/yamllint --strict .
	@echo "check: ok"

lock: ## Resolve requirements.txt anew: hashed, without addresses
	@$(BIN)/uv pip compile pyproject.toml --group airflow --group sharing --group dev --python-version 3.11 \
		--generate-hashes --no-annotate --no-header --no-emit-index-url --quiet --output-file requirements.txt

clean: ## Remove state and environment
	@test ! -x $(BIN)/hub || $(BIN)/hub down
	@rm -rf .hub $(VENV)

.PHONY: help setup run stop test test-fast check lock clean
