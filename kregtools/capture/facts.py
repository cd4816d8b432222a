"""What is known of a run before its first step.

Nothing here builds or calls the model, creates a variable or draws a number. Facts that a model does not tell are
`None`, or left out.
"""

from __future__ import annotations

import contextlib
import functools
import platform
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
from keras import tree

from kregtools.capture import losses
from kregtools.capture.asking import plain, tried
from kregtools.capture.host import hushed
from kregtools.capture.names import layer_names, named_layers

# Layers that are an activation by themselves.
ACTIVATIONS = {
    keras.layers.ReLU: "relu",
    keras.layers.LeakyReLU: "leaky_relu",
    keras.layers.PReLU: "prelu",
    keras.layers.ELU: "elu",
    keras.layers.Softmax: "softmax",
}
# Operations that are one, in models that call functions instead of layers.
ACTIVATION_OPERATIONS = ("Relu", "Sigmoid", "Softmax", "Tanh", "Softplus", "Silu", "Gelu", "Elu", "LogSoftmax")
# Layers behind an activation that leave its values as they are.
KEEP_VALUES = (keras.layers.Reshape, keras.layers.Flatten, keras.layers.Permute, keras.layers.Dropout)
ROLES = ("kernel", "depthwise", "pointwise", "recurrent", "embeddings", "bias", "gamma", "beta", "activity")
# Stands among the names of layers for an input of the model.
INPUT = ""
# What a layer is set to, beside the facts that every layer has.
SETTINGS = ("use_bias", "momentum", "epsilon", "center", "scale", "dropout", "recurrent_dropout", "mask_zero")


