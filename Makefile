# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-slow check clean

## Train on the embedded digits: one sick run, one healthy run, a small search, a report.
demo: $(VENV)/installed
	$(RUN) recipes/digits_dense.py --learning-rate 3 --report report.html
	$(RUN) recipes/digits_dense.py --report ""
	$(RUN) recipes/digits_dense.py --tune --trials 3 --report ""
	@echo "The report of the sick run: $(CURDIR)/report.html"

## The tests, but for the slow ones.
test: $(VENV)/installed-dev
	$(RUN) -m ruff check kregtools recipes tests benchmarks
	$(RUN) -m ruff format --check kregtools recipes tests benchmarks
	$(RUN) -m pytest -n 2

## All tests.
test-slow: $(VENV)/installed-dev
	$(RUN) -m pytest -n 2 -m "slow or not slow"

## Static types.
check: $(VENV)/installed-dev
	$(RUN) -m pyright --pythonpath $(RUN)

clean:
	rm -rf $(VENV) runs report.html

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[tensorflow,recipes]"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(RUN) -m pip install --quiet --group dev
	touch $@
