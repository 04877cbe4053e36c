# Every target does the set-up that it needs, in .venv, and again only when pyproject.toml has changed.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# Without its bytecode each of some thousand short processes would compile the whole house again.
export PYTHONDONTWRITEBYTECODE :=
.PHONY: help demo test test-long lint bench bench-peers clean

PYTHON ?= python3
BIN := .venv/bin
PIP := PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/pip install --quiet
# Lines that pip prints without need; its exit code stays its own.
QUIET := 2>&1 | { grep -v "is ignored: it is neither a file nor a directory" || true; }

help:
	@echo "make demo          install into .venv and evaluate the default decoders on primate-reaching"
	@echo "make test          install for development, check the code and run the tests"
	@echo "make test-long     the tests that take long; .ci/run runs these too"
	@echo "make lint          ruff and mypy alone"
	@echo "make bench         the measurements of tests/perf, and a table of targets"
	@echo "make bench-peers   this project and its peers (in .peers) at the same work; writes docs/performance.md"
	@echo "make clean         remove .venv, .peers and what tools left behind"

demo: .venv/.installed
	$(BIN)/harness eval --suite primate-reaching --seed 42
	@echo "To look at it in the browser: $(BIN)/harness board"

# More processes than two cores, for many of them wait; none may take all cores for its products.
PYTEST := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist worksteal

test: lint
	$(PYTEST) -m "not long"

test-long: .venv/.installed-dev
	$(PYTEST) -m long

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed-dev
	@mkdir -p .benchmarks
	$(BIN)/pytest -q -o addopts="-ra --import-mode=importlib" --benchmark-json=.benchmarks/bench.json tests/perf
	@PYTHONPATH=. $(BIN)/python tools/bench_table.py .benchmarks/bench.json

bench-peers: .venv/.installed-dev
	PYTHONPATH=. $(BIN)/python tools/bench_peers.py docs/results/peers.json
	PYTHONPATH=. $(BIN)/python tools/performance_page.py docs/results docs/performance.md

clean:
	rm -rf .venv .peers .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." \
	    "Name another one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	@echo "Making .venv"
	@$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml | .venv/bin/python
	@echo "Installing (about 1.5 GB, a minute or two)"
	@$(PIP) -e . $(QUIET)
	@touch $@

.venv/.installed-dev: pyproject.toml | .venv/bin/python
	@echo "Installing for development (about 1.8 GB, two minutes)"
	@$(PIP) -e '.[dev]' $(QUIET)
	@touch .venv/.installed $@
