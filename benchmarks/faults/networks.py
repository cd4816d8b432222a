"""The networks of the programs, and what they are compiled with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers

SPARSE, BINARY, SQUARED = "sparse_categorical_crossentropy", "binary_crossentropy", "mse"
adam, sgd = keras.optimizers.Adam, keras.optimizers.SGD


def mlp(
    inputs: int = 64,
    hidden: tuple[int, ...] = (64, 64),
    outputs: int = 10,
    activation: str | None = "relu",
    last: str | None = "softmax",
    dropout: float = 0.0,
    norm: bool = False,
    **dense: Any,
) -> keras.Model:
    """A dense network."""
    model = keras.Sequential([keras.Input((inputs,))])
    for units in hidden:
        model.add(layers.Dense(units, None if norm else activation, **dense))
        if norm:
            model.add(layers.BatchNormalization())
            model.add(layers.Activation(activation or "linear"))
        if dropout:
            model.add(layers.Dropout(dropout))
    model.add(layers.Dense(outputs, last))
    return model


def conv(norm: bool = False, momentum: float = 0.99) -> keras.Model:
    """A small convolutional network for 8 x 8 images."""
    model = keras.Sequential([keras.Input((64,)), layers.Reshape((8, 8, 1))])
    for filters in (16, 32):
        model.add(layers.Conv2D(filters, 3, padding="same", use_bias=not norm))
        if norm:
            model.add(layers.BatchNormalization(momentum=momentum))
        model.add(layers.Activation("relu"))
    model.add(layers.GlobalMaxPooling2D())
    model.add(layers.Dense(10, "softmax"))
    return model


def residual() -> keras.Model:
    """Residual blocks whose branches begin at zero."""
    inputs = keras.Input((64,))
    x = layers.Dense(64)(inputs)
    for _ in range(4):
        branch = layers.Dense(64, "relu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(64, kernel_initializer="zeros")(branch)])
    return keras.Model(inputs, layers.Dense(10, "softmax")(x))


def recurrent(cell: Callable[..., Any] = layers.LSTM, **settings: Any) -> keras.Model:
    """Reads an image row by row."""
    model = keras.Sequential([keras.Input((64,)), layers.Reshape((8, 8))])
    model.add(cell(32, **settings))
    model.add(layers.Dense(10, "softmax"))
    return model


def attention() -> keras.Model:
    """Attention over the rows of an image."""
    inputs = keras.Input((64,))
    x = layers.Dense(32)(layers.Reshape((8, 8))(inputs))
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 8)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(32)(layers.Dense(64, "relu")(x)))
    return keras.Model(inputs, layers.Dense(10, "softmax")(layers.GlobalAveragePooling1D()(x)))


def frozen() -> keras.Model:
    """All but the last layer frozen, and those before it useless."""
    model = mlp(hidden=(2, 2), activation="tanh")
    for layer in model.layers[:-1]:
        layer.trainable = False
    return model


def compiled(loss: Any = SPARSE, optimizer: Callable[[], Any] = adam, **settings: Any) -> Callable[[], dict[str, Any]]:
    """What `compile` is given; the optimizer is made anew each time."""
    metrics = ["accuracy"] if loss in (SPARSE, BINARY, "categorical_crossentropy") else []
    return lambda: {"loss": loss, "optimizer": optimizer(), "metrics": metrics, **settings}


def one(inputs: int, hidden: tuple[int, ...] = (32, 32), last: str | None = None, **settings: Any) -> Any:
    """Makes networks with one output."""
    return lambda: mlp(inputs, hidden, 1, last=last, **settings)


def logarithm(y_true: Any, y_pred: Any) -> Any:
    """A crossentropy of the user's own, without a bound on what it takes the logarithm of."""
    return -keras.ops.mean(y_true * keras.ops.log(y_pred) + (1 - y_true) * keras.ops.log(1 - y_pred))
