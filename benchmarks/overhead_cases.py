"""What `overhead.py` trains: small networks of several kinds, a very deep one and a very wide one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers


class Case(NamedTuple):
    """A model with data for one epoch, and how long to train it."""

    title: str
    build: Callable[[int], tuple[keras.Model, np.ndarray, np.ndarray]]
    batch: int
    steps: int
    epochs: int
    jit: bool = False
    optimizer: Callable[[float], keras.Optimizer] = keras.optimizers.Adam


def dense(rows: int) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    hidden = [layers.Dense(units, "relu") for units in (512, 512, 256)]
    model = keras.Sequential([keras.Input((784,)), *hidden, layers.Dense(10, "softmax")])
    return model, _numbers(rows, 784), _labels(rows, 10)


def cnn(rows: int) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    blocks = [_block(filters) for filters in (48, 96, 128)]
    top = [layers.GlobalAveragePooling2D(), layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((32, 32, 3)), *(layer for block in blocks for layer in block), *top])
    return model, _numbers(rows, 32, 32, 3), _labels(rows, 10)


def text(rows: int) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    tokens = keras.Input((64,), dtype="int32")
    x = layers.Embedding(5000, 64)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(4, 16)(x, x))
    x = layers.LSTM(64)(x)
    model = keras.Model(tokens, layers.Dense(2, "softmax")(layers.Dense(64, "relu")(x)))
    return model, _labels(rows, 5000, 64), _labels(rows, 2)


def deep(rows: int, depth: int = 1000) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    # In blocks, as Keras walks the layers of one model by recursion.
    blocks = [keras.Sequential([layers.Dense(8, "relu") for _ in range(100)]) for _ in range(depth // 100)]
    model = keras.Sequential([keras.Input((8,)), *blocks])
    return model, _numbers(rows, 8), _labels(rows, 8)


def wide(rows: int, width: int = 8192) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    model = keras.Sequential([keras.Input((width // 2,)), *(layers.Dense(width, "relu") for _ in range(2))])
    return model, _numbers(rows, width // 2), _labels(rows, width)


def _block(filters: int) -> list[keras.Layer]:
    conv = layers.Conv2D(filters, 3, padding="same", use_bias=False)
    return [conv, layers.BatchNormalization(), layers.Activation("relu"), layers.MaxPooling2D()]


def _numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _labels(rows: int, classes: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(classes, size=(rows, *shape)).astype("int32")


CASES = {
    "dense": Case("dense", dense, batch=128, steps=100, epochs=7),
    "cnn": Case("CNN", cnn, batch=96, steps=40, epochs=4),
    "text": Case("text (MHA, LSTM)", text, batch=32, steps=50, epochs=6),
    "xla": Case("dense, XLA", dense, batch=128, steps=100, epochs=7, jit=True),
}
SCALING = {
    # Adam's first step would take longer than all the rest.
    "deep": Case("1,000 layers", deep, batch=8, steps=20, epochs=4, optimizer=keras.optimizers.SGD),
    "wide": Case("100 M parameters", wide, batch=8, steps=20, epochs=2),
}


def compiled(case: Case, seed: int = 0) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    keras.utils.set_random_seed(seed)
    model, x, y = case.build(case.batch * case.steps)
    # JAX without it would run operation by operation.
    jit = case.jit if keras.backend.backend() == "tensorflow" else "auto"
    model.compile(case.optimizer(1e-4), "sparse_categorical_crossentropy", jit_compile=jit)
    return model, x, y


def train(case: Case, model: keras.Model, x: np.ndarray, y: np.ndarray, callbacks: list[Any]) -> None:
    model.fit(*_batches(case, x, y), epochs=case.epochs, shuffle=False, verbose=0, callbacks=callbacks)


def _batches(case: Case, x: np.ndarray, y: np.ndarray) -> tuple[Any, ...]:
    if keras.backend.backend() != "tensorflow":
        return x, y, case.batch
    import tensorflow as tf

    # An iterator that tunes itself can take a minute to end: it waits for the next tuning.
    options = tf.data.Options()
    options.autotune.enabled = False
    return (tf.data.Dataset.from_tensor_slices((x, y)).batch(case.batch).with_options(options),)
