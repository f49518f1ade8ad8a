# make demo: set up, then train on the embedded digits.   make test: set up, then check and test everything.
PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
# Half of the tests wait for processes of their own.
WORKERS = $(shell $(PYTHON) -c 'import os; print(max(2, 3 * (os.cpu_count() or 1) // 2))')

.PHONY: demo test check docs dist setup golden mutants clean

demo: setup
	$(VENV)/bin/srat train

test: check
	@# Where no bytecode is written each process compiles all of srat, and each worker all of the tests.
	PYTHONDONTWRITEBYTECODE= $(VENV)/bin/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

check: setup
	$(VENV)/bin/ruff format --check --quiet .
	$(VENV)/bin/ruff check --quiet .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-logo >/dev/null || $(VENV)/bin/lint-imports --no-logo

docs: setup
	@# Not --quiet: it would hide warnings from --strict, too.
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build --strict
	@echo "the site is in site/index.html"

dist: setup
	$(VENV)/bin/python -m build --outdir dist

golden: setup
	$(VENV)/bin/python -m pytest tests/test_golden.py tests/test_sameness.py --update-golden

# Plant faults, one at a time, and see that tests catch them (CONTRIBUTING.md).
mutants: setup
	$(VENV)/bin/python tests/mutants.py

setup: $(READY)

# Remade only when what it is made from changes.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "srat needs Python 3.11 or newer; name one with: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@# An oracle of the tests; its torchvision is not needed for what they use.
	$(VENV)/bin/pip install --quiet --no-deps --constraint constraints.txt torchattacks
	@# For an example alone, and apart: with torchmetrics beside it Fabric takes twice as long to import.
	$(VENV)/bin/pip install --quiet --no-deps --constraint constraints.txt --target $(VENV)/apart lightning torchmetrics
	@touch $@

clean:
	rm -rf $(VENV) dist site .mutants .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
