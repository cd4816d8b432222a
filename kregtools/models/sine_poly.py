"""A noisy sine, through a polynomial: bias and variance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from kregtools.layers import LegendrePolynomials
from kregtools.models.blocks import regularizer
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.recipe_model import Data, RecipeModel, common, with_capacity

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace

_NOISE = 0.3
_ROWS = {"train": 30, "validation": 200, "test": 1000}
_DATA_SEED = 0


class SinePoly(RecipeModel):
    r"""A polynomial of degree 1 to 25, fitted to thirty noisy points of a sine.

    $y = \sin(\pi x) + \varepsilon$ with x between -1 and 1 and noise of standard deviation 0.3. A line is too stiff
    (bias), degree 5 is about right, degree 25 follows the noise (variance) unless L2 holds it back. Dropout takes out
    polynomials; augmentation adds noise to x.

    Args:
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Example:
        >>> stiff = kregtools.models.SinePoly(degree=1).build(keras_tuner.HyperParameters())
    """

    name = "sine_poly"
    epochs = 150
    loss = "mean_squared_error"
    mixed_precision = False
    metrics = ("mean_absolute_error",)
    roles = with_capacity("degree")
    hyperparameters = common(
        l2=Float(1e-3, 1e-6, 1.0, "log"),
        dropout=Float(0.0, 0.0, 0.8),
        learning_rate=Float(3e-2, 1e-4, 1e-1, "log"),
        activation=Choice("linear", ("linear",)),
        initializer=Choice("glorot_uniform", ("glorot_uniform", "zeros")),
        normalization=Choice("none", ("none",)),
        batch_size=Int(10, 1, 30),
        degree=Int(5, 1, 25),
    )

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        """Draw the points; `directory` is not needed."""
        rng = np.random.default_rng(_DATA_SEED)
        parts = []
        for count in _ROWS.values():
            x = rng.uniform(-1, 1, size=(count, 1))
            y = np.sin(np.pi * x) + rng.normal(0, _NOISE, size=(count, 1))
            parts.append((x[:rows].astype("float32"), y[:rows].astype("float32")))
        return Data(*parts)

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        noise = [] if chosen.augment == "none" else [keras.layers.GaussianNoise(0.02, name="augmentation")]
        dropout = [keras.layers.Dropout(chosen.dropout, name="dropout")] if chosen.dropout else []
        return keras.Sequential(
            [
                keras.Input((1,)),
                *noise,
                LegendrePolynomials(chosen.degree, name="polynomials"),
                *dropout,
                keras.layers.Dense(
                    1,
                    kernel_initializer=chosen.initializer,
                    kernel_regularizer=regularizer(chosen),
                    dtype="float32",
                    name="output",
                ),
            ]
        )
