"""One table for every layer: what Keras asks of one."""

import functools
from typing import Any

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
    "LegendrePolynomials": (lambda: layers.LegendrePolynomials(5), (4, 1), {}),
    "PositionEmbedding": (lambda: layers.PositionEmbedding(), (4, 6, 8), {"supports_masking": True}),
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


# Variants of what is in the table, and what takes longest: it has fast tests of its own as well.
SLOW = {
    "DropConnect-EinsumDense",
    "DropConnect-LSTM",
    "FractionalMaxPooling2D-random",
    "RandomTokenInsertion-vocabulary",
    "RandomShift-channels",
    "RandomPitchShift",
}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in TABLE])
def test_a_layer_keeps_to_what_keras_asks(name):
    make, inputs, flags = TABLE[name]
    check_layer(make, inputs, **flags)


@keras.saving.register_keras_serializable(package="test")
class Noisy(keras.layers.Layer):
    """A layer in order, and with an argument for each way to be out of order."""

    def __init__(self, fault: str = "", seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.fault = fault
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(None if fault == "deaf" else seed)
        self.supports_masking = fault != "masked"

    def call(self, inputs, training=False):
        x = inputs
        if self.fault == "gradient":
            x = keras.ops.where(x > 0, keras.ops.sqrt(x), 0.0)
        if self.fault == "wide":
            x = keras.ops.cast(x, "float32")
        if not training and self.fault != "restless":
            return 2 * x if self.fault == "other" else x
        shape = (1, *x.shape[1:]) if self.fault == "shared" else keras.ops.shape(x)
        noise = keras.random.normal(shape, seed=3 if self.fault == "constant" else self.seed_generator, dtype=x.dtype)
        return x + noise + (2 if self.fault == "biased" else 0)

    def compute_output_shape(self, input_shape):
        return (*input_shape, 1) if self.fault == "shape" else input_shape

    def get_config(self):
        return {**super().get_config(), "seed": self.seed, **({} if self.fault == "other" else {"fault": self.fault})}


FAULTS = {
    "other": "`from_config` changes the config from",
    "shape": r"announces the shape \(6, 7, 5, 1\) and gives \(6, 7, 5\)",
    "wide": "the type is float32 under the policy mixed_float16, with training=False, not float16",
    "masked": "supports_masking is False",
    "gradient": "training makes before/scale infinite or no number",
    "constant": "8 calls with training=True give the same",
    "deaf": "one seed gives two different series",
    "restless": "`from_config` changes the outputs",
    "shared": "all samples of a batch get the same draw",
    "biased": "the mean of 256 calls in training is off in 100.0% of the elements",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_check_that_fails_says_what_is_wrong(fault):
    with pytest.raises(AssertionError, match=FAULTS[fault]):
        check_layer(
            lambda seed=None: Noisy(fault, seed),
            FEATURES,
            preserves_expectation=True,
            per_sample=True,
            supports_masking=True,
        )


def test_the_layer_in_order_passes_and_an_identity_is_told():
    check_layer(
        lambda seed=None: Noisy(seed=seed), FEATURES, preserves_expectation=True, supports_masking=True, **NOISE
    )
    with pytest.raises(AssertionError, match="with training=False the outputs are not the inputs"):
        check_layer(lambda: keras.layers.Dense(5), FEATURES, identity_at_inference=True)


def test_a_class_or_a_partial_makes_layers_as_well():
    check_layer(functools.partial(layers.StochasticDepth, 0.4), FEATURES, **NOISE)
    with pytest.raises(AssertionError, match="one seed gives two different series"):
        check_layer(functools.partial(Noisy, "deaf"), FEATURES)


def test_a_variable_of_the_name_seed_is_no_argument():
    def make():
        seed = 3
        return keras.layers.Dense(seed)

    check_layer(make, FEATURES, jit_compile=False)


def test_keras_own_layers_pass():
    """What is asked of a layer is no more than Keras' own do."""
    flags = {"identity_at_inference": True, "preserves_expectation": True, "supports_masking": True}
    check_layer(lambda seed=None: keras.layers.Dropout(0.3, seed=seed), FEATURES, per_sample=True, **flags)
    check_layer(lambda: keras.layers.LayerNormalization(), FEATURES, supports_masking=True)