def model_facts(model: keras.Model, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The facts of a record: model, layers, optimizer, losses, outputs, compile, fit, versions, seed and so on.

    Args:
        model: A compiled Keras model, built or not.
        params: What `fit` tells its callbacks: epochs, steps, verbose.
    """
    outputs = tried(lambda: _outputs(model), [])
    return {
        "model": {
            "name": model.name,
            "class": type(model).__name__,
            "parameters": tried(lambda: model.count_params() if _built(model) else None),
            "functions": tried(lambda: _functions(model)),
        },
        "layers": tried(lambda: _layers(model), []),
        "optimizer": tried(lambda: _optimizer(model.optimizer)),
        "losses": tried(lambda: losses.losses(model, outputs), []),
        "own_loss": tried(lambda: losses.is_own(model)),
        "metrics": tried(lambda: losses.metrics(model), []),
        "outputs": outputs,
        "compile": _compile(model),
        "fit": dict(params or {}),
        "versions": _versions(),
        "seed": tried(_seed),
        "platform": {"system": platform.system(), "machine": platform.machine()},
    }


def activation_name(layer: Any) -> str | None:
    """The name of the layer's activation, `None` where it has none."""
    for kind, name in ACTIVATIONS.items():
        if isinstance(layer, kind):
            return name
    return _function_name(getattr(layer, "activation", None))


def ends_in_activation(layer: keras.Layer) -> bool:
    """Whether what is called the layer's activation is the last that it does, as in Keras' own layers.

    In a recurrent layer it is applied in the cell, in a layer of the user's own it may be anywhere.
    """
    owner = next(kind for kind in type(layer).__mro__ if "call" in vars(kind))
    last = getattr(layer, "axis", -1) == -1 or not isinstance(layer, keras.layers.Softmax)
    return owner.__module__.startswith("keras.") and last and not isinstance(layer, keras.layers.RNN)


def _function_name(activation: Any) -> str | None:
    if isinstance(activation, keras.Layer):
        return activation_name(activation) or type(activation).__name__
    if isinstance(activation, functools.partial):
        return _function_name(activation.func)
    return None if activation is None else getattr(activation, "__name__", type(activation).__name__)


def is_relu(layer: keras.Layer) -> bool:
    """Whether the layer's output is exactly zero wherever a unit is off."""
    if isinstance(layer, keras.layers.ReLU):
        return not layer.negative_slope and not layer.threshold
    return activation_name(layer) in ("relu", "relu6")


def unit_axis(layer: keras.Layer, axes: int) -> int:
    """Along which of the axes of a layer's output its units lie: the channels of images may come before their rows."""
    of_images = keras.config.image_data_format() if axes > 3 and not layer.weights else None
    return 1 if getattr(layer, "data_format", of_images) == "channels_first" else -1


# ---- layers


def _built(model: keras.Model) -> bool:
    return all(layer.built for layer in [model, *(layer for _, layer in named_layers(model))])


def _layers(model: keras.Model) -> list[dict[str, Any]]:
    inbound: dict[int, list[str]] = {}
    names = layer_names(model)
    for part in [model, *(layer for _, layer in named_layers(model))]:  # of a subclassed model, the parts are known
        if _has_graph(part) and (part is model or id(part) not in inbound):
            tried(lambda part=part: _connect(part, names, [INPUT], inbound))
    return [{**_layer(name, layer), **_place(inbound.get(id(layer)))} for name, layer in named_layers(model)]


def _place(fed: list[str] | None) -> dict[str, Any]:
    """The layers that feed one, and whether an input does so as well."""
    return {
        "inbound": None if fed is None else [name for name in fed if name != INPUT],
        "takes_input": None if fed is None else INPUT in fed,
    }


def _layer(name: str, layer: keras.Layer) -> dict[str, Any]:
    size = plain(layer, "units") or plain(layer, "filters")
    settings = {setting: value for setting in SETTINGS if (value := plain(layer, setting)) is not None}
    regularizers = dict(_by_role(layer, "regularizer"))
    return {
        "name": name,
        "class": type(layer).__name__,
        "activation": tried(lambda: activation_name(layer)),
        "units": size,
        "rate": plain(layer, "rate"),
        "kernel_initializer": _configured(tried(lambda: getattr(layer, "kernel_initializer", None))),
        "initializers": dict(_by_role(layer, "initializer")),
        "regularized": any(role in regularizers for role in ("kernel", "recurrent", "embeddings", "activity")),
        "regularizers": regularizers,
        "trainable": layer.trainable,
        "parameters": tried(lambda: layer.count_params() if layer.built else None),
        "weights": sorted(variable.name for variable in layer._trainable_variables),
        "dtype": tried(lambda: layer.dtype_policy.name),
        **settings,
    }


def _by_role(layer: keras.Layer, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for role in ROLES:
        found = tried(lambda role=role: getattr(layer, f"{role}_{kind}", None))
        if found is not None:
            yield role, _configured(found) or {}


def _configured(thing: Any) -> dict[str, Any] | None:
    """The class and the config of an initializer, a regularizer, a schedule."""
    if thing is None:
        return None
    config = tried(lambda: {key: value for key, value in thing.get_config().items() if key not in ("seed", "name")})
    name = getattr(thing, "__name__", None) or type(thing).__name__
    return {"class": name, **(config if isinstance(config, dict) else {})}


def _connect(model: Any, names: Mapping[int, str], entering: list[str], found: dict[int, list[str]]) -> list[str]:
    """Fills `found` with the names of what feeds each layer; returns the layers whose output leaves the model."""
    if isinstance(model, keras.Sequential):
        for layer in model.layers:
            entering = _pass(layer, names, entering, found)
        return entering
    leaving: dict[int, list[str]] = {}
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            fed = entering if node.is_input else _union(leaving.get(id(tensor), []) for tensor in node.input_tensors)
            passed = _pass(node.operation, names, fed, found)
            leaving.update((id(tensor), passed) for tensor in node.outputs)
    return _union(leaving.get(id(tensor), []) for tensor in model.outputs)


def _pass(operation: Any, names: Mapping[int, str], fed: list[str], found: dict[int, list[str]]) -> list[str]:
    if id(operation) not in names:  # an input, or a function of tensors
        return fed
    found[id(operation)] = _union([found.get(id(operation), []), fed])
    if _has_graph(operation):
        return _connect(operation, names, fed, found)
    return [names[id(operation)]]


def _has_graph(layer: Any) -> bool:
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and hasattr(layer, "_nodes_by_depth"))


def _functions(model: Any) -> list[str] | None:
    """What a graph computes besides its layers, such as the relu of `keras.ops.relu(x)`; `None` without a graph."""
    models = [layer for layer in model._flatten_layers() if isinstance(layer, keras.Model)]
    if not all(map(_has_graph, models)):
        return None
    called = (operation for part in models for operation in getattr(part, "operations", ()))
    return sorted({type(operation).__name__ for operation in called if not isinstance(operation, keras.Layer)})


def _union(lists: Iterable[list[str]]) -> list[str]:
    return list(dict.fromkeys(name for names in lists for name in names))


# ---- outputs


def _outputs(model: Any) -> list[dict[str, Any]]:
    outputs = tried(lambda: list(model.outputs)) or []
    struct = tried(lambda: tree.flatten_with_path(model._outputs_struct)) or []
    called = tried(lambda: list(model.output_names)) or []
    names = layer_names(model)
    found = []
    for index, output in enumerate(outputs):
        path = struct[index][0] if len(struct) == len(outputs) else (index,)
        place = ":".join(["", *(str(part) for part in path)]) if len(outputs) > 1 else ""
        layer, activation = tried(lambda output=output: _last(model, output), (None, None))
        found.append(
            {
                "name": output.name,
                "shape": list(output.shape),
                "output": called[index] if index < len(called) else getattr(layer, "name", None),
                "tensor": f"output{place}",
                "target": f"target{place}",
                "layer": names.get(id(layer)),
                "activation": activation,
            }
        )
    return found


def _last(model: Any, output: Any) -> tuple[Any, str | None]:
    """The layer whose output this is, and the activation that its values went through."""
    layer = None
    while True:
        if isinstance(model, keras.Sequential):
            chain = list(model.layers)
            while len(chain) > 1 and isinstance(chain[-1], KEEP_VALUES):
                layer = layer or chain[-1]
                chain.pop()
            operation, history = chain[-1], None
        else:
            history = output._keras_history
            operation = history.operation
        layer = layer or (operation if isinstance(operation, keras.Layer) and not _has_graph(operation) else None)
        if _has_graph(operation):
            index = history.tensor_index if history is not None else 0
            model, output = operation, operation.outputs[index] if history is not None else operation.outputs[0]
        elif isinstance(operation, KEEP_VALUES) and history is not None:
            output = operation._inbound_nodes[history.node_index].input_tensors[0]
        else:
            return layer, _activation_of(operation)


def _activation_of(operation: Any) -> str | None:
    if type(operation).__name__ in ACTIVATION_OPERATIONS and not isinstance(operation, keras.Layer):
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(operation).__name__).lower()
    if isinstance(operation, keras.layers.Wrapper):
        return activation_name(operation) or activation_name(operation.layer)
    return activation_name(operation)


