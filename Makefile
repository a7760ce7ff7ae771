PYTHON ?= python3
VENV ?= .venv
ARGS ?=
COVERAGE ?=

CONSTRAINTS := requirements/constraints.txt
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint $(CONSTRAINTS)
SOURCES := $(shell find src -not -name '*.pyc' -not -name '__pycache__')
# Stamps: the wheel that is installed, and the extras installed with it.
WHEEL := $(VENV)/.wheel
DEMO := $(VENV)/.extra-demo
DEV := $(VENV)/.extra-dev
PEERS := $(VENV)/.extra-peers
TOOLS := $(VENV)/.extra-tools
# Tracing more than doubles the time of the tests; COVERAGE=no leaves it out.
TRACED := $(if $(filter no,$(COVERAGE)),python,coverage run)
# A file stays with one process, and so do the servers that its fixtures start; more than four would crowd them.
IN_PARALLEL := --numprocesses auto --maxprocesses 4 --dist loadfile

# Real servers on a busy machine are late now and then: what failed is tried once more, alone. What is wrong fails again.
ALONE := $(BIN)/$(TRACED) -m pytest -m integration --last-failed --last-failed-no-failures none

# What runs is the installed wheel, so the tree must not be on the path.
export PYTHONPATH :=
export COVERAGE_FILE := $(abspath $(VENV))/.coverage

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo browser test test-core check bench measure goals docs format lock build clean

help: ## Show this help
	@echo 'Each target sets up what it needs, in $(VENV), with $(PYTHON). Both can be given:'
	@echo '  make test PYTHON=python3.12 VENV=.venv-3.12'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(DEV) $(WHEEL) ## Install the package and every tool into the virtual environment

demo: $(DEMO) $(WHEEL) ## Watch the stack carry a real PostgreSQL through a crash (ARGS="--seconds 20")
	$(BIN)/onex-resilience demo $(ARGS)

browser: ## Install the Chromium that opens the simulator's page in tests, where apt-get and root can (Debian)
	@command -v chromium >/dev/null || \
	{ command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && apt-get update -qq && \
	    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; } || \
	echo 'No chromium on PATH: the tests that open a page are skipped. Debian has it as: apt-get install chromium'

test: $(DEV) $(WHEEL) browser ## Run all tests against the built wheel: the quick ones, those with real servers, coverage
	@rm -f '$(COVERAGE_FILE)' '$(COVERAGE_FILE)'.*
	$(BIN)/$(TRACED) -m pytest -m 'not integration' $(IN_PARALLEL)
	$(BIN)/$(TRACED) -m pytest -m integration $(IN_PARALLEL) || $(ALONE)
ifneq ($(COVERAGE),no)
	@$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
endif

test-core: $(TOOLS) $(WHEEL) ## Run the tests of the core with no driver and no server installed
	$(BIN)/python -m pytest $(IN_PARALLEL) --without-drivers -m 'not integration' --ignore tests/transports --ignore tests/architecture

check: $(DEV) ## Check format, lint, types (mypy, basedpyright) and the import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/basedpyright --pythonpath $(BIN)/python
	PYTHONPATH=src $(BIN)/lint-imports --no-logo

bench: ## Measure us and every peer side by side, in a virtual environment of its own (ARGS="--quick")
	@$(MAKE) --no-print-directory VENV=$(VENV)-bench measure

measure: $(PEERS) $(WHEEL)
	@mkdir -p build
	$(BIN)/onex-resilience bench --json build/bench.json --html build/bench.html --charts build/charts $(ARGS)

goals: $(DEV) $(WHEEL) ## Check our own figures against their goals, and the instructions of a call against the last
	$(BIN)/python -m benchmarks.instructions
	$(BIN)/python -m benchmarks.run --check $(ARGS)

docs: $(DEV) $(WHEEL) ## Run every example of the README and the documentation
	$(BIN)/python -m pytest tests/docs

format: $(DEV) ## Format the code and mend what ruff can mend
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: ## Pin the newest versions of all dependencies and tools anew (PYTHON=python3.11, the oldest supported)
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev,peers]'
	build/lock/bin/python -m pip freeze --exclude onex-resilience > build/constraints.txt
	mv build/constraints.txt $(CONSTRAINTS)
	rm -rf build/lock

build: $(DEV) ## Build the wheel and the source distribution into dist/
	rm -rf dist
	$(BIN)/hatchling build -d dist

clean: ## Remove all that these targets made, the virtual environments too
	rm -rf $(VENV) $(VENV)-bench .venv-ci-* build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests benchmarks -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	    "onex-resilience needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)

$(WHEEL): $(SOURCES) pyproject.toml README.md LICENSE $(CONSTRAINTS) | $(BIN)/python
	@$(INSTALL) hatchling
	rm -rf $(VENV)/wheel
	$(BIN)/hatchling build -t wheel -d $(VENV)/wheel
	@$(INSTALL) --no-deps --no-index --force-reinstall $(VENV)/wheel/*.whl
	@touch $@

$(VENV)/.extra-%: pyproject.toml $(CONSTRAINTS) | $(WHEEL)
	$(INSTALL) "$$(echo $(VENV)/wheel/*.whl)[$*]"
	@touch $@
