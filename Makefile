# Two commands are enough: `make quickstart` and `make test`. Both work on a machine that has only Python and make.
SHELL := /bin/sh
VENV ?= .venv
# The first interpreter found that is new enough; override with `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := $(VENV)/bin

.PHONY: quickstart install install-dev test test-long lint bench golden clean

quickstart: install
	$(BIN)/nightshift simulate scenarios/quickstart.yaml --out results/quickstart

install: $(VENV)/.installed
install-dev: $(VENV)/.installed-dev

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Nightshift needs Python 3.11 or newer; none was found. Install one or pass PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[dev,lab,train,tune]'
	@touch $(VENV)/.installed $@

lint: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Two processes, file by file; `$(BIN)/pytest` alone runs in one.
test: lint
	$(BIN)/pytest -n 2 --dist loadfile

test-long: install-dev
	$(BIN)/pytest -m 'long or not long'

bench: install
	$(BIN)/python -m benchmarks

golden: install-dev
	$(BIN)/python -m tests.golden

clean:
	rm -rf $(VENV) build dist results .pytest_cache .mypy_cache .ruff_cache .hypothesis
