# Two commands do everything: `make demo` and `make test`. The others are for developers.
PYTHON ?= python3
VENV ?= .venv
RUN ?= demo-run
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SETUP := $(VENV)/.installed
SETUP_DEV := $(VENV)/.installed-dev

.PHONY: demo slurm-demo test test-slurm test-long lint format benchmarks wheel clean help

help:                 ## What there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

demo: $(SETUP)        ## Run the quick-start sweep and write its report
	@$(BIN)/lars-sweep launch quickstart --run-dir $(RUN) --wait
	@echo "The report: $(abspath $(RUN))/report/report.html"

slurm-demo: $(SETUP)  ## A sweep on a SLURM cluster of 4 virtual nodes, DDP over 2 × 2 ranks (root)
	@slurm/devcluster/up >/dev/null
	@. "$$(slurm/devcluster/up 2>/dev/null | cut -d' ' -f2)" && $(BIN)/lars-sweep launch quickstart \
		--profile devcluster --run-dir $(RUN)-slurm \
		--set space.epochs=2 --set seeds.count=1 --set 'space.global_batch=[256,512]' --wait; \
		status=$$?; slurm/devcluster/down --wipe; exit $$status

test: $(SETUP_DEV)    ## Linters, types, layers and all tests but the long ones (those on SLURM as root)
	@$(MAKE) --no-print-directory lint
	@$(BIN)/pytest -n 2 --dist loadgroup -m "not long and not gpu and not slurm"
	@$(MAKE) --no-print-directory test-slurm

test-slurm: $(SETUP_DEV)  ## The tests on development clusters of virtual nodes (root)
	@$(BIN)/pytest -n 4 --dist worksteal -m "slurm and not long"

test-long: $(SETUP_DEV)  ## The tests that need minutes to hours
	@$(BIN)/pytest -m long

lint: $(SETUP_DEV)    ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo 2>/dev/null || $(BIN)/lint-imports

format: $(SETUP_DEV)  ## Put all files into shape
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

benchmarks: $(SETUP_DEV)  ## Measure speed, memory and coverage anew (about an hour); writes their results
	@status=0; for script in $$(grep -l __main__ analysis/benchmarks/*.py); do \
		$(BIN)/python $$script || status=1; done; exit $$status

wheel: $(SETUP_DEV)   ## Build the wheel
	@$(BIN)/python -m build --wheel

clean:                ## Remove what was built
	rm -rf $(VENV) $(RUN) $(RUN)-slurm dist build

$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lars-sweep needs Python 3.11 or newer; name one: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
		{ echo "no venv module: apt-get install python3-venv"; rm -rf $(VENV); exit 1; }

$(SETUP): constraints.txt pyproject.toml | $(VENV)/bin/pip
	@echo "installing lars-sweep and what it needs into $(VENV) (about a minute)"
	@$(PIP) install --constraint constraints.txt --editable .
	@touch $@

$(SETUP_DEV): $(SETUP)
	@echo "installing the test tools"
	@$(PIP) install --upgrade "pip>=25.1"
	@$(PIP) install --constraint constraints.txt --group dev
	@touch $@
