# gemel: everything a newcomer or a machine does with a checkout. Needs Python 3.11, make and git.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
ONCE   ?=
UV     := $(BIN)/uv pip install --quiet --python $(BIN)/python
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup setup-dev system demo test bench check evidence pins clean

setup: $(VENV)/.base        ## what running gemel needs
setup-dev: $(VENV)/.dev     ## what working on gemel needs

$(VENV)/bin/uv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gemel needs Python 3.11 or later; say which: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.5"

# uv is ten times quicker; pip takes over where only pip is set up to reach a package index.
$(VENV)/.base: requirements/base.txt pyproject.toml | $(VENV)/bin/uv
	@echo "Installing gemel into $(VENV) ..."
	@$(UV) --compile-bytecode -r requirements/base.txt || $(PIP) -r requirements/base.txt
	@$(UV) --no-deps -e . || $(PIP) --no-deps -e .
	@touch $@

# PyTorch by pip, before everything that needs it: a resolver would take a build for GPUs that nobody has here.
$(VENV)/.dev: requirements/dev.txt constraints-ml.txt $(VENV)/.base
	@echo "Installing what working on gemel needs ..."
	@$(PIP) -c constraints-ml.txt torch
	@$(UV) --compile-bytecode -r requirements/dev.txt || $(PIP) -r requirements/dev.txt
	@touch $@

system:                     ## Debian packages for the real servers and the browser in the tests
	@sh tests/system.sh

demo: setup                 ## a living twin at http://127.0.0.1:8400; ONCE=1: the same job to its end, without a server
	$(BIN)/gemel up --demo $(if $(ONCE),--once)

check: setup-dev            ## lint, types, layers, fast tests
	$(BIN)/ruff check src tests bench
	$(BIN)/ruff format --check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not e2e and not chaos"

test: setup-dev system      ## everything, on real servers
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadgroup --durations 40 --doctest-modules --ignore=src/gemel/infra/store/migrations src/gemel tests

bench: setup-dev            ## each performance claim beside its peer or limit, one JSON object a line
	$(BIN)/python -m bench

evidence: setup-dev             ## the figures in cards and documents, written to docs/evidence
	$(BIN)/python docs/evidence/make_earlywarning.py
	$(BIN)/python docs/evidence/make_lattice.py
	$(BIN)/python docs/evidence/make_benchmarks.py

pins: $(VENV)/bin/uv        ## resolve the pinned requirements anew
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --upgrade pyproject.toml -o requirements/base.txt
	echo "torch ; sys_platform == 'never'" > $(VENV)/no-torch.txt
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --upgrade --override $(VENV)/no-torch.txt --extra cwl --extra data --extra postgres --extra fdb --extra ml --group dev pyproject.toml -o requirements/dev.txt

clean:
	rm -rf $(VENV) .venv-openeo-suite build .demo .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
