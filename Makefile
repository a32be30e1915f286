# Every job of the project. `make demo` and `make test` each bring a fresh Debian 12 machine all the way.
SHELL := /bin/sh
BIN := .venv/bin
ready := .venv/.ready
tested := .venv/.ready-tests
SOAK ?= kernel
OPS ?=
# Machines, and what else of operations is proven on this one: a node as the first process, and that who is forgotten is.
machines := tests/ops/machines tests/nodes/test_first_process.py tests/journeys/test_forgotten.py \
	tests/ops/test_roles.py::test_ansible_lint_finds_nothing_by_its_strictest_profile

.PHONY: setup demo test test-ops docs bench soak conformance style types layers

setup: $(ready)

$(ready): requirements-dev.txt requirements-uv.txt pyproject.toml ops/packages.txt ops/setup.sh
	@ops/setup.sh node
	@touch $@

$(tested): $(ready)
	@ops/setup.sh tests
	@touch $@

demo: $(ready)
	@$(BIN)/ringmaster demo

# Three workers for two cores: they wait for sockets, timers and processes more than they work.
test: $(tested) style types layers
	@$(BIN)/python -m pytest -n 3 --dist loadgroup --no-loadscope-reorder

bench: $(ready)
	@$(BIN)/ringmaster bench media && $(BIN)/ringmaster bench turn && $(BIN)/ringmaster bench sync && $(BIN)/ringmaster bench core && $(BIN)/ringmaster bench crowd

soak: $(tested)
	@ops/setup.sh soak
	@$(BIN)/python -m pytest -o addopts="--import-mode=importlib -q" tests/soak -k "$(SOAK)" --timeout=1200 -s

test-ops: $(tested)
	@ops/setup.sh ops
	@$(BIN)/python -m pytest -o addopts="--import-mode=importlib -v" $(machines) -k "$(OPS)" -p no:cacheprovider

docs: $(ready)
	@$(BIN)/mkdocs build --quiet --config-file ops/mkdocs.yml && echo build/docs/index.html

conformance: $(tested)
	@$(BIN)/python -m pytest tests/conformance -qq --tb=short

style: $(ready)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: $(ready)
	@$(BIN)/mypy

layers: $(ready)
	@$(BIN)/lint-imports
