"""Arguments: NumPy's numbers count as numbers, booleans do not, and what is wrong is named."""

import json

import keras
import numpy as np
import pytest

import kregtools
from kregtools import initializers, layers

f32, i64 = np.float32, np.int64
Dense = keras.layers.Dense
TAKEN = {
    "DropConnect": lambda: layers.DropConnect(Dense(2), f32(0.25)),
    "StochasticDepth": lambda: layers.StochasticDepth(f32(0.25)),
    "CenteredWeightNormalization": lambda: layers.CenteredWeightNormalization(Dense(2), f32(2), epsilon=f32(0.5)),
    "FractionalMaxPooling2D": lambda: layers.FractionalMaxPooling2D((f32(1.5), 2)),
    "ShiftAndFlip": lambda: layers.ShiftAndFlip(i64(4)),
    "RandomTokenInsertion": lambda: layers.RandomTokenInsertion(f32(0.25), vocabulary_size=i64(9)),
    "RandomTimeStretch": lambda: layers.RandomTimeStretch(frame_length=i64(64)),
    "DropoutAware": lambda: initializers.DropoutAware(rate=f32(0.25)),
    "SemiOrthogonal": lambda: initializers.SemiOrthogonal(f32(2)),
    "DeltaOrthogonal": lambda: initializers.DeltaOrthogonal(f32(2)),
    "Sparse": lambda: initializers.Sparse(f32(0.25), f32(2)),
    "Dirac": lambda: initializers.Dirac(i64(2)),
}


@pytest.mark.parametrize("name", TAKEN)
def test_numpys_numbers_are_taken_and_a_config_holds_pythons(name):
    json.dumps({key: value for key, value in TAKEN[name]().get_config().items() if key not in ("dtype", "layer")})


def test_numpys_numbers_are_taken_by_functions_and_as_shapes():
    assert initializers.SemiOrthogonal()((i64(3), 4)).shape == (3, 4)
    model = keras.Sequential([keras.Input((4,)), Dense(3)])
    x = np.random.default_rng(0).normal(size=(64, 4))
    assert kregtools.lsuv(model, x, std=f32(2), samples=i64(32)).samples == 32


def built(layer, *shape):
    return lambda: layer.build(shape)


@pytest.mark.parametrize("call, message", [
    (lambda: layers.LegendrePolynomials(0), "`degree`. Received: degree=0. Expected a positive integer"),
    (lambda: layers.LegendrePolynomials(2.5), "`degree`. Received: degree=2.5"),
    (built(layers.LegendrePolynomials(2), None, 3), r"of shape \(None, 3\). Expected a last axis of size 1"),
    (built(layers.PositionEmbedding(), None, 8), r"of shape \(None, 8\). Expected \(batch, length, features\)"),
    (built(layers.PositionEmbedding(), None, None, 8), "of a known length; set it where the input is made, and pad"),
    (lambda: initializers.DropoutAware(input_axes=0, output_axes=(1,)), "`input_axes`. Received: input_axes=0. Exp"),
    (lambda: initializers.Sparse(input_axes=(0,), output_axes="1"), "`output_axes`. Received: output_axes='1'"),
    (lambda: layers.DropConnect("dense"), "`layer`. Received: layer='dense'. Expected a Keras layer"),
    (lambda: layers.DropConnect(Dense(2), kernels="kernel"), r"a sequence of names, such as \('kernel',\)"),
    (lambda: layers.RandomTokenDeletion(protected=1), "`protected`. Received: protected=1. Expected a sequence of"),
    (lambda: layers.RandomTokenSwap(protected="ab"), "`protected`. Received: protected='ab'"),
    (lambda: layers.RandomSynonymReplacement({"good": ["fine"]}), "`table`. .*Expected a dict from token ids to lists"),
    (lambda: layers.RandomSynonymReplacement({10**9: [1]}), "none of them empty, with ids below 16,777,216"),
    (lambda: initializers.Sparse(stddev="a"), "`stddev`. Received: stddev='a'. Expected a number above 0, or None"),
    (lambda: initializers.Sparse(stddev=True), "`stddev`. Received: stddev=True. Expected a number above 0"),
    (lambda: initializers.Sparse(True), "`sparsity`. Received: sparsity=True. Expected the share of zeros"),
    (lambda: initializers.SemiOrthogonal(True), "`gain`. Received: gain=True. Expected a number above 0"),
    (lambda: initializers.DropoutAware(rate=1), "`rate`. Received: rate=1. Expected the rate of the dropout before"),
    (lambda: initializers.Dirac(0), "`groups`. Received: groups=0. Expected the groups of the convolution"),
    (lambda: layers.CenteredWeightNormalization(Dense(2), True), "`gain`. Received: gain=True."),
    (lambda: layers.StochasticDepth("0.1"), "`rate`. Received: rate='0.1'. Expected a number from 0 to below 1"),
    (lambda: layers.DropoutFreeStatistics(keras.Sequential(), rows=True), "`rows`. Received: rows=True. Expected a"),
    (lambda: layers.ShiftAndFlip(True), "`shift`. Received: shift=True. Expected a non-negative integer, or a pair"),
    (lambda: layers.RandomPitchShift(frame_length=18), "`frame_length`. Received: frame_length=18. Expected a multi"),
])  # fmt: skip
def test_what_is_wrong_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_whole_numbers_have_polynomials_too():
    found = layers.LegendrePolynomials(2)(np.array([[-1], [1]], "int32"))
    np.testing.assert_allclose(found, [[-(3**0.5), 5**0.5], [3**0.5, 5**0.5]], rtol=1e-6)


def test_positions_are_for_one_length():
    layer = layers.PositionEmbedding()
    layer(np.zeros((2, 6, 8), "float32"))
    with pytest.raises(ValueError, match=r"expected shape=\(None, 6, 8\), found shape=\(2, 1, 8\)"):
        layer(np.zeros((2, 1, 8), "float32"))
