"""Parts of models, drawn at random: each takes a tensor of Keras' and gives one."""

from collections.abc import Sequence
from typing import Any, TypeVar

import keras
import numpy as np
from keras import layers

Drawn = TypeVar("Drawn")

ACTIVATIONS = ["relu", "tanh", "sigmoid", "gelu", "selu", "elu", "softplus", "silu", "leaky_relu", "relu6", None]
ACTIVATIONS += ["softmax", "hard_sigmoid", "hard_tanh", "mish", "softsign", "exponential"]
ACTIVATION_LAYERS = [layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU, layers.Softmax]
INITIALIZERS = ["glorot_uniform", "he_normal", "orthogonal", "zeros", "truncated_normal", "lecun_uniform"]
REGULARIZERS = ["l1", "l2", keras.regularizers.L1L2(1e-3, 1e-3)]
POLICIES = ["float32", "mixed_bfloat16", "float64"]


class Draw:
    """Choices that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def of(self, choices: Sequence[Drawn]) -> Drawn:
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def settings(self) -> dict[str, Any]:
        """Arguments that every layer with a kernel takes."""
        found: dict[str, Any] = {"activation": self.of(ACTIVATIONS)}
        if self.chance(0.2):
            found["use_bias"] = False
        if self.chance(0.3):
            found["kernel_initializer"] = self.of(INITIALIZERS)
        if self.chance(0.2):
            found["kernel_regularizer"] = self.of(REGULARIZERS)
        if self.chance(0.15) and penalties_agree():
            found["activity_regularizer"] = self.of(REGULARIZERS)
        if self.chance(0.1):
            found["kernel_constraint"] = self.of(["max_norm", "unit_norm", "non_neg"])
        policy = self.policy()
        return found if any("regularizer" in name for name in found) else found | policy

    def policy(self) -> dict[str, Any]:
        """A type of the layer's own."""
        return {"dtype": self.of(POLICIES)} if self.chance(0.08) else {}


def penalties_agree() -> bool:
    """Keras cannot sum penalties of different types."""
    return keras.config.dtype_policy().name == "float32"


class Stack(keras.Model):
    """A subclassed model: layers in a list and in a dict."""

    def __init__(self, draw: Draw) -> None:
        super().__init__()
        self.body = [layers.Dense(draw.whole(2, 6), **draw.settings()) for _ in range(draw.whole(1, 2))]
        self.ends = {"norm": layers.BatchNormalization(), "drop": layers.Dropout(0.2)}

    def call(self, x: Any, training: bool = False) -> Any:
        for layer in self.body:
            x = layer(x)
        return self.ends["drop"](self.ends["norm"](x, training=training), training=training)


