import importlib
import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from sklearn.datasets import load_digits, make_circles

import kregtools
from kregtools._bias_variance import Yardstick, extrapolated, interval, judge
from kregtools._size_fits import _order
from kregtools.learning_curve import LearningCurve, _sizes

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype("float32")
Y = (X @ [1.0, -2.0, 0.5] + 0.1 * RNG.normal(size=40)).astype("float32")
DIGITS, LABELS = load_digits(return_X_y=True)
SHUFFLED = RNG.permutation(len(DIGITS))
DIGITS, LABELS = DIGITS[SHUFFLED] / 16, LABELS[SHUFFLED]
CIRCLES = make_circles(400, noise=0.1, factor=0.5, random_state=0)
# Known levels: a training loss below 0.6 is a fit, one above 0.8 is none.
UNIT = Yardstick(1.0, 0.0)
NOISE = np.linspace(-0.005, 0.005, 4)[:, None]


def linear(rate: float = 0.05) -> keras.Model:
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=["mae"], run_eagerly=True)
    return model


def classifier(inputs: int, units: int | None, classes: int) -> keras.Model:
    hidden = [layers.Dense(units, activation="relu")] if units else []
    model = keras.Sequential([keras.Input((inputs,)), *hidden, layers.Dense(classes, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def curve(build=linear, x=X, y=Y, **settings) -> LearningCurve:
    defaults = {"validation_data": (X, Y), "sizes": (10, 40), "repeats": 2, "epochs": 1, "batch_size": 20}
    return kregtools.learning_curve(build, x, y, **{**defaults, **settings})


def judged(training: list[float], validation: list[float], pace: float = 0.0, yardstick: Yardstick = UNIT, noise=NOISE):
    sizes = 10.0 * 2 ** np.arange(len(training))
    losses = (np.array(training) + noise, np.array(validation) + noise * np.linspace(-1, 2, len(training)))
    return judge(sizes, *losses, np.full(losses[0].shape, pace), yardstick)


# ---- on real fits


@pytest.mark.slow
def test_a_linear_model_of_circles_has_high_bias():
    x, y = CIRCLES
    found = curve(
        lambda: classifier(2, None, 2), x[:200], y[:200], validation_data=(x[200:], y[200:]), sizes=(100, 200),
        repeats=3, epochs=6, batch_size=50,
    )  # fmt: skip
    assert found.verdict == "high_bias"
    assert found.evidence["constant"] == pytest.approx(np.log(2), rel=1e-3)
    assert "both losses are high and close together. More data will not help" in found.reason


@pytest.mark.slow
def test_a_wide_net_of_few_digits_has_high_variance_and_more_of_them_help():
    found = curve(
        lambda: classifier(64, 256, 10), DIGITS[:40], LABELS[:40], validation_data=(DIGITS[1300:], LABELS[1300:]),
        sizes=(10, 40), repeats=3, epochs=12, batch_size=20,
    )  # fmt: skip
    assert found.verdict == "high_variance" and "more data helps" in found.reason
    assert found.evidence["train"] < 0.3 < found.evidence["validation"]


def test_the_right_model_with_enough_rows_is_balanced():
    found = curve(lambda: linear(0.2), sizes=(20, 40), epochs=6, repeats=3, batch_size=10)
    assert found.verdict == "balanced"
    assert found.evidence["constant"] == pytest.approx(Y.var(), rel=1e-3)
    assert repr(found) == str(found)
    assert repr(found).startswith("<LearningCurve: balanced>\n  At 40 rows the training loss is ")
    assert "\n  20 rows: loss 0.0" in repr(found) and "val_loss 0.0" in repr(found)


def test_the_same_seed_gives_the_same_frame_and_another_seed_another():
    frames = [curve(seed=seed, sizes=(10, 20), repeats=1).frame() for seed in (7, 7, 8)]
    assert frames[0].equals(frames[1])
    assert not np.isclose(frames[0]["val_loss"], frames[2]["val_loss"]).any()


def test_a_fit_does_not_depend_on_the_others():
    wide, narrow = curve(sizes=(10, 20, 40)).frame(), curve(sizes=(20, 10), repeats=1).frame()
    same = wide[(wide["size"] < 40) & (wide["repeat"] == 0)].reset_index(drop=True)
    assert same.equals(narrow)


def test_the_frame_has_a_row_for_each_fit():
    frame = curve(sizes=(40, 10), epochs=2).frame()
    names = ["size", "repeat", "loss", "mae", "val_loss", "val_mae", "epochs", "pace", "failure"]
    assert sorted(frame.columns) == sorted(names) and list(frame.columns[:2]) == names[:2]
    assert list(frame["size"]) == [10, 10, 40, 40] and list(frame["repeat"]) == [0, 1, 0, 1]
    assert (frame["epochs"] == 2).all() and (frame["failure"] == "").all()


def test_losses_are_those_of_inference_without_penalties():
    models = []

    def build() -> keras.Model:
        dense = layers.Dense(1, kernel_regularizer=keras.regularizers.L2(10.0))
        models.append(keras.Sequential([keras.Input((3,)), layers.Dropout(0.5), dense]))
        models[-1].compile("sgd", "mse", run_eagerly=True)
        return models[-1]

    frame = curve(build, sizes=(20, 40), repeats=1, validation_data=(X[:9], Y[:9])).frame()
    errors = (models[-1].predict(X, verbose=0)[:, 0] - Y) ** 2
    assert frame["loss"].iloc[-1] == pytest.approx(errors.mean(), rel=1e-4)
    assert frame["val_loss"].iloc[-1] == pytest.approx(errors[:9].mean(), rel=1e-4)
    assert models[-1].losses[0] > 1e-3


def test_the_training_loss_is_of_the_rows_that_were_trained_on():
    def build() -> keras.Model:
        table = layers.Embedding(40, 1, embeddings_initializer="zeros")
        model = keras.Sequential([keras.Input((1,), dtype="int32"), table, layers.Flatten()])
        # A step of this size on a single row learns it by heart, and no other row.
        model.compile(keras.optimizers.SGD(0.5), "mse", run_eagerly=True)
        return model

    ids = np.arange(40)[:, None]
    frame = curve(build, ids, Y, validation_data=(ids, Y), sizes=(10, 40), repeats=1, batch_size=1).frame()
    assert (frame["loss"] < 1e-9).all()
    assert frame["val_loss"].iloc[0] > 0.1 and frame["val_loss"].iloc[1] < 1e-9


def test_callbacks_are_copied_for_each_fit():
    history = keras.callbacks.History()
    curve(repeats=1, callbacks=[history])
    assert history.model is None and history.history == {}


def test_early_stopping_sees_the_validation_data():
    stop = keras.callbacks.EarlyStopping("val_loss", patience=1, min_delta=100.0)
    assert (curve(callbacks=[stop], epochs=9, repeats=1).frame()["epochs"] == 2).all()


def test_several_inputs_outputs_and_a_dataset_to_validate_on():
    def build() -> keras.Model:
        inputs = {"a": keras.Input((3,), name="a"), "b": keras.Input((3,), name="b")}
        joined = layers.Concatenate()(list(inputs.values()))
        outputs = [layers.Dense(1, name="value")(joined), layers.Dense(2, activation="softmax", name="kind")(joined)]
        model = keras.Model(inputs, outputs)
        losses = {"value": "mse", "kind": "sparse_categorical_crossentropy"}
        model.compile("sgd", losses, run_eagerly=True)
        return model

    x, y = {"a": tf.constant(X), "b": X}, {"value": Y, "kind": (Y > 0).astype(int)}
    found = curve(build, x, y, validation_data=tf.data.Dataset.from_tensor_slices((x, y)).batch(20))
    share = (Y > 0).mean()
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert found.evidence["constant"] == pytest.approx(Y.var() + entropy, rel=1e-3)
    full = found.frame().query("size == 40")
    np.testing.assert_allclose(full["loss"], full["val_loss"], rtol=1e-4)


def test_the_random_states_of_python_and_numpy_are_put_back():
    random.seed(3), np.random.seed(3)
    expected = random.random(), np.random.random()
    random.seed(3), np.random.seed(3)
    curve(repeats=1)
    assert (random.random(), np.random.random()) == expected


# ---- fits that fail


def test_a_fit_that_fails_is_listed_and_the_others_count():
    calls = iter(range(99))

    def build() -> keras.Model:
        call = next(calls)
        if call == 1:
            raise OSError("the disk is full\nsecond line")
        return linear(1e30 if call == 4 else 0.05)

    found = curve(build, repeats=3)
    assert [(f.size, f.repeat) for f in found.failures] == [(10, 2), (40, 0)]
    assert found.failures[1].reason == "OSError: the disk is full"
    assert found.failures[0].reason == "its loss and val_loss is not finite"
    assert np.isnan(found.frame().query("size == 40 and repeat == 0")["loss"]).all()
    assert "failed: size 40, repeat 0: OSError: the disk is full" in repr(found)
    assert np.isfinite(found.evidence["train"])


def test_it_is_an_error_if_every_fit_fails():
    def build() -> keras.Model:
        raise OSError("no such table")

    message = r"None of the 4 fits gave a loss\. The first one, of 10 rows: OSError: no such table\. Expected that"
    with pytest.raises(RuntimeError, match=message) as raised:
        curve(build)
    assert isinstance(raised.value.__cause__, OSError)
    with pytest.raises(RuntimeError, match="its loss and val_loss is not finite"):
        curve(lambda: linear(float("nan")))


def test_losses_of_an_unknown_kind_leave_the_verdict_open():
    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
        model.compile("sgd", lambda y, y_pred: keras.ops.mean((y - y_pred) ** 4), run_eagerly=True)
        return model

    found = curve(build)
    assert found.verdict == "undetermined" and "pass `desired_loss`" in found.reason
    assert curve(build, desired_loss=1e6).verdict == "balanced"


# ---- arguments

MODEL = linear()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"sizes": (10,)}, r"argument `sizes`. Received: sizes=\(10,\). Expected at least two different integers from"),
        ({"sizes": (10, 41)}, r"sizes=\(10, 41\). Expected at least two different integers from 1 to 40, the number"),
        ({"sizes": (0, 10)}, r"sizes=\(0, 10\)"),
        ({"sizes": (10, 10)}, r"sizes=\(10, 10\)"),
        ({"sizes": (0.1, 1.0)}, r"sizes=\(0.1, 1.0\)"),
        ({"sizes": (True, 10)}, r"sizes=\(True, 10\)"),
        ({"sizes": 10}, r"sizes=10. Expected"),
        ({"seed": -1}, r"argument `seed`. Received: seed=-1. Expected an integer from 0 on"),
        ({"seed": 1.5}, r"seed=1.5"),
        ({"seed": None}, r"seed=None"),
        ({"repeats": 0}, r"argument `repeats`. Received: repeats=0. Expected an integer from 1 on"),
        ({"repeats": True}, r"repeats=True"),
        ({"desired_loss": float("nan")}, r"argument `desired_loss`. Received: desired_loss=nan. Expected a number"),
        ({"validation_data": None}, r"argument `validation_data`. Received: validation_data=None. Expected a tuple"),
        ({"validation_data": iter([])}, r"Expected a tuple \(x, y\) or a dataset that can be read once for each fit"),
        ({"validation_split": 0.1}, r"`validation_split` cannot be passed on to `fit`: it would take rows away"),
        ({"sample_weight": Y}, r"`sample_weight` cannot be passed on to `fit`: it has as many rows as `x`"),
        ({"y": Y[:9]}, r"must have the same number of rows, and two at least. Received: \[9, 40\] rows"),
        ({"y": None}, r"Subsets of `x` and `y` are drawn. Received: x of type ndarray, y of type NoneType. Expected"),
        ({"x": [[1.0]] * 40}, r"Received: x of type list"),
        ({"build": MODEL}, r"argument `build`. Received: build=<Sequential.*>. Expected a function without arguments"),
        ({"build": lambda: None}, r"argument `build`. It returned None. Expected a compiled `keras.Model`"),
        ({"build": lambda: keras.Sequential([layers.Dense(1)])}, r"call `model.compile\(optimizer, loss\)` in `build`"),
        ({"build": lambda: MODEL}, r"It returned the same model '.*' again.*Expected a new model from each call"),
    ],
)
def test_an_invalid_argument_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        curve(**wrong)


