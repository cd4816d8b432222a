import random
import re
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from preflight_models import COINS, IMAGES, LABELS, MANY, NUMBERS, TOKENS, X, compiled, dense, found, run

import kregtools
from kregtools._preflight.data_checks import nonfinite_data
from kregtools._preflight.rows import Rows
from kregtools.preflight import CHECKS

# ---- healthy


def logits():
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return compiled(dense(activation=None), loss), X, LABELS


def normalized():
    keras.utils.set_random_seed(1)
    model = [layers.Dense(32), layers.BatchNormalization(), layers.ReLU(), layers.Dense(3, activation="softmax")]
    return compiled(keras.Sequential(model), "categorical_crossentropy"), X, np.eye(3, dtype="float32")[LABELS]


def regression():
    return compiled(dense(1, None), "mse"), X, NUMBERS


def multi_label():
    return compiled(dense(5, "sigmoid"), "binary_crossentropy"), X, MANY


def two_classes():
    return compiled(dense(1, "sigmoid"), "binary_crossentropy"), X, COINS


def token_ids():
    keras.utils.set_random_seed(1)
    model = [layers.Embedding(50, 16), layers.GlobalAveragePooling1D(), layers.Dense(2, activation="softmax")]
    return compiled(keras.Sequential(model)), TOKENS, (TOKENS.mean(axis=1) > 25).astype("int64")


def images():
    keras.utils.set_random_seed(1)
    model = [
        keras.Input((8, 8, 1)),
        layers.Conv2D(8, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(2, "softmax"),
    ]
    return compiled(keras.Sequential(model)), IMAGES, (IMAGES.mean(axis=(1, 2, 3)) > 0.5).astype("int64")


def two_inputs():
    keras.utils.set_random_seed(1)
    inputs = {"left": keras.Input((4,), name="left"), "right": keras.Input((4,), name="right")}
    hidden = layers.Dense(16, activation="relu")(layers.Concatenate()(list(inputs.values())))
    outputs = {"class": layers.Dense(3, "softmax", name="class")(hidden), "size": layers.Dense(1, name="size")(hidden)}
    losses = {"class": "sparse_categorical_crossentropy", "size": "mse"}
    y = {"class": LABELS, "size": NUMBERS}
    return compiled(keras.Model(inputs, outputs), losses), {"left": X[:, :4], "right": X[:, 4:]}, y


def residual_from_zero():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    branch = layers.Dense(8, kernel_initializer="zeros")(layers.Dense(16, activation="relu")(inputs))
    outputs = layers.Dense(3, activation="softmax")(layers.Add()([inputs, branch]))
    return compiled(keras.Model(inputs, outputs)), X, LABELS


HEALTHY = [logits, normalized, regression, multi_label, two_classes, token_ids, images, two_inputs, residual_from_zero]


@pytest.mark.parametrize("case", HEALTHY, ids=lambda case: case.__name__)
def test_a_healthy_model_on_scaled_data_is_healthy(case):
    model, x, y = case()
    diagnosis = run(model, x, y, split=len(keras.tree.flatten(y)[0]) * 5 // 7)
    assert (diagnosis.verdict, diagnosis.symptoms, diagnosis.unchecked) == ("healthy", (), ())
    assert diagnosis.ignored == ("wrong_gradient",)
    count = len(CHECKS) - 1
    assert str(diagnosis) == f"kregtools: healthy (nothing found; {count} of {count} checks ran)"


def test_datasets_are_read():
    train = tf.data.Dataset.from_tensor_slices((X[:500], LABELS[:500])).batch(64)
    held_out = tf.data.Dataset.from_tensor_slices((X[500:], LABELS[500:])).batch(64).repeat()
    assert kregtools.preflight(compiled(dense()), train, validation_data=held_out, steps=60).verdict == "healthy"


# ---- faults


def with_nan() -> np.ndarray:
    x = X.copy()
    x[7, 2] = np.nan
    return x


def with_outlier() -> np.ndarray:
    x = X.copy()
    x[7, 2] = 500.0
    return x


def shifted() -> np.ndarray:
    return np.concatenate([X[:500], X[500:] + 2.0])


def leaked() -> np.ndarray:
    return np.concatenate([X[:500], X[:50], X[550:]])


SORTED = np.argsort(LABELS, kind="stable")
RARE = np.where(np.arange(700) % 35 == 0, 1.0, 0.0).astype("float32")[:, None]
SMALL = {"kernel_initializer": keras.initializers.RandomNormal(stddev=1e-4, seed=1)}
DEAD = {"bias_initializer": keras.initializers.Constant(-100.0)}
WIDE = {"activation": "tanh", "kernel_initializer": keras.initializers.RandomNormal(stddev=50.0, seed=1)}
LAST = {"kernel_initializer": keras.initializers.RandomNormal(stddev=30.0, seed=1)}


def loud_output() -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((8,)), layers.Dense(32, "relu"), layers.Dense(3, "softmax", **LAST)])