class Gate(layers.Layer):
    """A layer of one's own: it holds others and a weight, draws noise and adds a loss."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.inner = layers.Dense(units, activation="sigmoid")
        self.outer = layers.Dense(units)
        self.seed_generator = keras.random.SeedGenerator(3)

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")
        self.inner.build(shape)
        self.outer.build(shape)

    def call(self, x: Any, training: bool = False) -> Any:
        gated = self.inner(x) * self.outer(x) * keras.ops.cast(self.scale, self.compute_dtype)
        self.add_loss(1e-3 * keras.ops.mean(keras.ops.square(keras.ops.cast(gated, "float32"))))
        if training:
            gated += 0.01 * keras.random.normal(keras.ops.shape(gated), dtype=gated.dtype, seed=self.seed_generator)
        return gated


def shallow(draw: Draw) -> layers.Layer:
    """A layer that fits behind any other."""
    kinds = {
        "dropout": lambda: layers.Dropout(0.3),
        "seeded": lambda: layers.Dropout(0.3, seed=draw.whole(0, 9)),
        "noise": lambda: layers.GaussianNoise(0.1),
        "gaussian": lambda: layers.GaussianDropout(0.1),
        "alpha": lambda: layers.AlphaDropout(0.1),
        "batch": lambda: layers.BatchNormalization(
            momentum=0.8, scale=draw.chance(0.5), center=draw.chance(0.5), **draw.policy()
        ),
        "layer": lambda: layers.LayerNormalization(**draw.policy()),
        "rms": lambda: layers.RMSNormalization(),
        "unit": lambda: layers.UnitNormalization(),
        "activation": lambda: layers.Activation(draw.of([name for name in ACTIVATIONS if name])),
        "advanced": lambda: draw.of(ACTIVATION_LAYERS)(),
        "identity": lambda: layers.Identity(),
        "regularization": lambda: layers.ActivityRegularization(l2=1e-3) if penalties_agree() else layers.Identity(),
    }
    return kinds[draw.of(list(kinds))]()


def dense(draw: Draw, **more: Any) -> layers.Layer:
    return layers.Dense(draw.whole(1, 7), **draw.settings(), **more)


def on_vector(draw: Draw, x: Any, depth: int = 0) -> Any:
    """Something that takes rows of features and gives rows of features."""
    kind = draw.of(["dense", "dense", "shallow", "residual", "shared", "split", "nested", "subclassed", "own"])
    if depth > 1 and kind in ("nested", "residual", "split"):
        kind = "dense"
    if kind == "dense":
        return dense(draw)(x)
    if kind == "shallow":
        return shallow(draw)(x)
    if kind == "residual":
        return layers.Add()([x, layers.Dense(x.shape[-1], **draw.settings())(on_vector(draw, x, depth + 1))])
    if kind == "shared":
        layer = layers.Dense(x.shape[-1], **draw.settings())
        return layer(draw.of([layers.Identity(), layers.LayerNormalization(), layers.Dropout(0.2)])(layer(x)))
    if kind == "split":
        width = draw.whole(2, 5)
        parts = [layers.Dense(width, **draw.settings())(on_vector(draw, x, depth + 1)) for _ in range(2)]
        merge = draw.of([layers.Add, layers.Multiply, layers.Concatenate, layers.Maximum, layers.Average])
        return merge()(parts)
    if kind == "nested":
        return nested(draw, x, depth)
    return Stack(draw)(x) if kind == "subclassed" else Gate(draw.whole(2, 5))(x)


def nested(draw: Draw, x: Any, depth: int) -> Any:
    """A model as a layer, sometimes called twice."""
    width = x.shape[-1]
    if draw.chance(0.5):
        body = [draw.of([dense, shallow])(draw) for _ in range(draw.whole(1, 3))]
        given = [keras.Input((width,))] if draw.chance(0.5) else []
        inner: keras.Model = keras.Sequential([*given, *body, layers.Dense(width)])
    else:
        start = keras.Input((width,))
        inner = keras.Model(start, layers.Dense(width)(on_vector(draw, start, depth + 1)))
    return inner(inner(x)) if draw.chance(0.3) else inner(x)


def on_sequence(draw: Draw, x: Any) -> Any:
    """Something that takes sequences and gives sequences; whatever stands in it may hand on a mask."""
    units = draw.whole(2, 5)
    kinds = {
        "conv": lambda: layers.Conv1D(units, 3, padding=draw.of(["same", "causal"]), **draw.settings())(x),
        "separable": lambda: layers.SeparableConv1D(units, 2, padding="same")(x),
        "lstm": lambda: layers.LSTM(units, return_sequences=True, dropout=draw.of([0.0, 0.2]))(x),
        "gru": lambda: layers.GRU(units, return_sequences=True, reset_after=draw.chance(0.5))(x),
        "simple": lambda: layers.SimpleRNN(units, return_sequences=True, recurrent_dropout=draw.of([0.0, 0.2]))(x),
        "both ways": lambda: layers.Bidirectional(layers.GRU(units, return_sequences=True))(x),
        "cells": lambda: layers.RNN([layers.GRUCell(units), layers.LSTMCell(2)], return_sequences=True)(x),
        "attention": lambda: x + layers.MultiHeadAttention(2, 3, dropout=draw.of([0.0, 0.1]))(x, x),
        "distributed": lambda: layers.TimeDistributed(dense(draw, name="each_step"))(x),
        "shallow": lambda: shallow(draw)(x),
        "dense": lambda: dense(draw)(x),
    }
    return kinds[draw.of(list(kinds))]()


def of_sequence(draw: Draw, x: Any) -> Any:
    kind = draw.of(["last", "mean", "max", "flat", "attention"])
    if kind == "last":
        return draw.of([layers.LSTM, layers.GRU, layers.SimpleRNN])(draw.whole(2, 5))(x)
    if kind == "flat":
        return layers.Flatten()(x)
    if kind == "attention":
        return layers.GlobalAveragePooling1D()(layers.Attention()([x, x]))
    return draw.of([layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D])()(x)


def on_image(draw: Draw, x: Any) -> Any:
    filters = draw.whole(2, 4)
    kinds = {
        "conv": lambda: layers.Conv2D(filters, 3, padding=draw.of(["same", "valid"]), **draw.settings())(x),
        "strided": lambda: layers.Conv2D(filters, 2, strides=2, padding="same")(x),
        "depthwise": lambda: layers.DepthwiseConv2D(2, padding="same")(x),
        "separable": lambda: layers.SeparableConv2D(filters, 2, padding="same")(x),
        "spatial dropout": lambda: layers.SpatialDropout2D(0.3)(x),
        "max": lambda: layers.MaxPooling2D(2, padding="same")(x),
        "group": lambda: layers.GroupNormalization(groups=1)(x),
        "shallow": lambda: shallow(draw)(x),
    }
    return kinds[draw.of(list(kinds))]()


def of_image(draw: Draw, x: Any) -> Any:
    return draw.of([layers.Flatten, layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])()(x)