@pytest.mark.parametrize("rows", [2, 3, 8, 40, 1000, 60000])
def test_sizes_left_out_reach_from_few_rows_to_all(rows):
    sizes = _sizes(None, rows)
    assert sizes[-1] == rows and 1 <= sizes[0] < rows and len(sizes) >= 2
    assert sizes == sorted(set(sizes)) and len(sizes) == (6 if rows >= 40 else len(sizes))


def test_subsets_have_the_classes_in_their_proportions():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    for targets in (labels, labels[:, None], labels.astype("float32"), np.eye(3)[labels]):
        order = _order(targets, 5)
        assert sorted(order) == list(range(1000))
        for size in (10, 50, 500):
            np.testing.assert_allclose(np.bincount(labels[order[:size]]), [0.6 * size, 0.3 * size, 0.1 * size], atol=1)
    assert (_order(labels, 5) != _order(labels, 6)).any()


def test_targets_that_are_no_classes_are_drawn_at_random():
    assert sorted(_order(Y, 1)) == list(range(40))
    assert sorted(_order({"a": Y, "b": Y}, 1)) == list(range(40))
    assert (_order(Y, 1) != _order(Y, 2)).any()


# ---- the verdict on given losses


@pytest.mark.parametrize(
    ("training", "validation", "verdict", "reason"),
    [
        ([0.85, 0.92, 0.95, 0.95], [1.3, 1.1, 1.0, 0.98], "high_bias", "close together"),
        ([0.05, 0.06, 0.08, 0.1], [0.9, 0.7, 0.5, 0.4], "high_variance", "falls by 0.15 with each doubling"),
        ([0.05, 0.06, 0.08, 0.1], [0.5, 0.3, 0.15, 0.12], "balanced", "the gap is narrow"),
        ([0.05, 0.06, 0.08, 0.1], [0.6, 0.6, 0.6, 0.6], "undetermined", "not seen to close"),
        ([0.6, 0.3, 0.2, 0.1], [0.9, 0.7, 0.6, 0.55], "undetermined", "not seen to close"),
        ([0.85, 0.9, 0.9, 0.9], [2.0, 1.8, 1.6, 1.5], "undetermined", "both bias and variance"),
        ([0.6, 0.7, 0.7, 0.7], [0.8, 0.75, 0.73, 0.72], "undetermined", "too small, or the targets are noise"),
        ([1.6, 1.4, 1.2, 0.9], [1.6, 1.4, 1.2, 0.95], "undetermined", "had not come to an end"),
    ],
)
def test_the_verdict_of_a_pair_of_curves(training, validation, verdict, reason):
    found = judged(training, validation)
    assert found.verdict == verdict and reason in found.reason


