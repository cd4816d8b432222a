"""Regions of the lengths that the ratio asks for, and their maxima."""

import math
from itertools import pairwise

import keras
import numpy as np
import pytest

from kregtools.layers import FractionalMaxPooling2D as Pooling


def numbers(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def edges(layer: Pooling, size: int, regions: int, training: bool = True) -> np.ndarray:
    return numbers(layer._edges(size, regions, training))


def pooled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray, overlapping: bool) -> np.ndarray:
    """The maxima over the regions between edges, one by one."""
    more = int(overlapping)
    return np.array([
        [image[top : bottom + more, left : right + more].max((0, 1)) for left, right in pairwise(columns)]
        for top, bottom in pairwise(rows)
    ])  # fmt: skip


@pytest.mark.parametrize("ratio", [1.0, 1.1, 2**0.5, 1.5, 1.75, 2.0, 2.6, 4.0])
@pytest.mark.parametrize("pseudo_random", [True, False])
def test_regions_cover_the_axis_and_differ_by_one_in_length(ratio, pseudo_random):
    layer = Pooling(ratio, pseudo_random, seed=3)
    for size in (4, 7, 25, 32, 33):
        regions = math.floor(size / ratio)
        for _ in range(5):
            found = edges(layer, size, regions)
            assert found[0] == 0 and found[-1] == size and len(found) == regions + 1
            assert set(np.diff(found)) <= {size // regions, -(-size // regions)}


def test_all_orders_of_lengths_are_drawn_at_random_and_all_phases_pseudo_randomly():
    layer = Pooling(1.5, pseudo_random=False, seed=0)
    found = {tuple(np.diff(edges(layer, 7, 4))) for _ in range(100)}
    # Four regions of lengths 2, 2, 2, 1.
    assert len(found) == 4
    layer = Pooling(1.5, seed=0)
    assert {tuple(np.diff(edges(layer, 7, 4))) for _ in range(100)} == found
    layer = Pooling(2**0.5, seed=0)
    assert len({tuple(edges(layer, 32, 22)) for _ in range(300)}) == 11  # 22 / gcd(32, 22)


@pytest.mark.parametrize("overlapping", [True, False])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_at_inference_the_outputs_are_the_maxima_over_fixed_regions(overlapping, data_format):
    layer = Pooling((1.5, 2.3), overlapping=overlapping, data_format=data_format)
    image = np.random.default_rng(0).normal(size=(13, 16, 3)).astype("float32")
    rows, columns = edges(layer, 13, 8, training=False), edges(layer, 16, 6, training=False)
    expected = pooled(image, rows, columns, overlapping)
    first = data_format == "channels_first"
    outputs = numbers(layer((image.transpose(2, 0, 1) if first else image)[None]))[0]
    np.testing.assert_array_equal(outputs.transpose(1, 2, 0) if first else outputs, expected)


def test_in_training_the_outputs_are_maxima_and_change_from_call_to_call():
    x = np.random.default_rng(0).normal(size=(2, 20, 20, 2)).astype("float32")
    layer = Pooling(1.6, seed=1, data_format="channels_last")
    calls = [numbers(layer(x, training=True)) for _ in range(4)]
    assert len({call.tobytes() for call in calls}) > 1
    assert all(np.isin(call, x).all() and call.mean() > x.mean() + 0.5 for call in calls)


def test_a_ratio_of_one_is_the_identity_and_one_of_two_is_max_pooling():
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    same = Pooling(1, overlapping=False, data_format="channels_last")(x, training=True)
    np.testing.assert_array_equal(numbers(same), x)
    half = Pooling(2, overlapping=False, data_format="channels_last")(x, training=True)
    plain = keras.layers.MaxPooling2D(2, data_format="channels_last")(x)
    np.testing.assert_array_equal(numbers(half), numbers(plain))


def test_the_gradient_goes_to_the_maxima():
    """The gradient of the sum of all outputs counts the regions that each element is the maximum of."""
    image = np.random.default_rng(0).permutation(36).reshape(6, 6, 1).astype("float32")
    pooling = Pooling(1.5, data_format="channels_last")

    class Picture(keras.layers.Layer):
        def build(self, shape):
            self.image = self.add_weight(shape=(6, 6, 1))

        def call(self, inputs):
            return keras.ops.sum(pooling(self.image[None])) + 0 * inputs

    model = keras.Sequential([keras.Input((1,)), Picture()])
    model.layers[0].image.assign(image)
    model.compile(keras.optimizers.SGD(1.0), lambda target, output: output, jit_compile=False)
    pooling._edges = lambda size, regions, training: Pooling._edges(pooling, size, regions, False)
    model.train_on_batch(np.zeros((1, 1)), np.zeros((1, 1)))
    places = edges(pooling, 6, 4, training=False)
    expected = np.zeros((6, 6, 1))
    for value in pooled(image, places, places, True).ravel():
        expected += image == value
    np.testing.assert_allclose(image - numbers(model.layers[0].image), expected, atol=1e-4)


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="has no sizes that are unknown when it compiles")
def test_images_of_any_size():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, Pooling(1.4, data_format="channels_last")(inputs))
    assert model.output_shape == (None, None, None, 2)
    for size in (5, 9, 14, 33):
        assert model.predict(np.ones((1, size, size, 2)), verbose=0).shape[1] == math.floor(size / 1.4)


def test_unknown_sizes_give_the_same_maxima_as_known_ones():
    inputs = keras.Input((None, None, 2))
    model = keras.Model(inputs, Pooling(1.7, data_format="channels_last")(inputs))
    x = np.random.default_rng(0).normal(size=(2, 19, 12, 2)).astype("float32")
    known = Pooling(1.7, data_format="channels_last")(x)
    np.testing.assert_array_equal(model.predict(x, verbose=0), numbers(known))


@pytest.mark.parametrize("call, message", [
    (lambda: Pooling(0.9), "Received: pool_ratio=0.9. Expected a number of at least 1, or a pair"),
    (lambda: Pooling((1.5, 1.5, 1.5)), "Received: pool_ratio="),
    (lambda: Pooling(data_format="NHWC"), "Received: data_format='NHWC'"),
    (lambda: Pooling()(np.ones((4, 4, 3))), r"takes a batch of images, with four axes. Received: shape \(4, 4, 3\)"),
    (lambda: Pooling(3.0, data_format="channels_last")(np.ones((1, 2, 9, 3))),
     r"too small to be pooled by pool_ratio=\(3.0, 3.0\).* Received: shape \(1, 2, 9, 3\)"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
