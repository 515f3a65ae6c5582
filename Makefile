# make demo: a fresh clone to a report.  make test: a fresh clone to tested.
# make test-all: what that leaves out, the long tests and lint; after it everything has been tested once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
TORCH_INDEX_URL ?=
# Where the package index serves CUDA builds of torch, name the index of the CPU build:
#   make demo TORCH_INDEX_URL=<index of CPU builds, see the README>
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar on

.PHONY: demo test test-all lint format clean

demo: $(VENV)/.installed
	$(BIN)/ichnos demo --out demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist worksteal

test-all: $(VENV)/.installed-dev lint
	$(BIN)/python -m pytest -m slow -n 2 --dist worksteal --durations=25

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/basedpyright

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(VENV)/.torch: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("ichnos needs Python 3.11 or later, this is " + sys.version.split()[0] + "; give make PYTHON=python3.x") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(PIP) $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL)) $$(grep '^torch==' constraints.txt)
	touch $@

$(VENV)/.installed: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[train]'
	touch $@

$(VENV)/.installed-dev: $(VENV)/.torch pyproject.toml constraints.txt
	$(PIP) -c constraints.txt -e '.[train,dev]'
	touch $@ $(VENV)/.installed

clean:
	rm -rf $(VENV) demo .pytest_cache .ruff_cache .hypothesis .import_linter_cache