def deep(**hidden) -> keras.Model:
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((8,)), *(layers.Dense(16, "relu", **hidden) for _ in range(4)), layers.Dense(3, "softmax")]
    )


def deaf() -> keras.Model:
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8,))
    outputs = layers.Dense(3, activation="softmax")(layers.Rescaling(0.0)(layers.Dense(8, activation="relu")(inputs)))
    return keras.Model(inputs, outputs)


def flattened() -> keras.Model:
    """TensorFlow takes the logits from before a softmax, where nothing comes after it."""
    return keras.Sequential([*dense().layers, layers.Flatten()])


FAULTS = {
    "NaN": ("nonfinite_data", "missing_values", lambda: (dense(), with_nan(), LABELS)),
    "labels from 1": ("target_mismatch", "wrong_output_units", lambda: (dense(), X, LABELS + 1)),
    "one-hot for a sparse loss": ("target_mismatch", "wrong_loss", lambda: (dense(), X, np.eye(3)[LABELS])),
    "softmax on logits": (
        "target_mismatch",
        "wrong_output_activation",
        lambda: (flattened(), X, LABELS, keras.losses.SparseCategoricalCrossentropy(from_logits=True)),
    ),
    "no softmax": ("target_mismatch", "wrong_output_activation", lambda: (dense(3, None), X, LABELS)),
    "one softmax": (
        "target_mismatch",
        "wrong_output_activation",
        lambda: (dense(1, "softmax"), X, COINS, "binary_crossentropy"),
    ),
    "minus one": (
        "target_mismatch",
        "wrong_labels",
        lambda: (dense(1, "sigmoid"), X, 2 * COINS - 1, "binary_crossentropy"),
    ),
    "pixels": ("input_scale", "unnormalized_input", lambda: (dense(), 100 * np.abs(X), LABELS)),
    "outlier": ("input_outliers", "outliers", lambda: (dense(), with_outlier(), LABELS)),
    "prices": ("target_scale", "unnormalized_target", lambda: (dense(1, None), X, 80 * NUMBERS + 200, "mse")),
    "loud output": ("initial_loss", "bad_init", lambda: (loud_output(), X, LABELS)),
    "ones": ("symmetric_units", "bad_init", lambda: (dense(hidden={"kernel_initializer": "ones"}), X, LABELS)),
    "zeros": ("symmetric_units", "bad_init", lambda: (dense(hidden={"kernel_initializer": "zeros"}), X, LABELS)),
    "faint weights": ("signal_scale", "bad_init", lambda: (deep(**SMALL), X, LABELS)),
    "dead": ("dead_relu", "bad_init", lambda: (dense(hidden=DEAD), X, LABELS)),
    "saturated": ("saturated_activation", "bad_init", lambda: (dense(hidden=WIDE), X, LABELS)),
    "deaf": ("one_batch", "unsound_model", lambda: (deaf(), X, LABELS)),
    "shifted": ("split_shift", "split_mismatch", lambda: (dense(), shifted(), LABELS)),
    "sorted": ("split_shift", "split_mismatch", lambda: (dense(), X[SORTED], LABELS[SORTED])),
    "leaked": ("leakage", "leaked_rows", lambda: (dense(), leaked(), LABELS)),
    "rare": ("class_balance", "class_imbalance", lambda: (dense(1, "sigmoid"), X, RARE, "binary_crossentropy")),
}


