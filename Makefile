# Each target makes what it needs: the virtual environment, the contract, the compiled parts.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 3# processes that share the tests out: two cores bear three, for they wait much of the time
SOURCES := $(shell find switch adapters proto -name '*.pyx' -o -name '*.pxd' -o -name '*.proto') pyproject.toml setup.py

.PHONY: demo test planted lint bench load overload drill services build clean

demo: .venv.stamp
	$(BIN)/bayswitch demo

test: .venv.stamp
	$(BIN)/python -m pytest -n $(WORKERS)

planted: .venv.stamp
	$(BIN)/python -m tests.planted

lint: .venv.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: .venv.stamp
	$(BIN)/python -m loadtest.bench

load: .venv.stamp
	$(BIN)/python -m loadtest.gate --profile loadtest/profiles/release.toml

overload: .venv.stamp
	$(BIN)/python -m loadtest.overload --only files

drill: .venv.stamp
	$(BIN)/python -m loadtest.drill

services: .venv.stamp
	$(BIN)/python -m deploy.local

build: .venv.stamp

.venv.stamp: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test,lint,load]'
	touch $@

clean:
	rm -rf .venv .venv.stamp build dist *.egg-info
