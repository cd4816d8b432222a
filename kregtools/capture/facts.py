"""What is known of a run before its first step."""

from __future__ import annotations

import contextlib
import platform
import re
from collections.abc import Mapping
from typing import Any

import keras

from kregtools.capture.names import named_layers

# Layers that are an activation by themselves.
ACTIVATIONS = {
    keras.layers.ReLU: "relu",
    keras.layers.LeakyReLU: "leaky_relu",
    keras.layers.PReLU: "prelu",
    keras.layers.ELU: "elu",
    keras.layers.Softmax: "softmax",
}
# What the short names that `compile` accepts stand for.
LOSS_ALIASES = {"mse": "mean_squared_error", "bce": "binary_crossentropy", "mae": "mean_absolute_error"}


def model_facts(model: keras.Model, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts of a record: model, layers, optimizer, losses, outputs, fit, versions.

    Args:
        model: A compiled Keras model, built or not.
        params: What `fit` tells its callbacks: epochs, steps, verbose.
    """
    return {
        "model": {
            "name": model.name,
            "class": type(model).__name__,
            "parameters": model.count_params() if _built(model) else None,
        },
        "layers": [_layer(name, layer) for name, layer in named_layers(model)],
        "optimizer": _optimizer(model.optimizer),
        "losses": _losses(model.loss),
        "outputs": _outputs(model),
        "fit": dict(params or {}),
        "versions": _versions(),
    }


def activation_name(layer: keras.Layer) -> str | None:
    """The name of the layer's activation, `None` where it has none."""
    for kind, name in ACTIVATIONS.items():
        if isinstance(layer, kind):
            return name
    return getattr(getattr(layer, "activation", None), "__name__", None)


def is_relu(layer: keras.Layer) -> bool:
    """Whether the layer's output is exactly zero wherever a unit is off."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return activation_name(layer) in ("relu", "relu6")


def _built(model: keras.Model) -> bool:
    return all(layer.built for layer in [model, *(layer for _, layer in named_layers(model))])


def _layer(name: str, layer: keras.Layer) -> dict[str, Any]:
    size = getattr(layer, "units", None) or getattr(layer, "filters", None)
    return {
        "name": name,
        "class": type(layer).__name__,
        "activation": activation_name(layer),
        "units": size,
        "rate": getattr(layer, "rate", None),
        "kernel_initializer": _initializer(getattr(layer, "kernel_initializer", None)),
        "regularized": _regularized(layer),
        "trainable": layer.trainable,
        "parameters": layer.count_params() if layer.built else None,
        "weights": sorted(variable.name for variable in layer._trainable_variables),
    }


def _initializer(initializer: Any) -> dict[str, Any] | None:
    if initializer is None:
        return None
    config = {}
    with contextlib.suppress(Exception):  # a user's own initializer need not have a config
        config = {key: value for key, value in initializer.get_config().items() if key != "seed"}
    return {"class": type(initializer).__name__, **config}


def _regularized(layer: keras.Layer) -> bool:
    names = ("kernel_regularizer", "recurrent_regularizer", "embeddings_regularizer", "activity_regularizer")
    return any(getattr(layer, name, None) is not None for name in names)


def _optimizer(optimizer: Any) -> dict[str, Any] | None:
    if optimizer is None:
        return None
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    inner = optimizer.inner_optimizer if scaled else optimizer
    facts = {"class": type(inner).__name__, "loss_scale": "dynamic" if scaled else inner.loss_scale_factor}
    with contextlib.suppress(Exception):  # a schedule of the user's own may not answer before the first step
        facts["learning_rate"] = float(inner.learning_rate)
    return facts


def _losses(loss: Any) -> list[dict[str, Any]]:
    if isinstance(loss, dict):
        return [_loss(item) for item in loss.values()]
    if isinstance(loss, (list, tuple)):
        return [_loss(item) for item in loss]
    return [] if loss is None else [_loss(loss)]


def _loss(loss: Any) -> dict[str, Any]:
    name = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return {"name": LOSS_ALIASES.get(name, name), "from_logits": getattr(loss, "from_logits", False)}


def _outputs(model: keras.Model) -> list[dict[str, Any]]:
    outputs = getattr(model, "outputs", None) or []
    return [{"name": output.name, "shape": list(output.shape)} for output in outputs]


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    return {"python": platform.python_version(), "keras": keras.__version__, "backend": backend}