@pytest.mark.filterwarnings("ignore:.*You are using a softmax over axis")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_with_its_cause(fault):
    name, cause, make = FAULTS[fault]
    model, x, y, *loss = make()
    ignore = () if name == "one_batch" else ("one_batch",)
    diagnosis = run(compiled(model, *loss), x, y, ignore=ignore, steps=30)
    assert name in found(diagnosis)
    assert diagnosis.verdict in ("sick", "undetermined")
    causes = {each.name: each for each in diagnosis.causes}
    assert name in causes[cause].explains
    assert causes[cause].remedy.text and causes[cause].remedy.code
    assert not [item for item in diagnosis.unchecked if item.error]


@pytest.mark.parametrize("off, severity", [(15, None), (16, "info"), (28, "info"), (29, "critical")])
def test_units_that_are_off_at_birth_are_critical_from_nine_of_ten_on(off, severity):
    model = dense()
    hidden = model.layers[0]
    hidden.set_weights([hidden.get_weights()[0], np.where(np.arange(32) < off, -100.0, 100.0)])
    diagnosis = run(compiled(model), ignore=("one_batch", "initial_loss"))
    assert {symptom.severity for symptom in diagnosis.symptoms if symptom.name == "dead_relu"} == {severity} - {None}


@pytest.mark.parametrize("rows, message", [
    ([100], "Row 100 of the training inputs holds NaN or infinity"),
    ([3, 5], r"2 rows of the training inputs \(3, 5\) hold NaN or infinity"),
    (list(range(9)), r"9 rows of the training inputs \(0, 1, 2, 3, 4, …\) hold NaN or infinity"),
])  # fmt: skip
def test_the_rows_that_are_not_finite_are_named(rows, message):
    x = X.copy()
    x[rows, 1] = np.inf
    context = SimpleNamespace(train=Rows(x, None), validation=None)
    symptom, _ = nonfinite_data(context)
    assert re.match(message, symptom.message)
    assert symptom.evidence == {"rows": len(rows), "first_row": rows[0]}


def test_targets_of_the_wrong_shape_are_found():
    diagnosis = run(compiled(dense(), "categorical_crossentropy"), y=LABELS, ignore=("one_batch",))
    assert "target_mismatch" in found(diagnosis) and diagnosis.verdict == "sick"


def test_a_wrong_gradient_is_found_on_request():
    class Halved(keras.layers.Layer):
        def call(self, x):
            return x + keras.ops.stop_gradient(x)

    model = keras.Sequential([keras.Input((8,)), layers.Dense(4), Halved(), layers.Dense(1)])
    diagnosis = run(compiled(model, "mse"), y=NUMBERS, gradients=True, steps=30)
    (wrong,) = (symptom for symptom in diagnosis.symptoms if symptom.name == "wrong_gradient")
    assert wrong.evidence["difference"] == pytest.approx(0.5, abs=1e-3)


# ---- what is not known


def test_without_validation_rows_it_is_not_healthy_and_says_what_to_pass():
    diagnosis = kregtools.preflight(compiled(dense()), X, LABELS, steps=60)
    assert diagnosis.verdict == "undetermined" and not diagnosis.symptoms
    assert {item.name for item in diagnosis.unchecked} == {"split_shift", "leakage"}
    assert all("pass `validation_data`" in item.reason for item in diagnosis.unchecked)


def test_a_loss_of_ones_own_is_judged_by_what_is_passed():
    def mine(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred))

    unknown = run(compiled(dense(1, None), mine), y=NUMBERS)
    assert {item.name for item in unknown.unchecked} == {"initial_loss", "one_batch"}
    assert all("pass `expected_loss`" in item.reason for item in unknown.unchecked)
    assert run(compiled(dense(1, None), mine), y=NUMBERS, expected_loss=1.0).verdict == "healthy"
    assert found(run(compiled(dense(1, None), mine), y=NUMBERS, expected_loss=1e-3, ignore=("one_batch",)))


