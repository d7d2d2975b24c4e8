# Realtime, Measured. `make` alone lists what can be made.
#
# Every recipe creates .venv if it is missing, and installs into it again when a lock has changed: a stamp file inside
# .venv remembers that it was done. Written for GNU make 3.81 (macOS) and later, and for paths with spaces in them, so
# every path here is relative and .venv's programs are called as modules.

# What `make test` runs: everything in tests/, which includes every notebook, solved and unsolved, under nbval.
# Two files at a time, because most tests wait; TEST_ARGS="-n 0" runs them one by one.
SUITE   = pytest -n 2 --dist loadfile --no-loadscope-reorder $(TEST_ARGS)
LEARNER = .venv/.learner-installed
DEV     = .venv/.dev-installed
RUN     = .venv/bin/python -m
PIP     = $(RUN) pip --disable-pip-version-check install --no-user --require-hashes $$(test -t 1 || echo -q)
UV_LOCK = --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q
DOCTOR  = $(RUN) labs.doctor

# Settings of the caller's shell that would make this Python import or install other things than those in .venv.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONOPTIMIZE PYTHONWARNINGS PIP_TARGET PIP_PREFIX MPLBACKEND

SUPPORTED  = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
CANDIDATES = $(if $(PYTHON),"$(PYTHON)",python3.13 python3.12 python3.11 python3 python)

.DEFAULT_GOAL := help
.PHONY: help lab test race progress notebooks lock lint clean always

help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

lab: $(LEARNER) ## open the course in JupyterLab; LAB_ARGS="--no-browser --port 9999" passes options on
	@$(DOCTOR)
	@export PATH="$(CURDIR)/.venv/bin:$$PATH"; \
	export JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}"; \
	exec $(RUN) jupyterlab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
	  $$(test "$$(id -u)" != 0 || echo --allow-root) $(LAB_ARGS)

test: $(DEV) ## run every test; TEST_ARGS="-k polling -x" passes options to pytest
	@$(RUN) $(SUITE)

race: $(LEARNER) ## the course in one minute: the same messages over every transport, a table and a chart
	@$(RUN) labs.race $(RACE_ARGS)

progress: $(LEARNER) ## which exercises of your notebooks are solved
	@$(RUN) labs.progress $(PROGRESS_ARGS)

notebooks: $(DEV) ## build notebooks/ anew from solutions/*.py
	@.venv/bin/python solutions/build.py $(NOTEBOOKS_ARGS)

lock: .venv/pyvenv.cfg ## write the locks anew from pyproject.toml; LOCK_ARGS=--upgrade takes newer versions
	@test -x .venv/bin/uv || $(RUN) pip --disable-pip-version-check install -q uv
	@.venv/bin/uv pip compile pyproject.toml $(UV_LOCK) $(LOCK_ARGS) -o requirements.txt
	@.venv/bin/uv pip compile pyproject.toml --extra choosing -c requirements.txt $(UV_LOCK) $(LOCK_ARGS) -o requirements-choosing.txt
	@.venv/bin/uv pip compile pyproject.toml --extra dev -c requirements-choosing.txt $(UV_LOCK) $(LOCK_ARGS) -o requirements-dev.txt

lint: $(DEV) ## check the format and style of the code, as the tests do
	@$(RUN) ruff format --check .
	@$(RUN) ruff check .

clean: ## remove .venv, caches and out/; your notebooks stay
	@rm -rf .venv out .pytest_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(LEARNER): requirements.txt .venv/pyvenv.cfg
	@echo "Installing the packages of requirements.txt into .venv (100 MB to download, once; a minute or so)"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV): requirements-dev.txt .venv/pyvenv.cfg
	@echo "Installing the packages of requirements-dev.txt into .venv (150 MB to download, once; a minute or so)"
	@$(PIP) -r requirements-dev.txt
	@touch $@

# A .venv whose Python no longer runs (it was upgraded away, or the first attempt was interrupted) is made anew.
ifneq ($(shell .venv/bin/python -c 'import pip; $(SUPPORTED)' 2>/dev/null && echo works),works)
.venv/pyvenv.cfg: always
endif
.venv/pyvenv.cfg:
	@chosen=; incomplete=; \
	for python in $(CANDIDATES); do \
	  "$$python" -c '$(SUPPORTED)' </dev/null >/dev/null 2>&1 || continue; \
	  if "$$python" -c 'import ensurepip, venv' </dev/null >/dev/null 2>&1; then chosen=$$python; break; fi; \
	  incomplete=$$python; \
	done; \
	if test -n "$$chosen"; then \
	  echo "Creating .venv with $$("$$chosen" --version)"; \
	  test ! -L .venv || rm .venv; \
	  "$$chosen" -m venv --clear .venv; \
	elif test -n "$$incomplete"; then \
	  echo "$$incomplete has no venv module. On Debian and Ubuntu: sudo apt install python3-venv. Then run make again." >&2; \
	  exit 1; \
	elif test -n "$(PYTHON)"; then \
	  echo "PYTHON=$(PYTHON) is not a Python from 3.11 to 3.13 that runs. Name another one, or none." >&2; \
	  exit 1; \
	else \
	  echo "No Python from 3.11 to 3.13 was found. Install one (python.org, brew install python@3.13," \
	    "apt install python3 python3-venv), or name it: make PYTHON=/path/to/python3.12" >&2; \
	  exit 1; \
	fi
