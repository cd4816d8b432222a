"""Every statistic of a step against NumPy in float64, written out."""

import by_numpy
import keras
import numpy as np
import pytest

from kregtools.capture import reduce

RNG = np.random.default_rng(0)
SHAPES = [(7,), (5, 1), (64, 3), (64, 200), (16, 10, 24), (4, 8, 8, 3), (4, 8, 8, 32)]


def numbers(statistics):
    return {name: float(keras.ops.convert_to_numpy(value)) for name, value in statistics.items()}


def tensor(x, dtype="float32"):
    return keras.ops.convert_to_tensor(np.asarray(x), dtype=dtype)


def sample(shape, offset=0.0, zeros=0.0):
    x = RNG.normal(size=shape) + offset
    return np.where(RNG.random(shape) < zeros, 0.0, x).astype("float32")


def in_graph(function, *arguments):
    """The same as the step computes it: traced with an unknown number of rows, where the backend traces."""
    if keras.backend.backend() != "tensorflow":
        return function(*arguments)
    import tensorflow as tf

    specs = [tf.TensorSpec([None, *argument.shape[1:]], argument.dtype) for argument in arguments]
    return tf.function(function, input_signature=specs, autograph=False)(*arguments)


@pytest.mark.parametrize("run", [lambda f, *a: f(*a), in_graph], ids=["eager", "graph"])
@pytest.mark.parametrize("offset", [0.0, 10.0, -10.0])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_activation(shape, offset, run):
    x = sample(shape, offset, zeros=0.0 if offset else 0.3)
    found = numbers(run(reduce.activation, tensor(x)))
    assert list(found) == ["mean", "std", "rms", "min", "max", "zero_fraction", "nonfinite", "count"]
    assert found == pytest.approx(by_numpy.activation(x), rel=1e-5, abs=1e-6 if not offset else 0)


def test_activation_of_a_large_tensor():
    x = sample((300, 7000), 10.0)
    assert numbers(in_graph(reduce.activation, tensor(x))) == pytest.approx(by_numpy.activation(x), rel=1e-5)


@pytest.mark.parametrize("seed", range(30))
def test_activation_of_any_shape_and_scale(seed):
    rng = np.random.default_rng(seed)
    shape, offset, scale = rng.integers((2, 1), (40, 80)), rng.uniform(-10, 10), 10 ** rng.uniform(-3, 3)
    x = (scale * (rng.normal(size=shape) + offset)).astype("float32")
    found, expected = numbers(reduce.activation(tensor(x))), by_numpy.activation(x)
    assert found.pop("mean") == pytest.approx(expected.pop("mean"), rel=1e-5, abs=1e-6 * expected["rms"])
    assert found.pop("std") == pytest.approx(expected.pop("std"), rel=1e-5, abs=1e-6 * expected["rms"])
    assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_activation_in_half_precision(dtype):
    x = tensor(sample((64, 200), zeros=0.2), dtype)
    exact = keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
    assert numbers(reduce.activation(x)) == pytest.approx(by_numpy.activation(exact), rel=1e-5, abs=1e-6)


def test_constant_activation_has_no_spread():
    found = numbers(reduce.activation(tensor(np.full((64, 200), 3.7))))
    assert found["std"] == pytest.approx(0, abs=2e-3)
    assert not np.isnan(found["std"])


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(8, 20), (64, 200)], ids=str)
def test_values_that_are_not_finite_are_counted(shape, bad):
    x = sample(shape)
    x[0, :3] = bad
    assert numbers(in_graph(reduce.activation, tensor(x)))["nonfinite"] == 3
    assert numbers(in_graph(reduce.gradient, tensor(x)))["gradient_nonfinite"] == 3
    assert numbers(in_graph(reduce.update, tensor(sample(shape)), tensor(x)))["weight_nonfinite"] == 3


def test_large_finite_values_are_not_taken_for_infinite():
    x = np.full((64, 200), 1e30, "float32")
    assert numbers(reduce.gradient(tensor(x)))["gradient_nonfinite"] == 0