# ---- what the model was compiled with


def _optimizer(optimizer: Any) -> dict[str, Any] | None:
    if optimizer is None:
        return None
    scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    inner = optimizer.inner_optimizer if scaled else optimizer
    with hushed(DeprecationWarning):  # Keras converts the learning rate in a way that NumPy warns of
        settings = tried(lambda: dict(inner.get_config())) or {}
    schedule = getattr(inner, "_learning_rate", None)
    is_schedule = callable(schedule) and not isinstance(schedule, keras.Variable) and not keras.ops.is_tensor(schedule)
    facts = {
        **{key: value for key, value in settings.items() if key not in ("name", "learning_rate")},
        "class": type(inner).__name__,
        "loss_scale": "dynamic" if scaled else getattr(inner, "loss_scale_factor", None),
        "schedule": _configured(schedule) if is_schedule else None,
    }
    # One of the user's own is not called: it may count or print, or have no answer before the first step.
    if not is_schedule or type(schedule).__module__.startswith("keras."):
        with contextlib.suppress(Exception), hushed(DeprecationWarning):
            facts["learning_rate"] = float(inner.learning_rate)
    return facts


def _compile(model: Any) -> dict[str, Any]:
    return {
        "run_eagerly": plain(model, "run_eagerly"),
        "jit_compile": plain(model, "_jit_compile"),  # the property of that name decides, and remembers
        "steps_per_execution": plain(model, "steps_per_execution"),
        "dtype_policy": tried(lambda: model.dtype_policy.name),
    }


def _versions() -> dict[str, str]:
    backend = keras.backend.backend()
    found = {"python": platform.python_version(), "keras": keras.__version__, "backend": backend}
    for module in (backend, "numpy", "kregtools"):
        version = getattr(sys.modules.get(module), "__version__", None)
        if version is not None:
            found[module] = str(version)
    return found


def _seed() -> int | None:
    """The seed that `keras.utils.set_random_seed` was given last."""
    from keras.src.utils.rng_utils import get_random_seed

    return get_random_seed()
