"""Fans and orthogonality for kernels whose outputs are not simply on the last axis."""

import keras
import numpy as np
import pytest

from kregtools.initializers import DropoutAware, SemiOrthogonal

layers = keras.layers


def numbers(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float64")


def output_std(layer, shape) -> float:
    x = np.random.default_rng(0).normal(size=(64, *shape)).astype("float32")
    return numbers(layer(x)).std()


DEPTHWISE = {"input_axes": (0, 1), "output_axes": (0, 1, 3)}
TRANSPOSED = {"input_axes": (0, 1, 3), "output_axes": (0, 1, 2)}
CASES = {
    "dense": (lambda init: layers.Dense(60, kernel_initializer=init()), (200,)),
    "conv1d": (lambda init: layers.Conv1D(30, 5, kernel_initializer=init()), (40, 20)),
    "conv2d": (lambda init: layers.Conv2D(30, 3, kernel_initializer=init()), (12, 12, 20)),
    "conv3d": (lambda init: layers.Conv3D(20, 3, kernel_initializer=init()), (6, 6, 6, 8)),
    "grouped conv": (lambda init: layers.Conv2D(30, 3, groups=3, kernel_initializer=init()), (12, 12, 30)),
    "depthwise": (lambda init: layers.DepthwiseConv2D(5, depthwise_initializer=init(**DEPTHWISE)), (14, 14, 40)),
    "transposed": (lambda init: layers.Conv2DTranspose(30, 3, kernel_initializer=init(**TRANSPOSED)), (40, 40, 8)),
    "einsum": (lambda init: layers.EinsumDense("abc,cde->abde", (None, 6, 9), kernel_initializer=init()), (10, 40)),
    "einsum, two sums": (lambda init: layers.EinsumDense("abc,bcd->ad", (50,), kernel_initializer=init()), (6, 30)),
}


@pytest.mark.parametrize("distribution", ["orthogonal", "hypersphere", "truncated_normal", "uniform"])
@pytest.mark.parametrize("case", CASES)
def test_unit_variance_goes_through_every_kind_of_kernel(case, distribution):
    make, shape = CASES[case]
    layer = make(lambda **axes: DropoutAware("linear", 0, distribution=distribution, seed=3, **axes))
    # The borders of a transposed convolution see fewer inputs: 5 % of these outputs.
    assert output_std(layer, shape) == pytest.approx(1.0, rel=0.08)


@pytest.mark.parametrize("case", CASES)
def test_semi_orthogonal_outputs_have_the_variance_of_the_inputs(case):
    make, shape = CASES[case]
    assert output_std(make(lambda **axes: SemiOrthogonal(2.0, seed=3, **axes)), shape) == pytest.approx(2.0, rel=0.08)


@pytest.mark.parametrize("initializer", [DropoutAware("linear", 0, seed=1), SemiOrthogonal(seed=1)])
def test_the_projections_of_multi_head_attention_keep_the_variance(initializer):
    attention = layers.MultiHeadAttention(8, 16, kernel_initializer=initializer)
    attention.build((None, 10, 64), (None, 10, 64))
    x = np.random.default_rng(0).normal(size=(32, 10, 64)).astype("float32")
    heads = np.random.default_rng(0).normal(size=(32, 10, 8, 16)).astype("float32")
    query, output = attention.query_dense, attention.output_dense
    assert numbers(query(x)).std() == pytest.approx(1.0, rel=0.03)
    assert numbers(output(heads)).std() == pytest.approx(1.0, rel=0.03)


def test_every_channel_of_a_depthwise_kernel_has_its_own_orthogonal_matrix():
    kernel = numbers(SemiOrthogonal(seed=1, **DEPTHWISE)((3, 3, 5, 4)))
    for channel in range(5):
        matrix = kernel[:, :, channel].reshape(9, 4)
        np.testing.assert_allclose(matrix.T @ matrix, np.eye(4), atol=1e-5)


def test_a_transposed_kernel_is_orthogonal_along_its_own_axes():
    kernel = numbers(SemiOrthogonal(seed=1, **TRANSPOSED)((3, 3, 10, 6)))
    matrix = np.moveaxis(kernel, 2, -1).reshape(54, 10)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(10), atol=1e-5)


def test_fans_are_those_of_the_axes():
    initializer = DropoutAware("tanh", 0.3, mode="backward", distribution="uniform", seed=1, **DEPTHWISE)
    values = numbers(initializer((3, 3, 200, 4)))
    assert values.var() == pytest.approx(initializer.variance(fan_in=9, fan_out=36), rel=0.05)


@pytest.mark.parametrize("axes, message", [
    ({"input_axes": (0,)}, r"go together. Received: input_axes=\(0,\), output_axes=None. Expected both, or neither"),
    ({"input_axes": (0, 4), "output_axes": (1,)}, r"Received: input_axes=\(0, 4\) for shape=\(8, 4\)"),
    ({"input_axes": (0, 0), "output_axes": (1,)}, "`input_axes` does not fit the kernel"),
    ({"input_axes": (0,), "output_axes": ()}, "`output_axes` does not fit the kernel"),
])  # fmt: skip
def test_axes_that_do_not_fit_are_an_error(axes, message):
    with pytest.raises(ValueError, match=message):
        SemiOrthogonal(**axes)((8, 4))
