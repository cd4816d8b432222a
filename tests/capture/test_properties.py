"""What holds of the statistics of any tensor: by halves, in any order, under any mask, at any scale."""

import by_numpy
import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kregtools.capture import reduce, sums
from kregtools.capture.replicas import merged

# Short rows and long ones take different ways.
SHAPES = [(1,), (7,), (1, 1), (5, 3), (1, 16), (3, 17), (20, 40), (4, 2, 16), (3, 2, 2, 5), (300, 20)]
DECADES = st.floats(-12, 15)
ORDINARY = settings(max_examples=25, deadline=None, derandomize=True)


@st.composite
def tensors(draw, shapes=SHAPES, decades=DECADES):
    """Values of one scale or of many, around any mean, with zeros, constant, or of one sign."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape, scale = draw(st.sampled_from(shapes)), 10 ** draw(decades)
    kind = draw(st.sampled_from(["normal", "offset", "many scales", "constant", "zeros", "outlier", "whole"]))
    x = rng.normal(size=shape)
    if kind == "offset":
        x += draw(st.sampled_from([-10, -1, 1, 10]))
    elif kind == "many scales":
        x *= 10 ** rng.uniform(-4, 0, size=shape)
    elif kind == "constant":
        x = np.full(shape, rng.normal())
    elif kind == "zeros":
        x *= rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    elif kind == "outlier":
        x.flat[rng.integers(x.size)] = 1e4
    elif kind == "whole":
        x, scale = rng.integers(-3, 4, size=shape), 1.0
    return (x * scale).astype("float32")


def tensor(x, dtype="float32"):
    return keras.ops.convert_to_tensor(np.asarray(x), dtype=dtype)


def numbers(found):
    return {name: float(keras.ops.convert_to_numpy(value)) for name, value in found.items() if isinstance(name, str)}


def followed(found):
    """What the host makes of the sums of a step."""
    keys, values = sums.statistics([("a", "b", name) for name in found], np.array(list(numbers(found).values())))
    return dict(zip([key[2] for key in keys], values.tolist(), strict=True))


def apart(found, expected):
    """What differs beyond rounding, each on the scale of the values it is made of; squares end at 1e-38."""
    rms = expected["rms"] + 1e-18
    errors = {
        "mean": abs(found["mean"] - expected["mean"]) / rms,
        "rms": abs(found["rms"] - expected["rms"]) / rms,
        "std": abs(found["std"] ** 2 - expected["std"] ** 2) / rms**2,  # a small one is a difference of large numbers
        "zero_fraction": abs(found["zero_fraction"] - expected["zero_fraction"]),
    }
    same = {name: float(found[name] != expected[name]) for name in ("min", "max", "nonfinite", "count")}
    return {name: (found[name], expected[name]) for name, error in (errors | same).items() if not error <= 1e-5}


WAYS = {
    "all": lambda x: numbers(reduce.activation(tensor(x))),
    "masked": lambda x: numbers(reduce.activation(tensor(x), mask=tensor(np.ones(x.shape[:1]), "bool"))),
    "sums": lambda x: followed(sums.activation(tensor(x))),
}
EVERY_WAY = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)


@EVERY_WAY
@ORDINARY
@given(x=tensors())
def test_an_activation_is_what_numpy_says_in_float64(way, x):
    found = way(x)
    assert list(found) == list(sums.ACTIVATION)
    assert not apart(found, by_numpy.activation(x))
    if way is not WAYS["sums"] and by_numpy.activation(x)["std"] >= abs(by_numpy.activation(x)["mean"]) / 10:
        assert found["std"] == pytest.approx(by_numpy.activation(x)["std"], rel=2e-5, abs=1e-18)


@EVERY_WAY
@ORDINARY
@given(x=tensors(), seed=st.integers(0, 99))
def test_the_order_of_values_and_of_rows_does_not_matter(way, x, seed):
    rng = np.random.default_rng(seed)
    assert not apart(way(rng.permutation(x.ravel()).reshape(x.shape)), by_numpy.activation(x))
    assert not apart(way(rng.permutation(x)), by_numpy.activation(x))


def joined(*parts):
    """What the replicas of a step, each with a part of the batch, have seen together."""
    keys = [("layer", "activation", name) for name in parts[0]]
    values, _ = merged(keys, np.array([list(part.values()) for part in parts]), np.zeros((len(parts), 0), bool))
    return dict(zip(parts[0], values.tolist(), strict=True))


PARTS = [shape for shape in SHAPES if shape[0] > 1 and len(shape) > 1]


@EVERY_WAY
@ORDINARY
@given(x=tensors(shapes=PARTS), at=st.integers(0, 300))
def test_parts_of_a_batch_merge_to_the_whole(way, x, at):
    at = 1 + at % (len(x) - 1)
    assert not apart(joined(way(x[:at]), way(x[at:])), by_numpy.activation(x))


@ORDINARY
@given(g=tensors(shapes=PARTS), at=st.integers(0, 300))
def test_gradients_of_parts_merge_to_that_of_the_whole(g, at):
    at = 1 + at % (len(g) - 1)
    parts = [{**numbers(reduce.gradient(tensor(part))), "count": part.size} for part in (g[:at], g[at:])]
    whole = {**numbers(reduce.gradient(tensor(g))), "count": g.size}
    assert joined(*parts) == pytest.approx(whole, rel=1e-5, abs=1e-18)


@ORDINARY
@given(g=tensors())
def test_a_gradient_is_what_numpy_says_and_so_are_its_sums(g):
    expected, found = by_numpy.gradient(g), numbers(reduce.gradient(tensor(g)))
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)
    assert found["gradient_norm"] == pytest.approx(expected["gradient_norm"], rel=1e-5, abs=1e-17)
    del expected["gradient_zero_fraction"]
    assert followed(sums.gradient(tensor(g))) == pytest.approx(expected, rel=1e-5, abs=1e-17)


@ORDINARY
@given(before=tensors(), seed=st.integers(0, 99), share=st.floats(-4, 1))
def test_an_update_is_what_numpy_says(before, seed, share):
    step = np.random.default_rng(seed).normal(size=before.shape) * np.abs(before).max() * 10**share
    after = (before + step).astype("float32")
    old, new = before.astype("float64"), after.astype("float64")
    found = numbers(reduce.update(tensor(before), tensor(after)))
    norm, change = np.linalg.norm(old), np.linalg.norm(new - old)
    assert found["weight_norm"] == pytest.approx(norm, rel=1e-5, abs=1e-17)
    # The difference of two float32 is rounded once more.
    assert found["update_norm"] == pytest.approx(change, rel=1e-5, abs=1e-7 * norm + 1e-17)
    assert found["weight_nonfinite"] == 0
    assert np.isfinite(found["update_ratio"]) == (norm > 0)
    if before.ndim > 1 and before.shape[-1] > 1 and norm > 0:
        spread = np.linalg.norm(old - old.mean(axis=-1, keepdims=True)) / norm
        assert found["unit_spread"] == pytest.approx(spread, rel=1e-5, abs=1e-5)


JUNK = [np.nan, np.inf, -np.inf, 3e38, 0.0, -1.0]


@ORDINARY
@given(x=tensors(shapes=PARTS), seed=st.integers(0, 99), share=st.floats(0, 1), junk=st.sampled_from(JUNK))
@pytest.mark.parametrize("saturated", [None, "tanh", "softmax"])
def test_what_stands_under_a_mask_has_no_influence(saturated, x, seed, share, junk):
    mask = np.random.default_rng(seed).random(x.shape[: max(x.ndim - 1, 1)]) < share
    clean, dirty = x.copy(), x.copy()
    clean[~mask], dirty[~mask] = 0.5, junk

    def found(values):
        values, masks = tensor(values), tensor(mask, "bool")
        shares = reduce.magnitudes(values, masks)[reduce.MAGNITUDES]
        fired = reduce.firing(values, masks)
        rest = [keras.ops.convert_to_numpy(each).tolist() for each in (shares, fired)]
        return [numbers(reduce.activation(values, saturated, masks)), *rest]

    assert repr(found(clean)) == repr(found(dirty))
    if mask.any():
        statistics = found(dirty)[0]
        statistics.pop("saturated_fraction", None)
        assert not apart(statistics, by_numpy.activation(x[mask]))


@ORDINARY
@given(x=tensors(), at=st.lists(st.integers(0, 10**6), min_size=1, max_size=4), junk=st.sampled_from(JUNK[:3]))
def test_what_is_not_finite_is_counted_wherever_it_stands(x, at, junk):
    x.flat[[place % x.size for place in at]] = junk
    count = np.sum(~np.isfinite(x))
    for way in (WAYS["all"], WAYS["masked"]):
        assert way(x)["nonfinite"] == count
    assert numbers(reduce.gradient(tensor(x)))["gradient_nonfinite"] == count
    assert numbers(reduce.update(tensor(np.ones_like(x)), tensor(x)))["weight_nonfinite"] == count
    assert numbers(reduce.loss(tensor(x)))["nonfinite"] == count
    # Those that cost least say whether, not how many.
    assert WAYS["sums"](x)["nonfinite"] == 1
    assert followed(sums.gradient(tensor(x)))["gradient_nonfinite"] == 1
    assert followed(sums.loss(tensor(x)))["nonfinite"] == 1
    shares = keras.ops.convert_to_numpy(reduce.magnitudes(tensor(x))[reduce.MAGNITUDES])
    assert shares.sum() == pytest.approx(1, abs=1e-5) if count < x.size else np.isnan(shares).all()


@pytest.mark.parametrize(("dtype", "most"), [("float16", 4.5), ("bfloat16", 15)])
@ORDINARY
@given(x=tensors(), decade=st.floats(0, 1))
def test_half_precision_is_widened_before_it_is_squared(dtype, most, x, decade):
    """Values up to 3e4, and 1e15, of which the squares, and sums of the values themselves, are too large for it."""
    largest = np.abs(x).max() or 1.0
    half = (x / largest * 10 ** (most * decade)).astype(dtype if dtype == "float16" else ml_dtypes.bfloat16)
    given_half, wide = tensor(half, dtype), half.astype("float32")
    assert not apart(numbers(reduce.activation(given_half)), by_numpy.activation(wide))
    assert not apart(followed(sums.activation(given_half)), by_numpy.activation(wide))
    norm = np.linalg.norm(wide.astype("float64"))
    for found in (numbers(reduce.gradient(given_half)), followed(sums.gradient(given_half))):
        assert found["gradient_norm"] == pytest.approx(norm, rel=1e-5)
        assert found["gradient_nonfinite"] == 0


@ORDINARY
@given(x=tensors(decades=st.floats(-14, 8)))
def test_shares_of_magnitudes_sum_to_one_and_agree_with_numpy(x):
    shares = keras.ops.convert_to_numpy(reduce.magnitudes(tensor(x))[reduce.MAGNITUDES])
    assert shares.sum() == pytest.approx(1, abs=1e-5)
    # The edges as float32 has them: 1e-3 lies above its own decade in float64.
    edges = np.array([10.0**decade for decade in reduce.DECADES], "float32")
    counts = np.bincount(np.searchsorted(edges, np.abs(x).ravel(), side="right"), minlength=13)
    np.testing.assert_allclose(shares, counts / x.size, atol=1e-6)


def in_graph(function, x):
    """As in a step that is traced, where Keras lets the extremes of nothing pass."""
    import tensorflow as tf

    signature = [tf.TensorSpec([None, *x.shape[1:]], "float32")]
    return tf.function(function, input_signature=signature, autograph=False)(x)


EMPTY = [(0,), (0, 3), (0, 20), (0, 2, 5)]


@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_of_nothing_there_is_no_statistic_and_no_error(shape):
    x = np.zeros(shape, "float32")
    for found in (numbers(in_graph(reduce.activation, x)), followed(in_graph(sums.activation, x))):
        assert found["count"] == found["nonfinite"] == 0
        assert np.isnan([found["mean"], found["std"], found["rms"], found["zero_fraction"]]).all()
    assert numbers(in_graph(reduce.gradient, x))["gradient_norm"] == 0
    assert np.isnan(in_graph(lambda values: reduce.magnitudes(values)[reduce.MAGNITUDES], x)).all()


@pytest.mark.parametrize("shape", EMPTY[1:], ids=str)
def test_a_replica_without_rows_takes_nothing_from_the_others(shape):
    x = np.random.default_rng(0).normal(3.0, size=(7, *shape[1:])).astype("float32")
    for function in (reduce.activation, lambda values: followed(sums.activation(values))):
        read = (lambda found: found) if function is not reduce.activation else numbers
        whole = read(function(tensor(x)))
        nothing = dict.fromkeys(whole, np.nan) | {"min": np.inf, "max": -np.inf, "nonfinite": 0.0, "count": 0.0}
        assert not apart(joined(whole, nothing), by_numpy.activation(x))
        assert not apart(joined(nothing, whole), by_numpy.activation(x))


@pytest.mark.parametrize("statistics", [("gradient_norm", "gradient_rms"), ("gradient_norm", "weight_norm", "rms")])
def test_of_a_variable_every_replica_says_the_same(statistics):
    keys = [("layer", "kernel", name) for name in statistics]
    values, _ = merged(keys, np.array([[3.0] * len(keys)] * 2), np.zeros((2, 0), bool))
    assert values.tolist() == [3.0] * len(keys)


@pytest.mark.parametrize("x", [1e-37, -1e-30, 1e20, -3e38], ids=str)
def test_what_is_too_small_or_too_large_to_be_squared_is_still_finite(x):
    found = numbers(reduce.activation(tensor(np.full((4, 20), x))))
    assert found["nonfinite"] == numbers(reduce.gradient(tensor(np.full((4, 20), x))))["gradient_nonfinite"] == 0
    assert (found["min"], found["max"]) == (np.float32(x), np.float32(x))
