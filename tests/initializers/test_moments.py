import math

import keras
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit, ndtr

from kregtools.initializers import gain, moments

ELU, SELU = 1.6732632423543772, 1.0507009873554805

# The function, its derivative, and where that jumps.
REFERENCE = {
    "linear": (lambda z: z, lambda z: 1.0, ()),
    "relu": (lambda z: max(z, 0.0), lambda z: float(z > 0), (0,)),
    "relu6": (lambda z: min(max(z, 0.0), 6.0), lambda z: float(0 < z < 6), (0, 6)),
    "leaky_relu": (lambda z: z if z > 0 else 0.2 * z, lambda z: 1.0 if z > 0 else 0.2, (0,)),
    "tanh": (math.tanh, lambda z: 1 - math.tanh(z) ** 2, ()),
    "sigmoid": (lambda z: expit(z), lambda z: expit(z) * expit(-z), ()),
    "elu": (lambda z: z if z > 0 else math.expm1(z), lambda z: 1.0 if z > 0 else math.exp(z), (0,)),
    "selu": (
        lambda z: SELU * (z if z > 0 else ELU * math.expm1(z)),
        lambda z: SELU * (1.0 if z > 0 else ELU * math.exp(z)),
        (0,),
    ),
    "gelu": (lambda z: z * ndtr(z), lambda z: ndtr(z) + z * density(z), ()),
    "silu": (lambda z: z * expit(z), lambda z: expit(z) * (1 + z * expit(-z)), ()),
    "mish": (
        lambda z: z * math.tanh(softplus(z)),
        lambda z: math.tanh(softplus(z)) + z * (1 - math.tanh(softplus(z)) ** 2) * expit(z),
        (),
    ),
    "softplus": (lambda z: softplus(z), lambda z: expit(z), ()),
    "softsign": (lambda z: z / (1 + abs(z)), lambda z: 1 / (1 + abs(z)) ** 2, (0,)),
    "hard_sigmoid": (lambda z: min(max(z + 3, 0), 6) / 6, lambda z: float(-3 < z < 3) / 6, (-3, 3)),
    "hard_tanh": (lambda z: min(max(z, -1), 1), lambda z: float(-1 < z < 1), (-1, 1)),
}


def density(z: float) -> float:
    return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def softplus(z: float) -> float:
    return float(np.logaddexp(0, z))


@pytest.mark.parametrize("name", REFERENCE)
def test_moments_agree_with_an_independent_quadrature(name):
    function, slope, jumps = REFERENCE[name]

    def expectation(of) -> float:
        return quad(lambda z: of(z) * density(z), -12, 12, points=jumps or None, limit=400, epsabs=1e-11)[0]

    expected = expectation(function), expectation(lambda z: function(z) ** 2), expectation(lambda z: slope(z) ** 2)
    assert moments(name) == pytest.approx(expected, abs=1e-6)


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
