"""What kregtools relies on in Keras beyond its public interface: it fails loudly, by name, where Keras changes."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import keras
import numpy as np
import pytest

import kregtools

ROOT = Path(kregtools.__file__).parent


def private_names() -> list[tuple[str, str, str]]:
    """Every name we import from Keras' inside: the file, the module, the name."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("keras.src"):
                found += [(str(path.relative_to(ROOT)), node.module or "", alias.name) for alias in node.names]
    return found


@pytest.mark.parametrize("file, module, name", private_names())
def test_keras_still_has_what_is_imported_from_its_inside(file, module, name):
    backend = {"tensorflow", "jax", "torch"} & set(module.split("."))
    if backend and keras.config.backend() not in backend:
        pytest.skip(f"for {', '.join(backend)} alone")
    try:
        there = hasattr(importlib.import_module(module), name)
    except ImportError:
        there = False
    if not there:
        there = importlib.util.find_spec(f"{module}.{name}") is not None
    assert there, f"Keras {keras.__version__} has no {module}.{name}, which {file} needs"


@pytest.mark.parametrize("hook", [
    "train_function", "make_train_function", "train_step", "compute_loss", "optimizer", "jit_compile", "fit",
])  # fmt: skip
def test_a_model_still_has_the_hooks_that_are_used(hook):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    assert hasattr(model, hook), f"a model of Keras {keras.__version__} has no `{hook}`"


def test_fit_still_reads_the_train_function_at_every_step():
    """`HealthMonitor` puts a dispatcher in its place when training begins."""
    source = inspect.getsource(keras.Model.fit)
    assert "self.train_function(" in source, f"`fit` of Keras {keras.__version__} does not call `self.train_function`"


def test_fit_still_makes_the_train_function_before_callbacks_begin():
    made = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            made.append(self.model.train_function)

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), verbose=0, callbacks=[Look()])
    assert callable(made[0]), f"Keras {keras.__version__} has no train function yet when training begins"


def test_a_layer_still_has_a_path_and_knows_its_calls():
    inner = keras.layers.Dense(1, name="inner")
    model = keras.Sequential([keras.Input((2,)), keras.Sequential([inner], name="outer")], name="model")
    assert inner.path.split("/")[-2:] == ["outer", "inner"], f"`Layer.path` is {inner.path!r}"
    assert [layer.name for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)] == ["inner"]
