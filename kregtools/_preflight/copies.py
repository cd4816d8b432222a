"""Copies of a model, to try something on."""

from __future__ import annotations

from typing import Any

import keras

from kregtools.capture.forward import call, tensors
from kregtools.symptoms import CannotCheckError


def copy_of(model: Any, x: Any, dtype: str | None = None) -> Any:
    """A model of its own with the same weights, not compiled.

    Args:
        model: A built Keras model.
        x: Rows to build the copy with.
        dtype: What its layers compute in, `None` for what they do now.

    Raises:
        CannotCheckError: If it cannot be copied.
    """
    try:
        copy = _cloned(model, dtype)
        call(copy, tensors(x))
        copy.set_weights(model.get_weights())
    except Exception as error:
        raise CannotCheckError(
            f"the model cannot be copied ({type(error).__name__}: {error}): give it, and its layers, a `get_config` "
            "from which they can be made again"
        ) from error
    return copy


def _cloned(model: Any, dtype: str | None) -> Any:
    def like(layer: Any) -> Any:
        return type(layer).from_config(_computing_in(layer.get_config(), dtype))

    if isinstance(model, keras.Sequential) or type(model).__name__ == "Functional":
        compiled = model.compiled
        # Keras would compile the copy as well, which takes losses and metrics that can be made from a config.
        object.__setattr__(model, "compiled", False)
        try:
            return keras.models.clone_model(model, clone_function=like)
        finally:
            object.__setattr__(model, "compiled", compiled)
    return like(model)


def _computing_in(config: Any, dtype: str | None) -> Any:
    """The config with every floating-point type in it replaced."""
    if dtype is None or not isinstance(config, (dict, list)):
        return config
    if isinstance(config, list):
        return [_computing_in(item, dtype) for item in config]
    return {key: dtype if _is_float(key, item) else _computing_in(item, dtype) for key, item in config.items()}


def _is_float(key: str, value: Any) -> bool:
    if isinstance(value, dict):
        value = (value.get("config") or {}).get("name", "")
    return key == "dtype" and "float" in str(value)
