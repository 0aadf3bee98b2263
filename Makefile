# make run: the main job, from nothing but Python 3.11.  make verify: are its runs, and the shipped ones, still
# true?  make notebook: the tutorial in Jupyter.  make docs: the documentation, in site/.  make test: the tests.
# make check: all that CI runs.

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
TORCH := $(shell grep '^torch==' constraints.txt)
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder
MLFLOW_RUN := PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mlflow run . --env-manager local

.PHONY: run verify notebook docs test test-all test-versions check mutants lock format bench bench-own bench-products bench-sweeps tables ui clean

run: $(VENV)/installed
	$(MLFLOW_RUN) --experiment-name boston --run-name module -P variant=module
	$(MLFLOW_RUN) --experiment-name boston --run-name sequential -P variant=sequential
	@echo
	@$(BIN)/reproven runs --experiment boston --last 2
	@echo
	@echo "Next: make verify, which replays both; make ui, and compare the two runs at http://127.0.0.1:5000"

verify: $(VENV)/installed
	$(BIN)/reproven replay --shipped $$(test ! -f mlflow.db || echo --experiment boston)

notebook: $(VENV)/installed-notebook
	$(BIN)/jupyter lab examples/notebook.ipynb

docs: $(VENV)/installed-docs
	$(BIN)/python tests/commands_page.py
	$(BIN)/zensical build --strict --clean
	@echo
	@echo "Next: open site/index.html"

ui: $(VENV)/installed
	$(BIN)/mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000

test: $(VENV)/installed-dev
	$(PYTEST) -m "not slow"

test-all: $(VENV)/installed-dev
	$(PYTEST)

test-versions: $(VENV)/installed-dev
	$(BIN)/python tests/versions.py

check: $(VENV)/installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) docs
	$(PYTEST) -m "not slow"

mutants: $(VENV)/installed-dev
	$(BIN)/mutmut run --max-children 2
	$(BIN)/mutmut results

format: $(VENV)/installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/cost.py

bench-own: $(VENV)/installed-dev
	$(BIN)/python benchmarks/own.py

bench-products: $(VENV)/installed-dev
	$(BIN)/python benchmarks/products.py

tables: $(VENV)/installed-dev
	$(BIN)/pip install --quiet --constraint constraints.txt -e ".[tables]"
	$(BIN)/python benchmarks/tables.py

bench-sweeps: $(VENV)/installed-dev
	$(BIN)/python -W ignore benchmarks/sweeps.py

# torch goes first, so that nothing else chooses its version
$(VENV)/installed: pyproject.toml constraints.txt
	@echo "Makes an environment in $(VENV), which takes a minute or two. First torch:"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet $(TORCH)
	@echo "then this package with MLflow and the rest, at the versions of constraints.txt:"
	$(BIN)/pip install --quiet --constraint constraints.txt -e ".[search]"
	@touch $@

# what an extra of pyproject.toml adds: installed-dev, installed-docs, installed-notebook
$(VENV)/installed-%: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt -e ".[$*]"
	@touch $@

# the newest of everything but torch; conda.yaml is then written by hand, and a test holds both to be equal
lock:
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet $(TORCH)
	build/lock/bin/pip install --quiet -e ".[dev]"
	sed -n 1p constraints.txt > build/lock/constraints.txt
	build/lock/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' >> build/lock/constraints.txt
	mv build/lock/constraints.txt constraints.txt

clean:
	rm -rf $(VENV) build site mutants .pytest_cache .mypy_cache .ruff_cache
