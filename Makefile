# The front door. Everything is set up from nothing with python3 >= 3.11, venv, pip and make.
.POSIX:
.DELETE_ON_ERROR:
.PHONY: help demo serve test test-deps check format lock bench docs clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8
PORT ?= 8080
DATA ?= .amarre/demo

help: ## Say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed (make PYTHON=python3.12 ...)")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

# What is installed is exactly what the lock files name, with their hashes.
$(VENV)/.run: $(BIN)/uv requirements.lock pyproject.toml
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch $@

demo: $(VENV)/.run ## Run everything with a simulated gateway and a sample fleet
	$(BIN)/amarre demo --port $(PORT) --data-dir $(DATA)

serve: $(VENV)/.run ## Run the service with your settings (environment or amarre.toml)
	$(BIN)/amarre serve

test-deps: ## As root: install what the suite needs from Debian; else say what will be skipped
	@sh .ci/test-deps

test: test-deps $(VENV)/.dev ## Run the whole suite
	$(BIN)/pytest

check: $(VENV)/.dev ## Lint, types, rooms, spelling, dead code, dependencies, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(BIN)/vulture
	$(BIN)/deptry src
	$(BIN)/squawk src/amarre/store/migrations/*.sql

format: $(VENV)/.dev ## Put the code into its form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: $(BIN)/uv ## Look for newer versions and pin them
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-annotate pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --generate-hashes --no-header --no-annotate pyproject.toml --group dev -o requirements-dev.lock

bench: $(VENV)/.dev ## Measure, each figure beside its floor
	$(BIN)/python -m bench

docs: $(VENV)/.dev ## Check that the reference is complete and its links hold
	$(BIN)/pytest tests/shape -q

clean: ## Remove what was set up (not your data)
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache
