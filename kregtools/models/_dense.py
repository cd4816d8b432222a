"""What the dense recipes share: three hyperparameters and the hidden layers they regularize."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

import keras
import keras_tuner

if TYPE_CHECKING:
    from collections.abc import Iterator


class RegularizedDense(keras_tuner.HyperModel):
    """Two hidden relu layers with L2 on their kernels and dropout after each.

    A subclass gives the defaults of the three hyperparameters and builds the model around `_hidden`.
    """

    roles: ClassVar[dict[str, str]] = {"l2": "l2", "dropout": "dropout", "learning_rate": "learning_rate"}
    defaults: ClassVar[dict[str, float]]

    def __init__(self, units: int, *, l2: float | None, dropout: float | None, learning_rate: float | None) -> None:
        super().__init__()
        self.units = units
        given = {"l2": l2, "dropout": dropout, "learning_rate": learning_rate}
        self.fixed = {name: float(value) for name, value in given.items() if value is not None}

    def _hidden(self, hp: keras_tuner.HyperParameters) -> Iterator[keras.layers.Layer]:
        l2 = self._value(hp, "l2", 1e-6, 1e-2, "log")
        dropout = self._value(hp, "dropout", 0.0, 0.8)
        for k in (1, 2):
            regularizer = keras.regularizers.L2(l2) if l2 else None
            yield keras.layers.Dense(self.units, activation="relu", kernel_regularizer=regularizer, name=f"hidden_{k}")
            if dropout:
                yield keras.layers.Dropout(dropout, name=f"dropout_{k}")

    def _learning_rate(self, hp: keras_tuner.HyperParameters) -> float:
        return self._value(hp, "learning_rate", 1e-4, 1e-2, "log")

    def _value(
        self, hp: keras_tuner.HyperParameters, name: str, low: float, high: float, sampling: str = "linear"
    ) -> float:
        if name in self.fixed:
            value = hp.Fixed(name, self.fixed[name])
        else:
            value = hp.Float(name, low, high, sampling=sampling, default=self.defaults[name])
        return cast(float, value)
