# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
# PyTorch from PyPI comes with several GB for GPUs; its own index has the CPU build.
TORCH_OPTIONS ?= --extra-index-url https://download.pytorch.org/whl/cpu
# Tests of what is written once for all backends.
NEUTRAL := tests/initializers $(addprefix tests/layers/test_, residual_scale.py centered_weight_normalization.py \
	layer_conformance.py drop_connect.py stochastic_depth.py fractional_max_pooling_2d.py shift_and_flip.py \
	token_augmentation.py waveform_augmentation.py)
RECIPES := tests/recipes/test_recipes.py::test_every_recipe_trains_diagnoses_and_reports
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: demo test test-slow test-backends coverage mutation check clean

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

## The tests of JAX and PyTorch, each in a virtual environment of its own.
test-backends: $(VENV)-jax/installed $(VENV)-torch/installed
	KERAS_BACKEND=jax $(VENV)-jax/bin/python -m pytest -n 2 tests/backends $(NEUTRAL) $(RECIPES)
	KERAS_BACKEND=torch $(VENV)-torch/bin/python -m pytest -n 2 tests/backends $(NEUTRAL) $(RECIPES)

## The lines that the fast tests reach.
coverage: $(VENV)/installed-dev
	$(RUN) -m pytest -n 2 --cov

## Faults planted in the symptoms and in what they measure by: which do the tests leave alive? About an hour.
mutation: $(VENV)/installed-dev
	$(RUN) -m pip install --quiet --group mutation
	$(VENV)/bin/mutmut run --max-children 2
	$(VENV)/bin/mutmut results

## Static types.
check: $(VENV)/installed-dev
	$(RUN) -m pyright --pythonpath $(RUN)

clean:
	rm -rf $(VENV) $(VENV)-jax $(VENV)-torch runs report.html .coverage* mutants

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[tensorflow,recipes]"
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(RUN) -m pip install --quiet --group dev
	touch $@

$(VENV)-jax/installed: BACKEND = jax
$(VENV)-torch/installed: BACKEND = torch
$(VENV)-torch/installed: OPTIONS = $(TORCH_OPTIONS)
$(VENV)-%/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)-$(BACKEND)
	$(VENV)-$(BACKEND)/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-$(BACKEND)/bin/python -m pip install --quiet $(OPTIONS) --editable ".[$(BACKEND),recipes]" --group dev
	touch $@
