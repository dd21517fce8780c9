# Each target makes what it needs: the virtual environment, the contract, the compiled parts.
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 3# processes that share the tests out: two cores bear three, for they wait much of the time
OPTIONS ?=# of pytest
SOURCES := $(shell find switch adapters proto -name '*.pyx' -o -name '*.pxd' -o -name '*.proto') pyproject.toml setup.py

.PHONY: demo test planted lint bench load overload fairness soak drill services allocator build clean

demo: .venv.stamp
	$(BIN)/bayswitch demo

test: .venv.stamp
	$(BIN)/python -m pytest -n $(WORKERS) $(OPTIONS)

planted: .venv.stamp
	$(BIN)/python -m tests.planted

lint: .venv.stamp
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

bench: allocator
	$(BIN)/python -m loadtest.bench

load: allocator
	$(BIN)/python -m loadtest.gate --profile loadtest/profiles/release.toml

overload: allocator
	$(BIN)/python -m loadtest.overload --only files

fairness: allocator
	$(BIN)/python -m loadtest.fairness --only files --levels 0.3,0.5

soak: allocator
	$(BIN)/python -m loadtest.gate --profile loadtest/profiles/soak.toml

drill: .venv.stamp
	$(BIN)/python -m loadtest.drill

services: .venv.stamp
	$(BIN)/python -m deploy.local

allocator: .venv.stamp
	$(BIN)/python -m deploy.local.allocator

build: .venv.stamp

.venv.stamp: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[test,lint,load]'
	touch $@

clean:
	rm -rf .venv .venv.stamp build dist *.egg-info
