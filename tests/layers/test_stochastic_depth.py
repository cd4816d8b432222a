import keras
import numpy as np
import pytest

from kregtools.layers import StochasticDepth


def test_a_sample_is_dropped_as_a_whole_or_scaled_as_a_whole():
    x = np.random.default_rng(0).uniform(1, 2, size=(4000, 3, 2)).astype("float32")
    outputs = np.array(keras.ops.convert_to_numpy(StochasticDepth(0.2, seed=1)(x, training=True)))
    factors = outputs / x
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1], x.shape), rtol=1e-6)
    dropped = factors[:, 0, 0] == 0
    np.testing.assert_allclose(factors[~dropped], 1.25, rtol=1e-6)
    # Four standard deviations of the share of 4000 draws.
    assert abs(dropped.mean() - 0.2) < 4 * np.sqrt(0.2 * 0.8 / 4000)


def test_without_a_rate_and_at_inference_it_is_the_identity():
    x = np.random.default_rng(0).normal(size=(5, 3))
    for layer, training in ((StochasticDepth(0.0), True), (StochasticDepth(0.5), False), (StochasticDepth(0.5), None)):
        np.testing.assert_array_equal(layer(x, training=training), x.astype("float32"))


def test_what_is_not_finite_in_a_dropped_branch_is_gone():
    x = np.full((64, 2), np.inf, "float32")
    outputs = np.array(keras.ops.convert_to_numpy(StochasticDepth(0.5, seed=0)(x, training=True)))
    assert set(np.unique(outputs)) == {0.0, np.inf}


@pytest.mark.parametrize("rate", [-0.1, 1, "0.5"])
def test_bad_arguments(rate):
    with pytest.raises(ValueError, match=f"Received: rate={rate!r}. Expected a number from 0 to below 1"):
        StochasticDepth(rate)
