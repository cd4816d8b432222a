"""One table for every layer: what Keras asks of one."""

import keras
import numpy as np
import pytest

from kregtools import layers
from kregtools.testing import check_layer

IMAGES, FEATURES = (6, 12, 10, 4), (6, 7, 5)
WAVES = (6, 320)
TOKENS = np.random.default_rng(0).integers(1, 9, size=(6, 12)).astype("int32")
TEXTS = np.where(np.arange(12) < [[12], [12], [9], [7], [6], [4]], TOKENS, 0)
NOISE = {"identity_at_inference": True, "per_sample": True}
AUGMENTATION = {**NOISE, "single_sample": True}


def drop_connect(make, **arguments):
    return lambda seed=None: layers.DropConnect(make(), 0.4, seed=seed, **arguments)


def pooling(**arguments):
    return lambda seed=None: layers.FractionalMaxPooling2D(seed=seed, data_format="channels_last", **arguments)


TABLE = {
    "ResidualScale": (
        lambda: layers.ResidualScale(keras.initializers.Constant(0.5)),
        FEATURES,
        {"supports_masking": True},
    ),
    "CenteredWeightNormalization": (
        lambda: layers.CenteredWeightNormalization(keras.layers.Dense(3)),
        FEATURES,
        {"supports_masking": True},
    ),
    "DropoutAwareBatchNormalization": (
        lambda: layers.DropoutAwareBatchNormalization(),
        FEATURES,
        {"supports_masking": True},
    ),
    "StochasticDepth": (
        lambda seed=None: layers.StochasticDepth(0.4, seed=seed),
        FEATURES,
        {**NOISE, "preserves_expectation": True, "supports_masking": True},
    ),
    "DropConnect-Dense": (
        drop_connect(lambda: keras.layers.Dense(3)),
        FEATURES,
        {"preserves_expectation": True, "supports_masking": True},
    ),
    "DropConnect-Conv2D": (
        drop_connect(lambda: keras.layers.Conv2D(3, 3, data_format="channels_last")),
        IMAGES,
        {"preserves_expectation": True},
    ),
    "DropConnect-EinsumDense": (
        drop_connect(lambda: keras.layers.EinsumDense("abc,cd->abd", (7, 3), bias_axes="d")),
        FEATURES,
        {"preserves_expectation": True},
    ),
    "DropConnect-LSTM": (drop_connect(lambda: keras.layers.LSTM(3), kernels=["recurrent_kernel"]), FEATURES, {}),
    "FractionalMaxPooling2D": (pooling(), IMAGES, {}),
    "FractionalMaxPooling2D-random": (pooling(pool_ratio=(1.7, 2.5), pseudo_random=False), IMAGES, {}),
    "ShiftAndFlip": (
        lambda seed=None: layers.ShiftAndFlip(2, seed=seed, data_format="channels_last"),
        IMAGES,
        AUGMENTATION,
    ),
    "RandomTokenDeletion": (lambda seed=None: layers.RandomTokenDeletion(0.4, seed=seed), TEXTS, AUGMENTATION),
    "RandomTokenSwap": (lambda seed=None: layers.RandomTokenSwap(0.5, seed=seed), TEXTS, AUGMENTATION),
    "RandomTokenInsertion": (lambda seed=None: layers.RandomTokenInsertion(0.4, seed=seed), TEXTS, AUGMENTATION),
    "RandomTokenInsertion-vocabulary": (
        lambda seed=None: layers.RandomTokenInsertion(0.4, 9, protected=[1], padding="pre", seed=seed),
        TEXTS[:, ::-1],
        AUGMENTATION,
    ),
    "RandomSynonymReplacement": (
        lambda seed=None: layers.RandomSynonymReplacement({3: [4, 5], 6: [7]}, 0.7, seed=seed),
        TEXTS,
        AUGMENTATION,
    ),
    "RandomNoise": (
        lambda seed=None: layers.RandomNoise(0.0, seed=seed),
        WAVES,
        {**AUGMENTATION, "preserves_expectation": True},
    ),
    "RandomGain": (lambda seed=None: layers.RandomGain(seed=seed), WAVES, AUGMENTATION),
    "RandomShift": (lambda seed=None: layers.RandomShift(0.3, seed=seed), WAVES, AUGMENTATION),
    "RandomShift-channels": (
        lambda seed=None: layers.RandomShift((0, 0.5), "wrap", seed=seed),
        (*WAVES, 2),
        NOISE,
    ),
    "RandomTimeStretch": (lambda seed=None: layers.RandomTimeStretch(frame_length=64, seed=seed), WAVES, AUGMENTATION),
    "RandomPitchShift": (
        lambda seed=None: layers.RandomPitchShift((-3, 4), frame_length=64, seed=seed),
        (*WAVES, 2),
        NOISE,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_layer_keeps_to_what_keras_asks(name):
    make, inputs, flags = TABLE[name]
    check_layer(make, inputs, **flags)
