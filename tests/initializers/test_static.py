"""What the initializers of fixed patterns make."""

import tracemalloc

import keras
import numpy as np
import pytest

from kregtools.initializers import DeltaOrthogonal, Dirac, SemiOrthogonal, Sparse, ZerO, gain

layers = keras.layers


def numbers(tensor) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), "float64")


def pictures(channels: int, size: int = 9) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, size, size, channels)).astype("float32")


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_delta_orthogonal_keeps_the_norm_of_every_position(size):
    x = pictures(6)
    y = numbers(layers.Conv2D(10, size, padding="same", use_bias=False, kernel_initializer=DeltaOrthogonal(2.0, 1))(x))
    np.testing.assert_allclose(np.linalg.norm(y, axis=-1), 2 * np.linalg.norm(x, axis=-1), rtol=1e-4)


def test_delta_orthogonal_survives_a_thousand_layers():
    x = h = np.random.default_rng(0).normal(size=(64, 3, 16)).astype("float32")
    seed = keras.random.SeedGenerator(0)
    for _ in range(1000):
        kernel = numbers(DeltaOrthogonal(seed=seed)((3, 16, 16)))
        h = h @ kernel[1]
        assert not kernel[[0, 2]].any()
    assert h.std() == pytest.approx(x.std(), rel=1e-3)


def test_delta_orthogonal_refuses_to_narrow():
    with pytest.raises(ValueError, match=r"8 channels, and 4 have no room.*shape=\(3, 3, 8, 4\).*SemiOrthogonal"):
        DeltaOrthogonal()((3, 3, 8, 4))


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16), (3, 3, 4, 64)])
def test_semi_orthogonal_gives_every_output_the_norm_of_the_gain(shape):
    kernel = numbers(SemiOrthogonal(gain("relu"), seed=1)(shape)).reshape(-1, shape[-1])
    np.testing.assert_allclose(np.linalg.norm(kernel, axis=0).mean(), gain("relu"), rtol=0.05)
    smaller = kernel if kernel.shape[0] >= kernel.shape[1] else kernel.T
    gram = smaller.T @ smaller
    np.testing.assert_allclose(gram, gram[0, 0] * np.eye(len(gram)), atol=1e-4)


def test_keras_orthogonal_loses_variance_where_a_layer_widens_and_ours_does_not():
    x = np.random.default_rng(0).normal(size=(500, 64)).astype("float32")
    keras_std = (x @ numbers(keras.initializers.Orthogonal(seed=1)((64, 256)))).std()
    ours = (x @ numbers(SemiOrthogonal(seed=1)((64, 256)))).std()
    assert keras_std == pytest.approx(0.5, rel=0.02)
    assert ours == pytest.approx(1.0, rel=0.02)


@pytest.mark.parametrize("filters", [6, 10, 4])
def test_dirac_hands_on_its_input(filters):
    x = pictures(6)
    y = numbers(layers.Conv2D(filters, 3, padding="same", kernel_initializer=Dirac())(x))
    same = min(filters, 6)
    np.testing.assert_allclose(y[..., :same], x[..., :same], atol=1e-6)
    assert not y[..., same:].any()


def test_dirac_hands_on_each_group():
    x = pictures(6)
    y = numbers(layers.Conv2D(6, 3, groups=3, padding="same", kernel_initializer=Dirac(3))(x))
    np.testing.assert_allclose(y, x, atol=1e-6)


@pytest.mark.parametrize("call, message", [
    (lambda: Dirac(0), "`groups`. Received: groups=0"),
    (lambda: Dirac(3)((3, 4, 8)), r"8 filters are not 3 groups of equal size. Received: shape=\(3, 4, 8\)"),
    (lambda: Dirac()((4, 8)), r"Dirac initializes kernels of convolutions. Received: shape=\(4, 8\)"),
    (lambda: DeltaOrthogonal()((4, 8)), "at least three axes"),
    (lambda: ZerO()((4,)), "ZerO initializes kernels. Received: shape=.* at least two axes.*'zeros' for a bias"),
    (lambda: SemiOrthogonal()((4, 0)), "sizes above 0"),
    (lambda: Sparse()((4, None)), "sizes above 0"),
    (lambda: SemiOrthogonal(0.0), "`gain`. Received: gain=0.0. Expected a number above 0"),
    (lambda: DeltaOrthogonal("relu"), "Received: gain='relu'"),
    (lambda: Sparse(1.0), "Received: sparsity=1.0. Expected the share of zeros"),
    (lambda: Sparse(stddev=-1.0), "Received: stddev=-1.0"),
    (lambda: SemiOrthogonal(seed="one"), "`seed` argument should be"),
])  # fmt: skip
def test_bad_arguments_are_errors_that_say_what_is_expected(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_wide_hadamard_kernel_is_made_of_its_own_rows_alone():
    tracemalloc.start()
    ZerO()((8, 2**14))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**24  # the whole Hadamard matrix takes 2 GiB


@pytest.mark.parametrize("call", [
    lambda x: layers.EinsumDense("abc,cde->abde", (5, 3, 4), kernel_initializer=DeltaOrthogonal())(x),
    lambda x: layers.MultiHeadAttention(2, 4, kernel_initializer=DeltaOrthogonal())(x, x),
])  # fmt: skip
def test_delta_orthogonal_is_for_convolutions_alone(call):
    with pytest.raises(ValueError, match=r"kernels of convolutions. Received: the kernel of an EinsumDense"):
        call(np.zeros((2, 5, 8), "float32"))


@pytest.mark.parametrize("shape", [(8, 8), (12, 8), (8, 12), (16, 32)])
def test_zero_is_the_identity_or_hadamard(shape):
    kernel = numbers(ZerO()(shape))
    if shape[0] >= shape[1]:
        np.testing.assert_array_equal(kernel, np.eye(*shape))
    else:
        size = 2 ** int(np.ceil(np.log2(shape[1])))
        np.testing.assert_allclose(np.abs(kernel), 1 / np.sqrt(size), rtol=1e-6)
        assert np.linalg.matrix_rank(kernel) == shape[0]
    if shape == (16, 32):
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(16), atol=1e-6)


def test_zero_of_a_convolution_stands_at_its_centre():
    x = pictures(6)
    y = numbers(layers.Conv2D(6, 3, padding="same", kernel_initializer=ZerO())(x))
    np.testing.assert_allclose(y, x, atol=1e-6)


@pytest.mark.parametrize("shape, connections", [((40, 30), 4), ((3, 3, 10, 20), 9), ((3, 8), 1)])
def test_sparse_connects_every_unit_to_the_same_number_of_inputs(shape, connections):
    kernel = numbers(Sparse(0.9, seed=1)(shape)).reshape(-1, shape[-1])
    np.testing.assert_array_equal((kernel != 0).sum(0), connections)


def test_sparse_weights_keep_the_variance_unless_told_otherwise():
    values = numbers(Sparse(0.9, seed=1)((400, 500)))
    assert values[values != 0].std() == pytest.approx(1 / np.sqrt(40), rel=0.02)
    values = numbers(Sparse(0.9, stddev=0.01, seed=1)((400, 500)))
    assert values[values != 0].std() == pytest.approx(0.01, rel=0.02)
    assert abs(values[values != 0].mean()) < 1e-3


def test_sparse_chooses_the_inputs_independently_of_the_weights():
    """One draw for both would leave the smallest or the largest weights only."""
    values = numbers(Sparse(0.5, stddev=1.0, seed=1)((400, 500)))
    chosen = values[values != 0]
    assert np.abs(chosen).min() < 0.01 and np.abs(chosen).max() > 3
