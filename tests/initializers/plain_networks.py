"""What the tests of data-driven initialization share."""

import keras
import numpy as np

layers = keras.layers


def numbers(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor), "float64")


def data(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def state(model) -> list[np.ndarray]:
    return [numbers(variable) for variable in model.variables]


def unchanged(model, before) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(state(model), before, strict=True))


def plain(depth=8, rate=0.5, width=64, activation="relu"):
    blocks = [
        layer
        for _ in range(depth)
        for layer in (layers.Dense(width, activation=activation), layers.Dropout(rate, seed=1))
    ]
    return keras.Sequential([keras.Input((width,)), *blocks, layers.Dense(10, activation="softmax")])
