"""Data and models to look at before the first epoch."""

import keras
import numpy as np
from keras import layers

import kregtools

RNG = np.random.default_rng(0)
X = RNG.normal(size=(700, 8)).astype("float32")
LABELS = (X @ RNG.normal(size=(8, 3))).argmax(axis=1)
NUMBERS = (X @ RNG.normal(size=(8, 1)) / 3).astype("float32")
MANY = (X @ RNG.normal(size=(8, 5)) > 0).astype("float32")
COINS = (X[:, :1] > 0).astype("float32")
IMAGES = RNG.uniform(size=(400, 8, 8, 1)).astype("float32")
TOKENS = RNG.integers(0, 50, size=(700, 12))


def dense(
    units: int = 3, activation: str | None = "softmax", hidden: dict | None = None, inputs: int = 8
) -> keras.Model:
    keras.utils.set_random_seed(1)
    settings = {"activation": "relu", **(hidden or {})}
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            layers.Dense(32, **settings, name="hidden"),
            layers.Dropout(0.3),
            layers.Dense(units, activation=activation, name="last"),
        ]
    )


def compiled(model: keras.Model, loss: object = "sparse_categorical_crossentropy", **settings) -> keras.Model:
    model.compile("adam", loss, **settings)
    return model


def run(model: keras.Model, x: object = X, y: object = LABELS, split: int = 500, **settings):
    """Preflight with the last rows held out."""
    parts = [keras.tree.map_structure(lambda leaf, s=s: leaf[s], (x, y)) for s in (slice(split), slice(split, None))]
    return kregtools.preflight(model, *parts[0], validation_data=parts[1], **settings)


def found(diagnosis) -> set[str]:
    return {symptom.name for symptom in diagnosis.symptoms}
