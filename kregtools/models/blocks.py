"""Layers that the recipes' models have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from kregtools.initializers import DropoutAware

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import SimpleNamespace


# The initializers of lectures on how not to start, with the numbers they use.
_TEXTBOOK = {
    "constant": keras.initializers.Constant(0.05),
    "large_normal": keras.initializers.RandomNormal(stddev=1.0),
    "small_normal": keras.initializers.RandomNormal(stddev=0.01),
}


def regularizer(chosen: SimpleNamespace) -> Any:
    if chosen.l1:
        return keras.regularizers.L1L2(chosen.l1, chosen.l2)
    return keras.regularizers.L2(chosen.l2) if chosen.l2 else None


def initializer(name: str, before: str = "linear", dropout: float = 0.0) -> Any:
    """An initializer by name.

    That is Keras' name for it, `"dropout_aware"`, which is told the activation and the dropout that stand before the
    kernel, or one of lectures on how not to start: `"constant"` (0.05), `"large_normal"` (standard deviation 1) and
    `"small_normal"` (0.01).
    """
    if name == "dropout_aware":
        return DropoutAware(before, rate=dropout)
    return _TEXTBOOK[name].clone() if name in _TEXTBOOK else keras.initializers.get(name)


def normalization(kind: str, name: str) -> list[keras.layers.Layer]:
    """The normalization layer of that kind, or none.

    Raises:
        ValueError: the kind is unknown.
    """
    layers = {"batch": keras.layers.BatchNormalization, "layer": keras.layers.LayerNormalization}
    if kind == "none":
        return []
    if kind not in layers:
        raise ValueError(f"Unknown normalization. Received: {kind!r}. Expected 'none', 'batch' or 'layer'.")
    return [layers[kind](name=name)]


def hidden_dense(chosen: SimpleNamespace) -> Iterator[keras.layers.Layer]:
    """`chosen.layers` dense layers of `chosen.units`, each with its normalization, activation and dropout."""
    # The first layer's inputs are data.
    before: tuple[Any, ...] = ()
    for k in range(1, chosen.layers + 1):
        normalized = normalization(chosen.normalization, f"normalization_{k}")
        yield keras.layers.Dense(
            chosen.units,
            activation=None if normalized else chosen.activation,
            use_bias=not normalized,
            kernel_initializer=initializer(chosen.initializer, *before),
            kernel_regularizer=regularizer(chosen),
            name=f"hidden_{k}",
        )
        yield from normalized
        if normalized:
            yield keras.layers.Activation(chosen.activation, name=f"activation_{k}")
        if chosen.dropout:
            yield keras.layers.Dropout(chosen.dropout, name=f"dropout_{k}")
        before = (chosen.activation, chosen.dropout)


def classifier(classes: int) -> keras.layers.Dense:
    """The last layer: class probabilities, or that of one class; in float32 under any policy."""
    if classes == 2:
        return keras.layers.Dense(1, activation="sigmoid", dtype="float32", name="output")
    return keras.layers.Dense(classes, activation="softmax", dtype="float32", name="output")


def convolution(
    chosen: SimpleNamespace,
    filters: int,
    *,
    name: str,
    strides: int = 1,
    size: int = 3,
    activate: bool = True,
    before: str | None = None,
    dropout: float = 0.0,
) -> list[keras.layers.Layer]:
    """A convolution with its normalization and activation.

    `before` and `dropout` are the activation and the rate that stand before it: by default another such convolution.
    """
    normalized = normalization(chosen.normalization, f"{name}_normalization")
    kernel = keras.layers.Conv2D(
        filters,
        size,
        strides,
        padding="same",
        use_bias=not normalized,
        kernel_initializer=initializer(chosen.initializer, before or chosen.activation, dropout),
        kernel_regularizer=regularizer(chosen),
        name=name,
    )
    activation = [keras.layers.Activation(chosen.activation, name=f"{name}_{chosen.activation}")] if activate else []
    return [kernel, *normalized, *activation]


def through(layers: list[keras.layers.Layer], x: Any) -> Any:
    """Call the layers one after the other."""
    for layer in layers:
        x = layer(x)
    return x
