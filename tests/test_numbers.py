"""Numbers as arguments: NumPy's count as numbers, booleans do not."""

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


@pytest.mark.parametrize("call, message", [
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
def test_what_is_no_such_number_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
