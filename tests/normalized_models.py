"""Models with batch normalization behind dropout, and what they are trained on."""

import keras
import numpy as np
from keras import layers

from kregtools.layers import DropoutAwareBatchNormalization

RNG = np.random.default_rng(0)
X = RNG.normal(0.5, 2.0, size=(1000, 8)).astype("float32")
Y = RNG.integers(0, 2, size=(1000, 1)).astype("float32")
NORMS = [layers.BatchNormalization, DropoutAwareBatchNormalization]


def dense(norm, rate: float = 0.5, **settings) -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [
            keras.Input((8,)),
            layers.Dense(6, activation="relu"),
            layers.Dropout(rate),
            norm(name="norm", **settings),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


def convolutional(norm) -> keras.Model:
    keras.utils.set_random_seed(2)
    return keras.Sequential(
        [keras.Input((6, 6, 2)), layers.SpatialDropout2D(0.4), layers.Conv2D(4, 3), norm(name="norm"), layers.Flatten()]
    )


def statistics(model: keras.Model, name: str = "norm") -> tuple[np.ndarray, np.ndarray]:
    layer = model.get_layer(name)
    return np.array(layer.moving_mean), np.array(layer.moving_variance)


def inputs_of(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """What the layer `norm` sees in inference, in float64."""
    part = keras.Model(model.inputs[0], model.get_layer("norm").input)
    return np.asarray(part.predict(x, verbose=0), "float64")
