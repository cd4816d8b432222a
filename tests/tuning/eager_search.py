"""A search over a tiny model that runs eagerly: on data this small, tracing takes nearly all of the time."""

from __future__ import annotations

from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd

from kregtools.tuning import TuningResult, tune

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("float32")
TRAIN, VALIDATION = (X[:64], Y[:64]), (X[64:], Y[64:])
HPS = ["l2", "learning_rate"]


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    l2 = hp.Float("l2", 1e-6, 1e-1, sampling="log", default=1e-3)
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2)
    hidden = keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(l2))
    layers = [keras.Input((4,)), hidden, keras.layers.Dropout(0.2), keras.layers.Dense(1, "sigmoid")]
    return compiled(keras.Sequential(layers), rate)


def compiled(model: keras.Model, rate: float = 0.01, metrics: Any = ("accuracy",)) -> keras.Model:
    optimizer = keras.optimizers.Adam(rate)
    model.compile(optimizer, "binary_crossentropy", metrics=list(metrics), run_eagerly=True)
    return model


def search(hypermodel: Any = build, **arguments: Any) -> TuningResult:
    defaults: dict[str, Any] = {"trials": 3, "epochs": 3, "batch_size": 32, "verbose": 0}
    return tune(hypermodel, TRAIN, VALIDATION, **{**defaults, **arguments})


def same(ours: TuningResult, theirs: TuningResult) -> None:
    pd.testing.assert_frame_equal(ours.frame().drop(columns="seconds"), theirs.frame().drop(columns="seconds"))
