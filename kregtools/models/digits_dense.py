"""Handwritten digits of 8 by 8 pixels, through two small dense layers."""

from __future__ import annotations

from typing import ClassVar

import keras
import keras_tuner

from kregtools.models._dense import RegularizedDense


class DigitsDense(RegularizedDense):
    """A small dense network on scikit-learn's digits, for demonstrations and quick tests.

    64 inputs from 0 to 16, rescaled to 0 to 1 in the model, two relu layers, ten softmax units, Adam. It trains
    in seconds on data that need no network: `kregtools.datasets.load("digits")`. Its hyperparameters are `l2`,
    `dropout` and `learning_rate`; each is searched unless it is given here. A value of 0 for `l2` or `dropout`
    leaves the regularizer or the layers out.

    Args:
        units: Integer, the width of both hidden layers. Defaults to `64`.
        l2: Float, fixes the L2 factor of both hidden kernels. Defaults to `None`.
        dropout: Float, fixes the dropout rate after both hidden layers. Defaults to `None`.
        learning_rate: Float, fixes the learning rate. Defaults to `None`.

    Example:
        >>> model = kregtools.models.DigitsDense().build(keras_tuner.HyperParameters())
    """

    defaults: ClassVar[dict[str, float]] = {"l2": 1e-3, "dropout": 0.3, "learning_rate": 1e-3}

    def __init__(
        self,
        units: int = 64,
        *,
        l2: float | None = None,
        dropout: float | None = None,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(units, l2=l2, dropout=dropout, learning_rate=learning_rate)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((64,)),
                keras.layers.Rescaling(1 / 16, name="rescaling"),
                *self._hidden(hp),
                keras.layers.Dense(10, activation="softmax", name="output"),
            ]
        )
        optimizer = keras.optimizers.Adam(self._learning_rate(hp))
        model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model
