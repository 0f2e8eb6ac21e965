# Everything a newcomer needs: `make help`. Needs Python (3.11 to 3.14) and make; packages come from wherever pip is set up to find them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install demo test quick test-browser test-security test-field test-operate test-fleet test-faults long lab bench bench-peers audit soak check clean

VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One stamp per kind of install. The folder's own name is part of it: a copied checkout installs again.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
DEV := $(VENV)/.dev-$(HERE)
DEMO := $(VENV)/.demo-$(HERE)
GROUPS := browser security field operate fleet faults
QUICK := tests/capture tests/content_key tests/sweep/test_design.py tests/sweep/test_table.py tests/values tests/widget tests/backend/test_forecast.py tests/data/test_bufferfile.py tests/data/test_known.py \
  tests/house/test_documents.py tests/house/test_images.py tests/magic/test_history.py
# Three processes on two cores: tests wait as much as they compute. A file is one process's, so that its tests share what they start.
PYTEST = $(PY) .ci/nothing_left.py $(PY) -m pytest $(if $(PYTEST_ARGS),$(PYTEST_ARGS),-n 3 --dist loadfile --no-loadscope-reorder)
NEEDS := pyproject.toml constraints.txt $(PY)
LINTED := mecapy_jupyter backend worker tests .ci notebooks/run_demo.py $(wildcard tests/notebooks/*.py)
# Asked of each candidate, for pyenv's shims exist without working: is it one that MecaPy runs on?
SUITABLE := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

install: $(DEV)  ## .venv with everything, in the versions of constraints.txt

demo: $(DEMO)  ## run notebooks/01_first_cell.ipynb on an embedded stack and show what came back
	@$(PY) notebooks/run_demo.py

test: $(DEV)  ## the core of the tests, against real services
	@$(PYTEST) $(addprefix --ignore=tests/,$(GROUPS)) -m 'not long'

quick: $(DEV)  ## the tests that need no stack
	@$(PYTEST) $(QUICK) -m 'not long'

# A group is a folder of tests beside the core. SHORT=1 leaves out what is marked `long`.
test-browser: $(DEV)  ## JupyterLab and the page in a real browser
test-security: $(DEV)  ## hostile cells, tokens, limits, what may leave a worker
test-field: $(DEV)  ## cells compared here and on the pool
test-operate: $(DEV)  ## operating it: upgrades, backups, alarms
test-fleet: $(DEV)  ## machines that come and go
test-faults: $(DEV)  ## killed processes and services that are away
$(addprefix test-,$(GROUPS)):
	@if test -d tests/$(@:test-%=%); then $(PYTEST) tests/$(@:test-%=%) $(if $(SHORT),-m 'not long'); \
	  else echo "make $@: no tests yet, tests/$(@:test-%=%) does not exist"; fi

long: $(DEV)  ## every test, whole: half an hour and more
	@$(PYTEST)

lab: $(DEMO)  ## JupyterLab on the demo notebooks, the stack running
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; export PATH; \
	python -c 'from mecapy_jupyter.stack.embedded import ensure; ensure()' && exec python -m jupyter lab --notebook-dir=notebooks $(LAB_ARGS)

bench: $(DEV)  ## every figure beside its target, in twelve minutes; writes docs/benchmarks.md
	@$(PY) -m tests.bench

bench-peers: $(DEV)  ## the same beside ipyparallel, Dask, Ray, Celery and arq (installed into .venv-peers), into docs/benchmarks.md
	@$(PY) -m tests.bench.peers

soak: $(DEV)  ## kill everything at random under load, then check every task: make soak MINUTES=5 SEED=7
	@$(PY) -m tests.faults.soak --minutes $(or $(MINUTES),2) --seed "$(SEED)"

audit: $(PY)  ## known vulnerabilities of what constraints.txt pins, where a vulnerability service can be reached
	@test -x .venv-audit/bin/pip-audit || { $(PY) -m venv .venv-audit && .venv-audit/bin/python -m pip install -q pip-audit; }
	@timeout 60 .venv-audit/bin/pip-audit -s osv --disable-pip --no-deps --progress-spinner off --timeout 10 -r constraints.txt 2>.venv-audit/said \
	  || { tail -n 1 .venv-audit/said | cut -c 1-200; echo 'make audit: vulnerabilities above, or no vulnerability service to ask; nothing fails for it'; }

check: $(DEV)  ## lint, format, types, architecture, and nothing of one machine in the files
	@$(PY) -m ruff check $(LINTED)
	@$(PY) -m ruff format --check $(LINTED)
	@$(PY) -m pyright
	@$(VENV)/bin/lint-imports
	@$(PY) -m tests.house.tracked

clean:  ## remove .venv and what tests and demo wrote
	rm -rf $(VENV) .venv-audit demo-output test-output build dist .pytest_cache .ruff_cache .import_linter_cache

$(PY):
	@set -e; chosen=; \
	for python in $(PYTHON) $(if $(PYTHON),,python3.14 python3.13 python3.12 python3.11 python3 python); do \
	  if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo 'MecaPy needs Python 3.11, 3.12, 3.13 or 3.14 and found none$(if $(PYTHON),: $(PYTHON), on PATH). Install one (python.org, apt, brew), or name it: make PYTHON=/path/to/python3 …' >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$chosen" --version), $$(command -v "$$chosen")"; \
	if "$$chosen" -c 'import venv, ensurepip' 2>/dev/null; then "$$chosen" -m venv --clear $(VENV); \
	elif "$$chosen" -m pip --version >/dev/null 2>&1; then \
	  "$$chosen" -m venv --clear --without-pip $(VENV) && "$$chosen" -m pip --quiet --python $(PY) install pip; \
	else \
	  rm -rf $(VENV); \
	  echo "$$chosen cannot make virtual environments: its ensurepip is missing. Install it (Debian, Ubuntu: apt install python3-venv) and run make again." >&2; exit 1; \
	fi

$(DEMO): $(NEEDS)
	@if test -e $(DEV); then $(MAKE) --no-print-directory $(DEV); else $(call pip,.[local$(,)lab]); fi
	@touch $@

$(DEV): $(NEEDS)
	@$(call pip,.[dev])
	@touch $@ $(DEMO)

, := ,
# setuptools from the constraints builds the package, so that building, too, is the same tomorrow.
pip = echo 'installing $(1) into $(VENV) (the first time takes a minute or two)' \
	&& $(PY) -m pip install --quiet --constraint constraints.txt setuptools \
	&& $(PY) -m pip install --quiet --constraint constraints.txt --no-build-isolation --editable '$(1)'