@pytest.mark.parametrize("shape", [(6, 5, 4), (6, 5, 40), (6, 5, 3, 2)], ids=str)
def test_masked_positions_count_nowhere(shape):
    x, mask = sample(shape, 10.0), RNG.random(shape[:2]) < 0.6
    x[~mask] = np.nan
    found = numbers(reduce.activation(tensor(x), mask=tensor(mask, "bool")))
    assert found == pytest.approx(by_numpy.activation(x[mask]), rel=1e-5)


def test_values_not_masked_that_are_not_finite_are_counted():
    x, mask = sample((6, 5, 40)), np.ones((6, 5), bool)
    x[0, 0, :2], mask[3, 3] = np.nan, False
    assert numbers(reduce.activation(tensor(x), mask=tensor(mask, "bool")))["nonfinite"] == 2


@pytest.mark.parametrize(
    ("name", "x", "share"),
    [
        ("sigmoid", [[0.001, 0.5], [0.999, 0.9]], 0.5),
        ("tanh", [[-0.995, 0.5], [0.3, 0.2]], 0.25),
        ("softmax", [[0.999, 0.001], [0.6, 0.4]], 0.5),
        ("hard_sigmoid", [[0.0, 1.0], [0.01, 0.99]], 0.5),
        ("hard_tanh", [[-1.0, 1.0], [1.0, 0.99]], 0.75),
        ("relu6", [[6.0, 5.9], [0.0, 1.0]], 0.25),
    ],
)
def test_saturation(name, x, share):
    assert numbers(reduce.activation(tensor(x), name))["saturated_fraction"] == pytest.approx(share)


def test_every_saturation_is_tested():
    tested = {case[0] for mark in test_saturation.pytestmark for case in mark.args[1]}
    assert tested == set(reduce.saturation)


@pytest.mark.parametrize(("name", "share"), [("sigmoid", 0.75), ("softmax", 1.0)])
def test_saturation_under_a_mask(name, share):
    x = tensor([[[0.999, 0.001], [0.995, 0.5], [0.5, 0.5]]])
    mask = tensor([[True, True, False]], "bool")
    assert numbers(reduce.activation(x, name, mask))["saturated_fraction"] == pytest.approx(share)


@pytest.mark.parametrize("shape", [(40, 6), (4, 5, 6), (2, 4, 4, 6)], ids=str)
def test_firing(shape):
    x = np.maximum(sample(shape), 0)
    x[..., 2] = 0
    axes = tuple(range(len(shape) - 1))
    assert keras.ops.convert_to_numpy(reduce.firing(tensor(x))).tolist() == (x > 0).any(axes).tolist()


def test_firing_along_the_channels_that_come_first():
    x = np.zeros((2, 3, 4, 4), "float32")
    x[1, 2, 0, 3] = 1.0
    assert keras.ops.convert_to_numpy(reduce.firing(tensor(x), axis=1)).tolist() == [False, False, True]


def test_firing_under_a_mask():
    x, mask = np.zeros((2, 3, 4), "float32"), np.ones((2, 3), bool)
    x[0, 0, 1], x[1, 2, 3], mask[1, 2] = 1.0, np.nan, False
    found = keras.ops.convert_to_numpy(reduce.firing(tensor(x), tensor(mask, "bool")))
    assert found.tolist() == [False, True, False, False]


@pytest.mark.parametrize("shape", [(), (3,), (64, 200), (3, 3, 16, 32)], ids=str)
def test_gradient(shape):
    g = np.asarray(sample(shape, zeros=0.3))
    assert numbers(reduce.gradient(tensor(g))) == pytest.approx(by_numpy.gradient(g), rel=1e-5)


