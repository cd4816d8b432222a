"""The cheap statistics, against NumPy in float64."""

import by_numpy
import keras
import numpy as np
import pytest

from kregtools.capture import sums

RNG = np.random.default_rng(0)
SHAPES = [(7,), (64, 10), (32, 8, 8, 3), (1, 2048)]


def measured(found: dict) -> dict[str, float]:
    keys = [("layer", "tensor", name) for name in found]
    values = np.array([keras.ops.convert_to_numpy(value) for value in found.values()])
    keys, values = sums.statistics(keys, values)
    return dict(zip([key[2] for key in keys], values.tolist(), strict=True))


@pytest.mark.parametrize("mean", [0.0, 3.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_activations(shape, mean):
    x = np.maximum(RNG.normal(mean, 1.0, size=shape), 0).astype("float32")
    found = measured(sums.activation(keras.ops.convert_to_tensor(x)))
    assert found == pytest.approx(by_numpy.activation(x), rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients(shape):
    g = RNG.normal(size=shape).astype("float32")
    found = measured(sums.gradient(keras.ops.convert_to_tensor(g)))
    expected = by_numpy.gradient(g)
    assert found == pytest.approx({name: expected[name] for name in found}, rel=1e-5)
    assert set(expected) - set(found) == {"gradient_zero_fraction"}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_noticed(wrong):
    x = RNG.normal(size=(8, 8)).astype("float32")
    x[3, 5] = wrong
    x = keras.ops.convert_to_tensor(x)
    assert measured(sums.activation(x))["nonfinite"] == 1
    assert measured(sums.gradient(x))["gradient_nonfinite"] == 1
    assert measured(sums.loss(x))["nonfinite"] == 1


@pytest.mark.parametrize(
    ("shape", "rows"),
    [((100, 4096), 8), ((8, 4096), None), ((None, 4096), 8), ((4, 50_000), 1), ((100, None, 8), None), ((9,), None)],
)
def test_of_a_large_tensor_some_rows_are_enough(shape, rows):
    assert sums.enough_rows(shape) == rows


def test_what_follows_of_several_samples_is_that_of_each():
    keys = [("a", "activation", name) for name in ("other", *sums.activation(keras.ops.ones((2, 2))))]
    values = RNG.random((5, len(keys)))
    found, together = sums.statistics(keys, values)
    assert [key[2] for key in found] == ["other", *sums.ACTIVATION]
    np.testing.assert_array_equal(together, [sums.statistics(keys, row)[1] for row in values])
