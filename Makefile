# Everything a newcomer needs: `make help`. Needs python3 (3.11 or newer) and make; packages come from wherever pip is set up to find them.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help install demo test lab bench check clean

VENV := .venv
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# One stamp per kind of install. The folder's own name is part of it: a copied checkout installs again.
HERE := $(shell pwd -P | cksum | cut -d ' ' -f 1)
DEV := $(VENV)/.dev-$(HERE)
DEMO := $(VENV)/.demo-$(HERE)
NEEDS := pyproject.toml constraints.txt $(PY)
LINTED := mecapy_jupyter backend worker tests .ci notebooks/run_demo.py $(wildcard tests/notebooks/*.py)
# Called for each candidate: prints its path when it is new enough. pyenv's shims exist without working, so ask each one.
SUITABLE := import sys; sys.exit(sys.version_info < (3, 11))

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' Makefile

install: $(DEV)  ## .venv with everything, in the versions of constraints.txt

demo: $(DEMO)  ## run notebooks/01_first_cell.ipynb on an embedded stack and show what came back
	@$(PY) notebooks/run_demo.py

test: $(DEV)  ## the whole test suite, against real services
	@$(PY) -m pytest $(if $(PYTEST_ARGS),$(PYTEST_ARGS),-n 2 --dist loadfile)

lab: $(DEMO)  ## JupyterLab on the demo notebooks, the stack running
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH"; export PATH; \
	python -c 'from mecapy_jupyter.embedded import ensure; ensure()' && exec python -m jupyter lab --notebook-dir=notebooks $(LAB_ARGS)

bench: $(DEV)  ## round trip of a trivial cell: local kernel, %%mecapy, and their ratio
	@$(PY) -m tests.bench

check: $(DEV)  ## lint, format, types, architecture, and nothing of one machine in the files
	@$(PY) -m ruff check $(LINTED)
	@$(PY) -m ruff format --check $(LINTED)
	@$(PY) -m pyright
	@$(VENV)/bin/lint-imports
	@$(PY) -m tests.house.tracked

clean:  ## remove .venv and what tests and demo wrote
	rm -rf $(VENV) demo-output test-output build dist .pytest_cache .ruff_cache .import_linter_cache

$(PY):
	@set -e; chosen=; \
	for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python3.14 python; do \
	  if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then chosen=$$python; break; fi; \
	done; \
	if [ -z "$$chosen" ]; then \
	  echo 'MecaPy needs Python 3.11 or newer and found none on PATH. Install one (python.org, apt, brew), or name it: make PYTHON=/path/to/python3 …' >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$chosen" --version)"; \
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