def test_fits_that_were_stopped_while_the_loss_fell_are_no_bias():
    losses = [0.9, 0.95, 0.95], [1.0, 1.0, 1.0]
    assert judged(*losses).verdict == "high_bias"
    for pace in (0.3, np.nan):
        found = judged(*losses, pace=pace)
        assert found.verdict == "undetermined" and "Train for more epochs" in found.reason


def test_a_spread_over_the_repeats_leaves_the_verdict_open():
    losses = [0.05, 0.06, 0.08, 0.1], [0.9, 0.7, 0.5, 0.2]
    assert judged(*losses).verdict == "high_variance"
    found = judged(*losses, noise=20 * NOISE)
    assert found.verdict == "undetermined" and "Raise `repeats`" in found.reason


def test_a_single_repeat_gives_no_verdict():
    found = judged([0.1, 0.1], [0.5, 0.4], noise=NOISE[:1])
    assert found.verdict == "undetermined" and "raise `repeats`, and look at `failures`" in found.reason


def test_the_desired_loss_tells_bias_from_noise():
    losses = [0.6, 0.7, 0.7, 0.7], [0.8, 0.75, 0.73, 0.72]
    assert judged(*losses, yardstick=Yardstick(1.0, 0.0, 0.3)).verdict == "high_bias"
    found = judged(*losses, yardstick=Yardstick(None, None, 0.8))
    assert found.verdict == "balanced" and "no more than the desired 0.8" in found.reason


