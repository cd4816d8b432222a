import importlib
import subprocess
import sys

import pytest

import kregtools


@pytest.mark.parametrize("name", kregtools.__all__)
def test_every_public_name_is_there(name):
    assert getattr(kregtools, name) is not None and name in dir(kregtools)


def test_an_unknown_name_is_an_error_that_lists_the_known():
    with pytest.raises(AttributeError, match=r"no attribute 'recalibrat'. Available: .*recalibrate"):
        kregtools.recalibrat  # noqa: B018


@pytest.mark.parametrize(
    "module", ["callbacks", "initializers", "layers", "models", "tuning", "symptoms", "causes", "record", "report"]
)
def test_what_a_module_lists_is_there(module):
    module = importlib.import_module(f"kregtools.{module}")
    assert all(hasattr(module, name) for name in module.__all__)


@pytest.mark.parametrize(
    "imports",
    [
        "import kregtools, keras",
        *(
            pytest.param(f"import {names}", marks=pytest.mark.slow)
            for names in ("keras, kregtools", "kregtools.diagnosis, keras")
        ),
    ],
)
def test_our_objects_are_registered_once_keras_is_there(imports):
    code = f"{imports}; print(keras.saving.get_registered_object('kregtools>DropoutAware').__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "DropoutAware"


def test_importing_it_adds_little_to_importing_keras():
    code = "import keras, time; began = time.process_time(); import kregtools; print(time.process_time() - began)"
    assert any(float(subprocess.check_output([sys.executable, "-c", code])) < 0.3 for _ in range(2))
