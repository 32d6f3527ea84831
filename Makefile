# Needs git, make and Python 3.11 or newer with venv; everything else is installed into .venv from requirements.lock.

PYTHON ?= python3
PYTEST_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench soak picture lock clean
MAKEFLAGS += --no-print-directory

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## four agents survey this project together; DEMO_ARGS='--project PATH' for another
	@$(BIN)/gitctx demo $(DEMO_ARGS)

test: lint ## every check: lint, types, imports, tests with coverage; PYTEST_ARGS='-k NAME' for some
	@$(BIN)/python -m pytest -n 2 --dist worksteal --benchmark-disable --cov --cov-report=term $(PYTEST_ARGS)

lint: $(READY) ## ruff, mypy and import-linter only
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(READY) ## let ruff mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(READY) ## measure gitctx beside what one would pick instead
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

soak: $(READY) ## the long runs that `make test` leaves out, and new examples of every property
	@$(BIN)/python -m pytest -m 'soak or hypothesis' --hypothesis-profile=soak --timeout=0 $(PYTEST_ARGS)

picture: $(READY) ## draw docs/demo.svg from a real run of the demo
	@$(BIN)/python docs/make_picture.py

lock: ## pin the newest versions that pyproject.toml allows in requirements.lock
	@rm -rf build/lock
	@$(PYTHON) -m venv build/lock
	@build/lock/bin/python -m pip -qq --disable-pip-version-check install uv
	@build/lock/bin/python -m uv --quiet --no-config pip compile pyproject.toml --group dev --upgrade --universal \
	  --python-version 3.11 --generate-hashes --no-strip-extras --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
	  --output-file requirements.lock
	@rm -rf build/lock

clean: ## remove what the other targets made
	@rm -rf .venv build dist .coverage .coverage.* htmlcov .benchmarks .hypothesis
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "gitctx needs Python 3.11 or newer as '$(PYTHON)'; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up .venv (once) ..." >&2
	@$(PYTHON) -m venv --clear .venv || \
	  { echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q gitctx cli
	@touch $@