def test_a_power_law_is_extrapolated_where_it_fits():
    sizes = 50.0 * 2 ** np.arange(6)
    assert extrapolated(sizes, 0.2 + 9 * sizes**-0.7, 3200) == pytest.approx(0.2 + 9 * 3200**-0.7, rel=0.01)
    assert extrapolated(sizes, np.array([1.0, 0.9, 0.8, 0.7, 0.2, 0.1]), 3200) is None
    assert extrapolated(sizes, 0.1 + sizes / 1000, 3200) is None
    assert extrapolated(sizes[:4], 9 * sizes[:4] ** -0.7, 3200) is None
    assert extrapolated(sizes, -(sizes**-0.5), 3200) is None


def test_what_twice_the_rows_would_give_is_told_only_where_it_is_known():
    validation = [2.0 * 2 ** (-0.4 * doubling) for doubling in range(6)]
    found = judged([0.05] * 6, validation)
    assert found.verdict == "high_variance"
    assert found.evidence["expected_validation"] == pytest.approx(2.0 * 2 ** (-0.4 * 6), rel=0.03)
    assert f"With {found.evidence['doubled_size']:g} rows a validation loss of about 0.3" in found.reason
    assert "expected_validation" not in judged([0.05] * 6, [2.0, 1.9, 1.8, 1.2, 1.0, 0.5]).evidence


