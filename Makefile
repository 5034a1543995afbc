# Two commands: `make demo` runs the main job, `make test` checks everything. Both build .venv from nothing first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test test-launchers install clean

demo: $(INSTALLED)
	$(BIN)/python compare.py

test: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# Other launchers than the serial one, and ranks within a multirun: slow, and left out of `make test`. Ray's plugin asks
# for an older cloudpickle than the rest, but runs with theirs.
test-launchers: $(INSTALLED)
	$(BIN)/pip install --quiet -c constraints.txt ray
	$(BIN)/pip install --quiet -c constraints.txt --no-deps hydra-ray-launcher
	$(BIN)/python -m pytest -m launchers

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch
	$(BIN)/pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) outputs multirun
