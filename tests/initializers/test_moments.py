import math

import keras
import numpy as np
import pytest

from kregtools.initializers import gain, moments

# E f, E f², E f'² under N(0, 1), to six digits, by an independent quadrature on a grid of 2.4 million points.
REFERENCE = {
    "linear": (0.0, 1.0, 1.0),
    "relu": (0.398942, 0.5, 0.5),
    "relu6": (0.398942, 0.5, 0.5),
    "tanh": (0.0, 0.394294, 0.464403),
    "sigmoid": (0.5, 0.293379, 0.044836),
    "elu": (0.160521, 0.644945, 0.668102),
    "selu": (0.0, 1.0, 1.071571),
    "gelu": (0.282095, 0.425221, 0.455851),
    "silu": (0.206621, 0.355776, 0.379482),
    "mish": (0.240404, 0.452342, 0.479084),
    "softplus": (0.806059, 0.921246, 0.293379),
    "softsign": (0.0, 0.183014, 0.227671),
    "hard_sigmoid": (0.5, 0.277639, 0.027703),
}


@pytest.mark.parametrize("name", REFERENCE)
def test_moments_agree_with_a_reference(name):
    assert moments(name) == pytest.approx(REFERENCE[name], abs=6e-6)


def test_moments_agree_with_a_fine_grid_for_a_function_of_ones_own():
    def function(x):
        return keras.ops.sin(x) + 0.3 * keras.ops.square(x)

    z = np.linspace(-12, 12, 400_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    f, slope = np.sin(z) + 0.3 * z**2, np.cos(z) + 0.6 * z
    expected = [(density * part).sum() for part in (f, f**2, slope**2)]
    assert moments(function) == pytest.approx(expected, abs=1e-9)


def test_a_layer_that_is_an_activation_will_do():
    assert moments(keras.layers.LeakyReLU(0.2)).square == pytest.approx(0.52)


def test_gain_is_what_keeps_the_variance():
    assert gain("relu") == pytest.approx(math.sqrt(2))
    assert gain(None) == pytest.approx(1.0)


def test_an_unknown_activation_is_an_error_that_lists_the_known():
    with pytest.raises(ValueError, match=r"Unknown activation. Received: activation='rleu'. .* one of: .*relu"):
        moments("rleu")


def test_an_activation_over_a_whole_axis_is_an_error():
    with pytest.raises(ValueError, match="not element-wise"):
        moments("softmax")


def test_an_activation_that_is_zero_throughout_is_an_error():
    with pytest.raises(ValueError, match="has no moments"):
        moments(lambda x: 0 * x)