def test_the_interval_is_that_of_students_t():
    low, mean, high = interval(np.array([1.0, 2.0, 3.0, np.nan]))
    assert mean == 2 and (mean - low, high - mean) == pytest.approx([2.92 / np.sqrt(3)] * 2)


# ---- the figure


def test_the_figure_draws_what_the_frame_holds():
    found = curve(sizes=(10, 20, 40))
    means = found.frame().groupby("size").mean(numeric_only=True)
    for metric, names in (("loss", ["training", "validation", "best constant"]), ("mae", ["training", "validation"])):
        ax = found.plot(metric)
        lines = {line.get_label(): line for line in ax.lines}
        assert list(lines) == names and ax.get_ylabel() == metric
        for label, column in (("training", metric), ("validation", f"val_{metric}")):
            np.testing.assert_array_equal(lines[label].get_xdata(), [10, 20, 40])
            np.testing.assert_allclose(lines[label].get_ydata(), means[column])
        spread = found.frame().groupby("size")[metric].std()
        drawn = ax.collections[0].get_paths()[0].vertices[:, 1]
        assert drawn.max() == pytest.approx((means[metric] + spread).max())
    assert [label.get_text() for label in ax.get_xticklabels()] == ["10", "20", "40"]
    assert found.plot(ax=ax) is ax


def test_an_unknown_metric_is_an_error_that_lists_the_known():
    found = curve(repeats=1)
    with pytest.raises(ValueError, match=r"argument `metric`. Received: metric='auc'. Expected one of: loss, mae."):
        found.plot("auc")


def test_the_name_stays_the_functions_once_its_module_is_imported():
    module = importlib.import_module("kregtools.learning_curve")
    assert kregtools.learning_curve is module.learning_curve