def test_a_model_that_cannot_be_copied_is_judged_but_for_one_check():
    class Own(keras.Model):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def get_config(self):
            raise NotImplementedError("no config")

        def call(self, x):
            return self.layer(x)

    diagnosis = run(compiled(Own(layers.Dense(3, activation="softmax"))))
    (item,) = diagnosis.unchecked
    assert item.name == "one_batch" and "the model cannot be copied" in item.reason and "get_config" in item.reason


@pytest.mark.parametrize("fault", ["NaN", "labels from 1", "leaked"])
def test_every_check_is_in_exactly_one_state(fault):
    model, x, y = FAULTS[fault][2]()
    frame = run(compiled(model), x, y, ignore=("one_batch",)).frame()
    names = frame[frame.kind == "symptom"].name.tolist()
    assert sorted(names) == sorted(check.name for check in CHECKS)


# ---- nothing changes


def state(model: keras.Model) -> list[np.ndarray]:
    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    return [np.array(variable) for variable in variables]


def stateful() -> keras.Model:
    model = keras.Sequential([*dense().layers[:-1], layers.BatchNormalization(), layers.GaussianNoise(0.1)])
    model.add(layers.Dense(3, activation="softmax", kernel_regularizer="l2"))
    return compiled(model, metrics=["accuracy"])


def test_the_model_and_all_random_state_stay_as_they_were():
    model = stateful()
    model.fit(X, LABELS, verbose=0)
    before, functions, loss = state(model), (model.train_function, model.test_function), model._compile_loss
    states = random.getstate(), np.random.get_state()[1].tolist()
    run(model, gradients=True, steps=20)
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(old, new)
    assert functions == (model.train_function, model.test_function) and loss is model._compile_loss
    assert states == (random.getstate(), np.random.get_state()[1].tolist())
    assert "compute_loss" not in vars(model) and keras.config.floatx() == "float32"


@pytest.mark.parametrize("built", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_fit_after_it_gives_the_same_bits(built):
    def fitted(look: bool) -> list[np.ndarray]:
        keras.utils.set_random_seed(3)
        model = [layers.Dense(8, "relu"), layers.Dropout(0.5), layers.BatchNormalization(), layers.Dense(3, "softmax")]
        model = compiled(keras.Sequential([keras.Input((8,)), *model] if built else model))
        if look:
            run(model, steps=5)
        model.fit(X, LABELS, verbose=0, epochs=2)
        return state(model)

    for old, new in zip(fitted(False), fitted(True), strict=True):
        np.testing.assert_array_equal(old, new)


def test_data_that_fail_midway_leave_everything():
    model = stateful()
    model.fit(X, LABELS, verbose=0)
    before, call = state(model), keras.Layer.__call__

    def broken(*args, **kwargs):
        raise OSError("the disk is gone")

    object.__setattr__(model.layers[-1], "call", broken)
    with pytest.raises(OSError, match="the disk is gone"):
        run(model)
    assert keras.Layer.__call__ is call and "compute_loss" not in vars(model)
    for old, new in zip(before, state(model), strict=True):
        np.testing.assert_array_equal(old, new)


# ---- errors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "argument `samples`. Received: samples=0. Expected a positive integer"),
        ({"steps": True}, "argument `steps`. Received: steps=True. Expected a positive integer"),
        ({"ignore": ("leak",)}, r"argument `ignore`. Received: ignore=\('leak',\). Expected .*leakage"),
        ({"ignore": "leakage"}, "Expected a tuple of names"),
        ({"y": None}, "`x` has no targets.*pass `y=x`"),
        ({"x": X[:0], "y": LABELS[:0]}, "`x` has no rows"),
        ({"y": LABELS[:9]}, r"different numbers of rows. Received: \[9, 700\]"),
        ({"x": iter([(X, LABELS)]), "y": None}, "`x` can be read only once"),
        ({"validation_data": (X, None)}, "`validation_data` has no targets"),
    ],
)
def test_what_cannot_be_judged_is_an_error_that_says_what_is_expected(settings, message):
    with pytest.raises(ValueError, match=message):
        kregtools.preflight(compiled(dense()), **{"x": X, "y": LABELS, **settings})


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(ValueError, match=r"the model has none. .*Call `model.compile\(optimizer, loss\)` first"):
        kregtools.preflight(dense(), X, LABELS)
