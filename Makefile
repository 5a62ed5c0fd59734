# make demo and make test start from nothing: they create .venv and install what they need.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A process a core, each with one thread.
JOBS ?= 2
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all test-oldest lint format index docs wheel bench clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: $(READY)  ## create .venv and install slotbench into it
	@echo "Installed. Next, type: source .venv/bin/activate"

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)  ## the suite demo, from nothing to a page and a leaderboard: about 15 minutes on two cores
	$(BIN)/slotbench suite run demo --prepare --device cpu
	$(BIN)/slotbench report --device cpu
	$(BIN)/slotbench leaderboard
	@echo
	@echo "The page: results/report/index.html. To go on, type: source .venv/bin/activate"

test: $(READY)  ## the test suite, without what is slow
	$(PYTEST)

test-all: $(READY)  ## every test
	$(PYTEST) -m 'slow or not slow'

test-oldest:  ## the test suite with the lowest version of each dependency that pyproject.toml allows
	$(PYTHON) -m venv .venv-oldest
	sed -n '/^dependencies/,/^]/s/ *"\(.*\)>=\(.*\)",/\1==\2/p' pyproject.toml > .venv-oldest/lowest.txt
	.venv-oldest/bin/python -m pip install --constraint .venv-oldest/lowest.txt --editable . pytest pytest-xdist
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -n $(JOBS) --dist loadfile -W ignore::DeprecationWarning

lint: $(READY)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(READY)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

index: $(READY)  ## write slotbench/index.json, the names that help and completion read
	$(BIN)/python -m tests.index

docs: $(READY)  ## build the documentation into site/
	$(BIN)/mkdocs build --strict --quiet

wheel: $(READY)  ## build dist/slotbench-VERSION-py3-none-any.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

bench: $(READY)  ## measure rendering, import, training, evaluation, help; then the goals, met or not: 15 minutes
	for file in benchmarks/[a-z]*.py; do case $$file in *goals.py|*plain_*|*speedrun.py) continue;; esac; \
	    echo "== $$file"; $(BIN)/python -m benchmarks.$$(basename $$file .py) || exit; done
	$(BIN)/python -m benchmarks.goals

clean:  ## remove the environment and caches; data and results stay
	rm -rf .venv .venv-oldest .mypy_cache .pytest_cache .ruff_cache build dist site ./*.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +
