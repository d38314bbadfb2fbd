# Needs python3 (3.11 or newer, with venv) and a package index; everything else it installs into
# .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# CONSTRAINTS=constraints.txt installs the versions that all tests are known to pass with.
CONSTRAINTS ?=
SEEDS ?= 0:20000
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install $(addprefix --constraint ,$(CONSTRAINTS))
SIMD := import numpy; print(*numpy.show_config(mode="dicts")["SIMD Extensions"].get("found", []))
UNIT := $(BIN)/pytest -n auto --dist worksteal -m "not slurm and not browser and not sotodlib"

.DEFAULT_GOAL := help
.PHONY: help simulate test lint lint-js types layers unit nosimd coverage torture chaos slurm browser sotodlib docs bench peers fuzz clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

simulate: $(VENV)/installed  ## Set up, and simulate an example campaign
	$(BIN)/socm simulate examples/lat_null_tests.toml

test: lint types layers unit  ## Set up, then lint, types, import layers and tests

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-js:  ## Check the script of the HTML report (needs Node.js)
	.ci/lint-js

types: $(VENV)/dev
	$(BIN)/mypy

layers: $(VENV)/dev
	$(BIN)/lint-imports

unit: $(VENV)/dev
	$(UNIT)

nosimd: $(VENV)/dev  ## Run the tests of what NumPy computes as on a processor without instructions for it
	NPY_DISABLE_CPU_FEATURES="$$($(BIN)/python -c '$(SIMD)')" $(UNIT) socm sim \
		tests/test_bounds.py tests/test_docs.py tests/test_groups.py tests/test_null_tests.py \
		tests/test_plan.py tests/test_proof.py tests/test_sim_backend.py tests/test_sizing.py

coverage: $(VENV)/dev  ## Run the tests, and say which lines of the source none of them reaches
	$(UNIT) --cov

torture: $(VENV)/dev  ## Run 20,000 random campaigns in worlds full of faults (SEEDS=0:1000000 for more)
	$(BIN)/socm torture --seeds $(SEEDS)

chaos: $(VENV)/dev  ## Kill socm 3,000 times on this machine and 1,000 times on a SLURM (hours; make slurm installs it)
	$(BIN)/python -m benchmarks.chaos --kills 3000
	$(BIN)/python -m benchmarks.chaos --kills 1000 --executor slurm

slurm: $(VENV)/dev  ## Run the tests against a real SLURM, started here
	.ci/slurm

browser: $(VENV)/dev  ## Run the tests of the HTML report in Chromium
	.ci/browser

sotodlib:  ## Run the tests against sotodlib and TOAST, installed here (1.1 GB)
	.ci/sotodlib

docs: $(VENV)/docs  ## Build the documentation; warnings are errors
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

bench: $(VENV)/dev  ## Run the benchmarks (BENCH="--effort 10 --large" for more), one table at the end
	$(BIN)/python -m benchmarks $(BENCH)

peers:  ## Compare with planners of others, installed here (0.8 GB); from then on bench does, too
	.ci/peers

fuzz: $(VENV)/dev  ## Read 20,000 files with mistakes, of every kind (FUZZ="100000 --seed 1" for others)
	$(BIN)/python -m benchmarks.fuzz $(FUZZ)

clean:  ## Remove all that was built
	rm -rf $(VENV) $(VENV)-sotodlib $(VENV)-peers build dist docs/_build .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(VENV)/installed: pyproject.toml socm/_version.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(VENV)/dev: $(VENV)/installed
	$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/docs: $(VENV)/installed
	$(PIP) --editable '.[docs]'
	@touch $@
