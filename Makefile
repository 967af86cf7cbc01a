# Two commands do all set-up: `make demo` and `make test`. Everything lives in .venv and target/ of this checkout.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
VENV := $(CURDIR)/.venv
BIN := $(VENV)/bin
STAMP := $(VENV)/stamp
# One interpreter for every cargo call, so that pyo3 is built once; no stray settings from outside.
export PYO3_PYTHON := $(BIN)/python
export VIRTUAL_ENV := $(VENV)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_QUIET := 1
export CARGO_TERM_PROGRESS_WHEN := never
unexport PYTHONPATH PYTHONHOME CONDA_PREFIX

CARGO_FILES := Cargo.toml Cargo.lock
RUST := $(CARGO_FILES) $(shell find src -name '*.rs')
DOCS := $(shell find docs $(wildcard notebooks) -type f -not -path '*/.*' -not -path 'docs/_*' -not -path 'docs/tutorials/*') $(shell find python -name '*.py') README.md CHANGELOG.md

.PHONY: FORCE demo test test-rust test-python lint lint-rust lint-python budgets stubs bench docs wheel clean help

help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## */\t/' | expand -t 14

demo: $(STAMP)-module ## build the package and run the demonstration
	$(BIN)/plaq demo

test: test-rust test-python ## every test: cargo, pytest, README, notebooks, doctests, example configurations

test-rust: $(STAMP)-venv
	cargo test --release

test-python: $(STAMP)-test $(STAMP)-wheel
	$(BIN)/python -m pytest -q --durations=5 -n auto --maxprocesses 4 --dist worksteal -m 'not machine'
	$(BIN)/python -m pytest -q -m machine

lint: lint-rust lint-python budgets ## formats, clippy, rustdoc, ruff, mypy, stubs, budgets of the module

lint-rust: $(STAMP)-venv
	cargo fmt --check
	cargo clippy --release --all-targets -- -D warnings
	cargo clippy --release --all-targets --features python -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --features python

lint-python: $(STAMP)-test $(STAMP)-module
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/python scripts/stubs.py --check
	$(BIN)/mypy

budgets: $(STAMP)-module ## no kernel outside vector code; number of kernels and size of the wheel
	$(BIN)/python scripts/budgets.py

stubs: $(STAMP)-test $(STAMP)-module ## write python/plaq/_plaq.pyi
	$(BIN)/python scripts/stubs.py

bench: $(STAMP)-venv ## times of the kernels beside the limits of this machine
	cargo bench --bench kernels

docs: $(STAMP)-site ## the documentation in site/index.html

$(STAMP)-site: $(STAMP)-docs $(STAMP)-module $(DOCS)
	$(BIN)/sphinx-build -W --keep-going -n -b html docs site
	touch $@

wheel: $(STAMP)-wheel ## a wheel for this machine in dist/

# After the module: the same profile and interpreter, so that nothing is compiled twice.
$(STAMP)-wheel: $(STAMP)-module $(shell find python -name '*.py*' -not -path '*/__pycache__/*') scripts/strip_wheel.py $(if $(wildcard dist/*.whl),,FORCE)
	rm -rf dist
	$(BIN)/maturin build --release --out dist
	$(BIN)/python scripts/strip_wheel.py dist/*.whl
	touch $@

clean: ## remove everything that was built
	rm -rf .venv target site dist docs/_api docs/tutorials python/plaq/_plaq*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment: created once, extended by the extras that a target needs.
$(STAMP)-venv: scripts/check_tools.sh
	bash scripts/check_tools.sh $(PYTHON)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install 'maturin>=1.9.4,<2'
	touch $@

$(STAMP)-plot: $(STAMP)-venv pyproject.toml Cargo.toml
	$(BIN)/maturin develop --release --extras plot
	touch $@

$(STAMP)-test: $(STAMP)-plot
	$(BIN)/maturin develop --release --extras test
	touch $@

$(STAMP)-docs: $(STAMP)-plot
	$(BIN)/maturin develop --release --extras docs
	touch $@

# The compiled module, again after a change of the Rust sources or when the file was deleted.
$(STAMP)-module: $(STAMP)-plot $(RUST) $(if $(wildcard python/plaq/_plaq*.so),,FORCE)
	$(BIN)/maturin develop --release --skip-install
	touch $@
