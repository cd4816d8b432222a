"""Each image is a crop of its padded self, mirrored or not, all shifts equally often."""

import keras
import numpy as np
import pytest

import kregtools
from kregtools.layers import ShiftAndFlip

PADDING = {"constant": "constant", "nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}


def numbers(tensor) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(tensor))


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(1, 2, size=shape).astype("float32")


def crops(image: np.ndarray, shift: tuple[int, int], fill_mode: str = "constant") -> dict[tuple[int, int, bool], bytes]:
    """Every image that a shift and a flip may give, by NumPy's own padding."""
    padded = np.pad(image, ((shift[0],) * 2, (shift[1],) * 2, (0, 0)), PADDING[fill_mode])
    height, width = image.shape[:2]
    found = {}
    for row in range(2 * shift[0] + 1):
        for column in range(2 * shift[1] + 1):
            crop = padded[row : row + height, column : column + width]
            found[row, column, False], found[row, column, True] = crop.tobytes(), crop[:, ::-1].tobytes()
    return found


@pytest.mark.parametrize("fill_mode", PADDING)
@pytest.mark.parametrize("shift", [(2, 2), (3, 0)])
def test_an_image_becomes_a_crop_of_its_padded_self_all_equally_often(fill_mode, shift):
    image = images(7, 6, 2)
    outputs = numbers(ShiftAndFlip(shift, fill_mode=fill_mode, seed=1)(np.tile(image, (2000, 1, 1, 1))))
    known = crops(image, shift, fill_mode)
    names = {pixels: name for name, pixels in known.items()}
    counts = dict.fromkeys(names.values(), 0)
    for output in outputs:
        counts[names[output.tobytes()]] += 1
    expected = 2000 / len(counts)
    # The chi-squared distribution of k degrees of freedom has mean k and variance 2k.
    distance = sum((count - expected) ** 2 / expected for count in counts.values())
    degrees = len(counts) - 1
    assert abs(distance - degrees) < 4 * np.sqrt(2 * degrees)


def test_channels_first_is_the_same_with_the_axes_exchanged():
    x = images(8, 6, 7, 3)
    last = ShiftAndFlip(2, seed=3, data_format="channels_last")(x)
    first = ShiftAndFlip(2, seed=3, data_format="channels_first")(x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(numbers(first).transpose(0, 2, 3, 1), numbers(last))


def test_without_shift_and_flip_images_stay_and_bytes_stay_bytes():
    x = (images(4, 5, 5, 3) * 100).astype("uint8")
    outputs = ShiftAndFlip(0, flip=False, dtype="uint8")(x)
    np.testing.assert_array_equal(numbers(outputs), x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "uint8"
    assert keras.backend.standardize_dtype(ShiftAndFlip()(x, training=False).dtype) == "float32"


def test_a_fill_value_and_one_image():
    outputs = [numbers(layer(np.ones((4, 4, 1), "float32"))) for layer in [ShiftAndFlip(3, fill_value=7, seed=2)] * 9]
    assert {output.shape for output in outputs} == {(4, 4, 1)}
    assert set(np.unique(outputs)) == {1.0, 7.0}


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data with layers of this backend")
@pytest.mark.parametrize("batched", [True, False])
def test_in_a_dataset_each_image_has_its_own_draw(batched):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(np.tile(images(5, 5, 1), (64, 1, 1, 1)))
    data = data.batch(16) if batched else data
    outputs = np.concatenate([np.atleast_2d(x).reshape(-1, 25) for x in data.map(ShiftAndFlip(2, seed=0)).repeat(2)])
    assert len(np.unique(outputs, axis=0)) > 40


def test_who_does_not_say_training_gets_what_keras_own_layers_give():
    """`fit` and `predict` say it; a call of the model alone does not."""
    x = images(64, 5, 5, 1)
    for layer in (keras.layers.RandomFlip("horizontal"), ShiftAndFlip(2)):
        model = keras.Sequential([keras.Input((5, 5, 1)), layer])
        assert not np.array_equal(numbers(model(x)), x)
        np.testing.assert_array_equal(numbers(model(x, training=False)), x)
        np.testing.assert_array_equal(model.predict(x, verbose=0), x)


def test_images_that_are_scaled_after_it_are_no_finding():
    x = np.random.default_rng(0).integers(0, 256, size=(256, 8, 8, 3)).astype("float32")
    y = (x.mean((1, 2, 3)) > 127).astype("int32")
    model = keras.Sequential([
        keras.Input((8, 8, 3)),
        ShiftAndFlip(1),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Flatten(),
        keras.layers.Dense(16, activation="relu"),
        keras.layers.Dense(2, activation="softmax"),
    ])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert not kregtools.preflight(model, x, y).causes


@pytest.mark.parametrize("call, message", [
    (lambda: ShiftAndFlip(-1), "Received: shift=-1. Expected a non-negative integer, or a pair"),
    (lambda: ShiftAndFlip((1, 2, 3)), r"Received: shift=\(1, 2, 3\)"),
    (lambda: ShiftAndFlip(0.5), "Received: shift=0.5"),
    (lambda: ShiftAndFlip(fill_mode="edge"), "Received: fill_mode='edge'. Expected one of constant, nearest, reflect"),
    (lambda: ShiftAndFlip(data_format="last"), "Received: data_format='last'. Expected 'channels_last' or"),
    (lambda: ShiftAndFlip()(np.ones((2, 3))), r"ShiftAndFlip takes images, .*Received: an input of shape \(2, 3\)"),
    (lambda: ShiftAndFlip()(keras.Input((2,))), r"Received: an input of shape \(None, 2\)"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
