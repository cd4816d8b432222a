"""Models with one kind of BatchNormalization in the place of another."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np

from kregtools.errors import KregtoolsWarning
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization

PLAIN = keras.layers.BatchNormalization


def convert(model: keras.Model, to: type[PLAIN] = DropoutAwareBatchNormalization) -> keras.Model:
    """A copy of a model in which every BatchNormalization is of another class, with all weights.

    Use it on a finished model to train on with `DropoutFreeStatistics`, and back before the model goes where
    kregtools is not installed. The state of seed generators comes along, and where the model is compiled, its loss,
    metrics, optimizer and the optimizer's state. The model that was given stays as it is.

    Args:
        model: A Sequential or Functional model, or any that its own config describes; models inside it and wrapped
            layers are converted with it.
        to: `DropoutAwareBatchNormalization` or `keras.layers.BatchNormalization`. Defaults to
            `DropoutAwareBatchNormalization`.

    Returns:
        The new model.

    Raises:
        ValueError: If `to` is something else, or a BatchNormalization is out of reach: of a subclass of its own, or
            in the code of a subclassed layer or model.

    Example:

    ```python
    model = kregtools.layers.convert(model)
    ...
    model = kregtools.layers.convert(model, to=keras.layers.BatchNormalization)
    ```
    """
    if to not in (PLAIN, DropoutAwareBatchNormalization):
        raise ValueError(
            f"Invalid value for argument `to`. Received: to={to!r}. Expected DropoutAwareBatchNormalization or "
            "keras.layers.BatchNormalization."
        )
    config: Any = keras.saving.serialize_keras_object(model)
    config.pop("compile_config", None)
    template: Any = keras.saving.serialize_keras_object(to(name="template"))
    names = {key: template[key] for key in ("module", "class_name", "registered_name")}
    converted: Any = keras.saving.deserialize_keras_object(_swapped(config, names), safe_mode=False)
    left = [layer.name for layer in _norms(converted) if type(layer) is not to]
    if left:
        raise ValueError(
            f"{', '.join(left)} of '{model.name}' cannot be converted: they are of a class of their own, or the code "
            f"of a subclassed layer or model makes them. Make them of {to.__module__}.{to.__qualname__} there."
        )
    _copy(_state(model), _state(converted))
    _compile_like(converted, model)
    return converted


def _swapped(config: Any, names: dict[str, Any]) -> Any:
    """The config with the names of a class in the place of those of every BatchNormalization."""
    if isinstance(config, (list, tuple)):
        return type(config)(_swapped(part, names) for part in config)
    if not isinstance(config, dict):
        return config
    found = {key: _swapped(part, names) for key, part in config.items()}
    ours = keras.saving.get_registered_name(DropoutAwareBatchNormalization)
    if config.get("registered_name") == ours or (
        config.get("class_name") == "BatchNormalization" and config.get("module") == "keras.layers"
    ):
        found.update(names)
    return found


def _norms(model: keras.Model) -> list[keras.Layer]:
    return [layer for layer in model._flatten_layers() if isinstance(layer, PLAIN)]


def _compile_like(converted: Any, model: Any) -> None:
    if not getattr(model, "compiled", False):
        return
    try:
        converted.compile_from_config(model.get_compile_config())
    except Exception as error:
        warnings.warn(
            f"The new model is not compiled: what '{model.name}' was compiled with cannot be copied ({error}). Call "
            "`compile` on it.",
            KregtoolsWarning,
            stacklevel=3,
        )
    if converted.compiled and model.optimizer.built:
        if not converted.optimizer.built:
            converted.optimizer.build(converted.trainable_variables)
        _copy(model.optimizer.variables, converted.optimizer.variables)


def _state(model: keras.Model) -> list[Any]:
    return [*model.trainable_variables, *model.non_trainable_variables]


def _copy(sources: list[Any], targets: list[Any]) -> None:
    for source, target in zip(sources, targets, strict=True):
        # Through NumPy: JAX gives the buffers of a variable away when it trains.
        target.assign(np.array(keras.ops.convert_to_numpy(source)))
