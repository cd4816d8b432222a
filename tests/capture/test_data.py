"""The statistics of inputs, targets and outputs against NumPy, on any backend."""

import by_numpy
import keras
import numpy as np
import pytest
from keras import ops

from kregtools.capture import data

RNG = np.random.default_rng(0)
COMMON = {"mean", "std", "rms", "min", "max", "zero_fraction", "nonfinite", "count"}


def measured(function, *tensors) -> dict[str, float]:
    found = {}
    given = [tensor if tensor is None else ops.convert_to_tensor(tensor) for tensor in tensors]
    for name, value in function(*given).items():
        numbers = np.atleast_1d(keras.ops.convert_to_numpy(value)).astype(float)
        names = name if isinstance(name, tuple) else (name,)
        found.update(zip(names, numbers, strict=True))
    return found


@pytest.mark.parametrize("shape", [(32,), (32, 7), (8, 5, 7), (4, 6, 6, 3), (300, 8, 8, 3)])
@pytest.mark.parametrize("dtype", ["float32", "float16", "float64"])
def test_the_scale_of_every_feature(shape, dtype):
    x = (RNG.normal(size=shape) * np.arange(1, shape[-1] + 1) + 3).astype(dtype)
    rows = x.reshape(-1, shape[-1] if len(shape) > 1 else 1).astype("float64")
    rows = rows[:: -(-len(rows) // data.MOST_ROWS) | 1]
    expected = {
        **by_numpy.activation(x),
        "integer": 0,
        "feature_mean_min": rows.mean(axis=0).min(),
        "feature_mean_max": rows.mean(axis=0).max(),
        "feature_std_min": rows.std(axis=0).min(),
        "feature_std_max": rows.std(axis=0).max(),
        "constant_features": 0,
    }
    assert measured(data.inputs, x) == pytest.approx(expected, rel=2e-3, abs=1e-5)


def test_constant_features_are_counted_and_not_taken_for_the_least_scale():
    x = RNG.normal(size=(64, 4)).astype("float32")
    x[:, 1], x[:, 3] = 0.1, 0.0
    found = measured(data.inputs, x)
    assert found["constant_features"] == 2
    assert found["feature_std_min"] == pytest.approx(x[:, [0, 2]].std(axis=0).min(), rel=1e-5)
    found = measured(data.inputs, np.full((8, 3), 0.1, "float32"))
    assert (found["feature_std_min"], found["feature_std_max"], found["constant_features"]) == (0, 0, 3)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_whole_numbers_have_no_features(dtype):
    x = RNG.integers(0, 50, size=(16, 9)).astype(dtype)
    assert measured(data.inputs, x) == pytest.approx({**by_numpy.activation(x), "integer": 1}, rel=1e-5)


def test_what_is_not_finite_is_counted():
    x = np.ones((8, 2), "float32")
    x[0, 0], x[1, 1], x[2, 1] = np.nan, np.inf, -np.inf
    assert measured(data.inputs, x)["nonfinite"] == 3
    assert measured(data.targets, x[:, 0], np.zeros((8, 4), "float32"))["nonfinite"] == 1
    assert measured(data.outputs, x)["nonfinite"] == 3


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32", "float64"])
@pytest.mark.parametrize(
    "shape, output", [((40,), (40, 5)), ((40, 1), (40, 5)), ((6, 7), (6, 7, 5)), ((6, 7, 1), (6, 7, 5))]
)
def test_labels_are_counted(dtype, shape, output):
    y = RNG.integers(0, 5, size=shape).astype(dtype)
    found = measured(data.targets, y, np.zeros(output, "float32"))
    counts = {f"count_{label}": count for label, count in enumerate(np.bincount(y.astype(int).ravel(), minlength=5))}
    expected = {**by_numpy.activation(y), **counts, "rows": y.size, "labels_out_of_range": 0, "integer_fraction": 1}
    assert found == pytest.approx(expected, rel=1e-5)


def test_labels_out_of_range_are_counted_apart():
    found = measured(data.targets, np.array([0, 1, 1, 2, 3, 9, -1, -7]), np.zeros((8, 3), "float32"))
    assert [found[f"count_{label}"] for label in range(3)] == [1, 2, 1]
    assert (found["labels_out_of_range"], found["rows"]) == (4, 4)


def test_a_thousand_classes_are_one_vector_and_more_are_not_counted():
    y = ops.convert_to_tensor(np.arange(64))
    names = data.targets(y, ops.zeros((64, 1000)))
    assert [len(name) for name in names if isinstance(name, tuple)] == [1000]
    found = measured(data.targets, np.arange(64), np.zeros((64, 1001), "float32"))
    assert found.keys() == COMMON | {"integer_fraction", "labels_out_of_range"}
    wide = np.zeros((4, 1001), "float32")
    assert not any(name.startswith("count_") for name in measured(data.targets, wide, wide))


def test_one_hot_targets_have_no_entropy_of_their_own():
    y = np.eye(4, dtype="float32")[RNG.integers(0, 4, size=50)]
    found = measured(data.targets, y, np.zeros((50, 4), "float32"))
    assert [found[f"count_{label}"] for label in range(4)] == y.sum(axis=0).tolist()
    assert (found["rows"], found["entropy"], found["integer_fraction"]) == (50, 0, 1)
    assert found["binary_entropy"] == 0


def test_soft_targets_have_an_entropy_of_their_own():
    y = RNG.dirichlet(np.ones(4), size=50).astype("float32")
    found = measured(data.targets, y, np.zeros((50, 4), "float32"))
    assert found["entropy"] == pytest.approx(-(y * np.log(y)).sum(axis=1).mean(), rel=1e-4)
    each = -(y * np.log(y) + (1 - y) * np.log(1 - y)).mean()
    assert found["binary_entropy"] == pytest.approx(each, rel=1e-4)
    assert found["integer_fraction"] == 0
    p = RNG.random(50).astype("float32")
    expected = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert measured(data.targets, p, np.zeros((50, 1), "float32"))["entropy"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("shape", [(51,), (51, 1)])
@pytest.mark.parametrize("output", [(51,), (51, 1)])
def test_numbers_for_an_output_of_width_one(shape, output):
    y = RNG.lognormal(size=shape)
    found = measured(data.targets, y, np.zeros(output, "float32"))
    distance = np.abs(y - np.median(y))
    assert found.keys() == COMMON | {"integer_fraction", "deviation", "huber", "log_cosh", "entropy"}
    assert found["deviation"] == pytest.approx(distance.mean(), rel=1e-5)
    huber = np.where(distance < 1, distance**2 / 2, distance - 0.5)
    assert found["huber"] == pytest.approx(huber.mean(), rel=1e-5)
    assert found["log_cosh"] == pytest.approx(np.log(np.cosh(distance)).mean(), rel=1e-5)


@pytest.mark.parametrize("shape, output", [((8, 3), (8, 4)), ((8, 3), (8,)), ((8, 2, 2), (8, 4)), ((), (8, 3))])
def test_targets_of_another_shape_have_what_is_common(shape, output):
    found = measured(data.targets, RNG.normal(size=shape), np.zeros(output, "float32"))
    assert found.keys() == COMMON | {"integer_fraction"}


def test_missing_targets_and_missing_outputs():
    assert data.targets(None, ops.zeros((3, 2))) == {}
    assert measured(data.targets, np.arange(6.0)).keys() == COMMON | {"integer_fraction"}


@pytest.mark.parametrize("shape", [(32, 5), (16, 4, 5), (4, 6, 6, 2)])
def test_the_spread_of_an_output_over_rows(shape):
    y = RNG.random(shape).astype("float32")
    sums = y.astype("float64").sum(axis=-1)
    expected = {
        **by_numpy.activation(y),
        "rows": shape[0],
        "row_std": y.astype("float64").std(axis=0).mean(),
        "sum_mean": sums.mean(),
        "sum_std": sums.std(),
    }
    assert measured(data.outputs, y) == pytest.approx(expected, rel=1e-4)


def test_a_constant_output_has_no_spread_though_its_units_differ():
    found = measured(data.outputs, np.tile(np.float32([0.1, 0.9]), (16, 1)))
    assert found["row_std"] == pytest.approx(0, abs=1e-6) and found["std"] > 0.3
    assert found["sum_mean"] == pytest.approx(1) and found["sum_std"] == pytest.approx(0, abs=1e-6)


def test_outputs_of_width_one_have_no_sums():
    assert measured(data.outputs, RNG.random((8, 1))).keys() == COMMON | {"rows", "row_std"}
    assert measured(data.outputs, RNG.random(8)).keys() == COMMON | {"rows", "row_std"}


def test_a_whole_step_is_compiled():
    """The names do not depend on values, and the sizes may be unknown while the function is traced."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for xla in (False, True):
            spec = [tf.TensorSpec((None, 5)), tf.TensorSpec((None, 1), tf.int32), tf.TensorSpec((None, 4))]
            traced = tf.function(everything, spec, jit_compile=xla)
            check(traced)
    elif keras.backend.backend() == "jax":
        import jax

        check(jax.jit(everything))
    else:
        check(everything)


def everything(x, y, y_pred):
    column = y_pred[:, :1]
    found = [data.inputs(x), data.targets(y, y_pred), data.targets(column, column), data.outputs(y_pred)]
    return [[ops.reshape(value, (-1,)) for value in each.values()] for each in found]


def check(function):
    x, p = (ops.convert_to_tensor(RNG.random((5000, width)).astype("float32")) for width in (5, 4))
    y = ops.convert_to_tensor(RNG.integers(0, 4, size=(5000, 1)).astype("int32"))
    for given, expected in zip(function(x, y, p), everything(x, y, p), strict=True):
        for one, other in zip(given, expected, strict=True):
            np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), rtol=1e-3, atol=1e-5)


class Sparse:
    todense = None


@pytest.mark.parametrize("function, kind", [(data.inputs, "input"), (data.targets, "target"), (data.outputs, "output")])
def test_what_is_not_measured_says_why(function, kind):
    with pytest.raises(TypeError, match=f"the {kind} is a sparse tensor"):
        function(Sparse())
    with pytest.raises(TypeError, match=f"the {kind} does not hold real numbers but complex64"):
        function(ops.convert_to_tensor(np.ones((2, 2), "complex64")))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with pytest.raises(TypeError, match=f"the {kind} does not hold real numbers but string"):
            function(tf.constant(["a", "b"]))
        with pytest.raises(TypeError, match=f"the {kind} is a ragged tensor"):
            function(tf.ragged.constant([[1.0], [2.0, 3.0]]))
        with pytest.raises(TypeError, match=f"the {kind} is a sparse tensor"):
            function(tf.sparse.from_dense([[0.0, 1.0]]))