@pytest.mark.parametrize("shape", [(), (3,), (64, 200)], ids=str)
def test_update(shape):
    before = np.asarray(sample(shape, 1.0))
    after = np.asarray(before + sample(shape), "float32")
    step = np.sqrt(((after.astype("float64") - before) ** 2).sum())
    norm = np.sqrt((before.astype("float64") ** 2).sum())
    found = numbers(reduce.update(tensor(before), tensor(after)))
    if len(shape) > 1:
        apart = before.astype("float64") - before.astype("float64").mean(axis=-1, keepdims=True)
        assert found.pop("unit_spread") == pytest.approx(np.sqrt((apart**2).sum()) / norm, rel=1e-5)
    assert found == pytest.approx(
        {"weight_norm": norm, "update_norm": step, "update_ratio": step / norm, "weight_nonfinite": 0}, rel=1e-5
    )


def test_units_that_are_all_the_same_have_no_spread():
    column = np.asarray(sample((64, 1)))
    found = numbers(reduce.update(tensor(np.repeat(column, 8, axis=1)), tensor(np.repeat(column, 8, axis=1))))
    assert found["unit_spread"] < 1e-6


def test_one_unit_has_nothing_to_differ_from():
    assert "unit_spread" not in reduce.update(tensor(np.ones((5, 1))), tensor(np.ones((5, 1))))
    assert "unit_spread" in reduce.update(tensor(np.ones((1, 2))), tensor(np.ones((1, 2))))


def test_update_of_weights_that_were_zero_has_no_ratio():
    found = numbers(reduce.update(tensor(np.zeros(4)), tensor(np.ones(4))))
    assert not np.isfinite(found["update_ratio"])


def test_loss_and_penalty():
    assert numbers(reduce.loss(tensor([1.0, 3.0, np.nan])))["nonfinite"] == 1
    assert numbers(reduce.loss(tensor([1.0, 3.0])))["value"] == 2
    assert numbers(reduce.penalty(tensor(1.5), tensor([1.0, 2.0])))["penalty"] == 4.5
    assert numbers(reduce.penalty())["penalty"] == 0


def expected_magnitudes(values):
    values = np.abs(values[np.isfinite(values)].astype("float64"))
    counts = np.histogram(values, [0, *(10.0**decade for decade in reduce.DECADES), np.inf])[0]
    return counts / values.size


@pytest.mark.parametrize("shape", [(64, 200), (300, 512)], ids=str)
def test_magnitudes(shape):
    x = (10.0 ** RNG.uniform(-12, 5, size=shape) * RNG.choice([-1, 1], size=shape)).astype("float32")
    x[0, :5] = 0, np.nan, np.inf, -np.inf, 1e-20
    found = in_graph(lambda values: reduce.magnitudes(values)[reduce.MAGNITUDES], tensor(x))
    shares = keras.ops.convert_to_numpy(found)
    assert shares.shape == (len(reduce.MAGNITUDES),) == (13,)
    interval = -(-x.size // reduce.SKETCHED) | 1
    assert x.ravel()[::interval].size <= reduce.SKETCHED
    np.testing.assert_allclose(shares, expected_magnitudes(x.ravel()[::interval]), atol=1e-4)
    assert shares.sum() == pytest.approx(1, abs=1e-5)


def test_magnitudes_under_a_mask():
    x, mask = np.full((2, 3, 4), 0.5, "float32"), np.ones((2, 3), bool)
    x[0, 1], mask[0, 1] = 1e5, False
    shares = keras.ops.convert_to_numpy(reduce.magnitudes(tensor(x), tensor(mask, "bool"))[reduce.MAGNITUDES])
    assert dict(zip(reduce.MAGNITUDES, shares, strict=True))["magnitude_1e-1"] == 1


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="XLA is an option there")
def test_xla_computes_the_same():
    import tensorflow as tf

    x = tensor(sample((64, 200), 10.0))
    compiled = tf.function(lambda x: {**reduce.activation(x), **reduce.gradient(x)}, jit_compile=True, autograph=False)
    plain = {**numbers(reduce.activation(x)), **numbers(reduce.gradient(x))}
    assert numbers(compiled(x)) == pytest.approx(plain, rel=1e-5)
