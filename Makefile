# `make demo` runs the main job, `make test` checks everything; both build .venv from nothing first. `make` lists them all.
PYTHON ?= $(or $(shell command -v python3.11),python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-launchers docs install clean

help:
	@echo 'make demo            compare the two models that ship with the package'
	@echo 'make test            lint, types and tests'
	@echo 'make test-launchers  other launchers than the serial one, and ranks within a multirun; slow, installs Ray'
	@echo 'make docs            build the site into build/site'
	@echo 'make install         build .venv only; PYTHON=/path/to/python chooses which Python (3.11 or later)'
	@echo 'make clean           remove .venv and results (outputs, multirun)'

demo: $(INSTALLED)
	$(BIN)/python compare.py

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# Left out of `make test`. Ray's plugin asks for an older cloudpickle than the rest, but runs with theirs.
test-launchers: $(INSTALLED)
	$(BIN)/pip install --quiet -c constraints.txt ray
	$(BIN)/pip install --quiet -c constraints.txt --no-deps hydra-ray-launcher
	$(BIN)/python -m pytest -m launchers

# The theme announces its successor on every build.
docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is no Python of 3.11 or later; name one: make PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) outputs multirun
