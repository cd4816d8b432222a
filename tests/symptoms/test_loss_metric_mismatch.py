"""Where loss and accuracy say different things."""

import math

import pytest
from symptom_records import NAN, REGULARIZED, labels, refusal, seen, shown, targets, two_values

from kregtools.record import example

BINARY = {"losses": [{"name": "binary_crossentropy"}]}
CONSTANT = math.log(2)


def run(end: float = 0.1, best: float = 0.5, share: float = 0.5, facts=BINARY, series=None, **logs):
    logs = {"loss": [0.6, end, end], **(logs or {"accuracy": [0.5, best, 0.5]})}
    return example(logs=logs, facts=facts, series=series or two_values(share))


def test_what_is_said():
    symptom = shown("loss_metric_mismatch", run(end=0.0693))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The loss falls to 0.0693, 10% of what the best constant prediction costs, and the accuracy is at best 50.0%, "
        "where always naming the most frequent class has 50.0%; it should be above 55.0%."
    )
    assert symptom.layers == () and symptom.first_step is None
    assert symptom.evidence == pytest.approx(
        {"loss": 0.0693, "constant_loss": CONSTANT, "accuracy": 0.5, "majority_share": 0.5, "threshold": 0.5}
    )


@pytest.mark.parametrize("level, found", [(0.49, True), (0.51, False)])
def test_half_of_what_the_constant_costs(level, found):
    assert bool(seen("loss_metric_mismatch", run(end=level * CONSTANT))) == found


def test_the_end_is_the_mean_of_two_epochs():
    record = run(loss=[0.6, 0.2, 0.1], accuracy=[0.5] * 3)
    assert shown("loss_metric_mismatch", record).evidence["loss"] == pytest.approx(0.15)


@pytest.mark.parametrize(
    "share, best, found", [(0.5, 0.549, True), (0.5, 0.551, False), (0.2, 0.819, True), (0.2, 0.821, False)]
)
def test_a_tenth_of_what_the_most_frequent_class_leaves(share, best, found):
    assert bool(seen("loss_metric_mismatch", run(best=best, share=share))) == found


@pytest.mark.parametrize("name", ["accuracy", "val_accuracy", "acc", "val_binary_accuracy"])
def test_the_best_accuracy_counts_in_training_or_validation(name):
    both = {"accuracy": [0.5] * 3, "val_accuracy": [0.5] * 3}
    assert shown("loss_metric_mismatch", run(**both))
    assert seen("loss_metric_mismatch", run(**{name: [NAN, 0.9, 0.5]})) is None
    assert seen("loss_metric_mismatch", run(**{**both, "accuracy": [0.5, 0.9, 0.5]})) is None
    assert seen("loss_metric_mismatch", run(**{**both, "val_accuracy": [0.5, 0.9, 0.5]})) is None


@pytest.mark.parametrize("best, told", [(0.951, True), (0.949, False)])
def test_an_accuracy_near_one_needs_no_yardstick(best, told):
    """Classes that are not known to be anything but equally frequent."""
    facts = {
        "losses": [{"name": "sparse_categorical_crossentropy"}],
        "outputs": [{"shape": [None, 4]}],
    }
    record = run(best=best, facts=facts, series=targets(mean=1.5))
    if told:
        assert seen("loss_metric_mismatch", record) is None
    else:
        assert refusal("loss_metric_mismatch", record) == (
            "the share of the most frequent class is not known: use HealthMonitor"
        )


def test_classes_by_their_counts():
    facts = {"losses": [{"name": "sparse_categorical_crossentropy"}]}
    assert shown("loss_metric_mismatch", run(facts=facts, series=labels(30, 70), best=0.72))
    assert seen("loss_metric_mismatch", run(facts=facts, series=labels(30, 70), best=0.74)) is None


def test_a_loss_without_classes_has_no_accuracy():
    for losses in ([], None, [{"name": "mean_squared_error"}], [{"name": None}], BINARY["losses"] * 2):
        assert seen("loss_metric_mismatch", example(logs={"loss": [0.1]}, facts={"losses": losses})) is None


def test_penalties_are_left_out():
    half = {("", "loss", "value"): [1.0], ("", "loss", "penalty"): [0.5]}
    record = run(end=0.6, facts={**BINARY, **REGULARIZED}, series={**two_values(0.5), **half})
    assert shown("loss_metric_mismatch", record).evidence["loss"] == pytest.approx(0.3)
    assert "penalties of unknown size" in refusal("loss_metric_mismatch", run(facts={**BINARY, **REGULARIZED}))


def test_what_is_needed():
    assert refusal("loss_metric_mismatch", example(logs={"loss": [0.1]}, facts=BINARY)) == (
        "1 epochs were run and 2 are needed: raise `epochs`"
    )
    assert refusal("loss_metric_mismatch", run(mae=[0.1] * 3)) == (
        'there is no accuracy to compare the loss with: compile with `metrics=["accuracy"]`'
    )
    assert (
        seen("loss_metric_mismatch", run(series=targets(mean=0.5, std=0.5, min=-1.0, max=2.0), accuracy=[0.1] * 3))
        is None
    )
    assert seen("loss_metric_mismatch", run(loss=[0.1, NAN, 0.1], accuracy=[0.1] * 3)) is None
    assert shown("loss_metric_mismatch", run(loss=[0.1, 0.1], accuracy=[0.1] * 2))


# ---- a crossentropy that does not see the output


def compiled(name: str, units: int = 1, **settings):
    return {
        "losses": [{"name": name, "target": "target", **settings}],
        "outputs": [{"tensor": "output", "target": "target", "shape": [None, units]}],
    }


def given(low: float, high: float, name: str = "binary_crossentropy", units: int = 1, **settings):
    """What the loss was given in the second of three samples."""
    series = {("", "output", "min"): [0.1, low, 0.1], ("", "output", "max"): [0.9, high, NAN]}
    learned = {"loss": [0.6, 0.3, 0.1], "accuracy": [0.7, 0.9, 0.99]}
    return example(logs=learned, facts=compiled(name, units, **settings), series=series)


def test_what_is_said_of_outputs_that_are_no_probabilities():
    symptom = shown("loss_metric_mismatch", given(-1.86, 4.54))
    assert symptom.severity == "critical" and symptom.first_step == 1
    assert symptom.message == (
        "The outputs range from -1.86 to 4.54, and binary_crossentropy takes probabilities: it cuts off what is not "
        "between 0 and 1, and gives no gradient there."
    )
    assert symptom.evidence == {"lowest": -1.86, "highest": 4.54, "threshold": 0.001}


@pytest.mark.parametrize(
    "low, high, name, found",
    [
        (0.0, 1.0009, "binary_crossentropy", False),
        (-0.0009, 1.0, "binary_crossentropy", False),
        (0.0, 1.0011, "binary_crossentropy", True),
        (-0.0011, 1.0, "binary_focal_crossentropy", True),
        (0.0, 9.0, "sparse_categorical_crossentropy", True),
        (0.0, 9.0, "categorical_crossentropy", False),
        (-0.1, 9.0, "categorical_crossentropy", True),
        (-4.0, 9.0, "mean_squared_error", False),
    ],
)
def test_probabilities_are_between_0_and_1_or_divided_by_their_sum(low, high, name, found):
    assert bool(seen("loss_metric_mismatch", given(low, high, name, units=3))) == found


def test_logits_may_be_anything():
    assert seen("loss_metric_mismatch", given(-4.0, 4.0, from_logits=True)) is None


def test_the_output_of_each_loss_is_looked_at():
    facts = {
        "losses": [{"name": "huber", "target": "target:a"}, {"name": "binary_crossentropy", "target": "target:b"}],
        "outputs": [{"tensor": f"output:{name}", "target": f"target:{name}", "shape": [None, 1]} for name in "ab"],
    }
    series = {("", f"output:{name}", extreme): [0.5] for name in "ab" for extreme in ("min", "max")}
    assert seen("loss_metric_mismatch", example(facts=facts, series={**series, ("", "output:a", "max"): [7.0]})) is None
    assert shown("loss_metric_mismatch", example(facts=facts, series={**series, ("", "output:b", "max"): [7.0]}))


@pytest.mark.parametrize("name", ["categorical_crossentropy", "categorical_focal_crossentropy"])
def test_one_unit_has_nothing_to_choose_between(name):
    symptom = shown("loss_metric_mismatch", example(logs={"loss": [0.0]}, facts=compiled(name)))
    assert symptom.severity == "critical"
    assert symptom.message == f"The {name} of a single unit is the same whatever the network puts out."
    assert seen("loss_metric_mismatch", example(logs={"loss": [0.0]}, facts=compiled("huber"))) is None


# ---- class numbers that one unit is to hit


def numbers(low: float = 0.0, high: float = 2.0, units: int = 1, whole: float = 1.0, end: float = 0.1, **logs):
    logs = {"loss": [0.6, end, end], **(logs or {"accuracy": [0.4, 0.65, 0.6]})}
    series = targets(mean=(low + high) / 2, std=0.4 * (high - low), min=low, max=high, integer_fraction=whole)
    return example(logs=logs, facts=compiled("mean_squared_error", units), series=series)


def test_what_is_said_of_class_numbers():
    symptom = shown("loss_metric_mismatch", numbers())
    assert symptom.severity == "warning"
    assert symptom.message == (
        "The loss falls to 0.1, 16% of what the best constant prediction costs, and the accuracy is at best 65.0%: of "
        "a single unit it is that of two classes, and the targets are whole numbers from 0 to 2."
    )


@pytest.mark.parametrize(
    "settings, found",
    [
        ({}, True),
        ({"high": 29.0, "end": 1.0}, True),
        ({"high": 30.0, "end": 1.0}, False),
        ({"high": 1.0, "end": 0.01}, False),
        ({"whole": 0.9}, False),
        ({"units": 3}, False),
        ({"end": 0.4}, False),
        ({"mae": [0.3] * 3}, False),
    ],
)
def test_class_numbers_are_few_and_whole_and_judged_by_an_accuracy(settings, found):
    assert bool(seen("loss_metric_mismatch", numbers(**settings))) == found


def test_two_numbers_are_two_classes():
    series = targets(mean=3.0, std=1.0, min=2.0, max=4.0, integer_fraction=1.0)
    logs = {"loss": [0.6, 0.1, 0.1], "accuracy": [0.5] * 3}
    assert seen("loss_metric_mismatch", example(logs=logs, facts=compiled("mean_squared_error"), series=series)) is None


WELL = {"loss": [0.6, 0.4, 0.3], "accuracy": [0.7, 0.9, 0.98]}


def softmaxed(backend="tensorflow", activation=None, sums=1.0, **settings):
    facts = compiled("categorical_crossentropy", 3)
    facts["losses"][0].update({"from_logits": True, **settings})
    facts["outputs"][0].update(layer="last", activation=activation)
    facts |= {"versions": {"backend": backend}, "layers": [{"name": "last", "activation": activation}]}
    known = {"min": 0.0, "max": 1.0, "sum_mean": sums, "sum_std": 0.0}
    series = {("", "output", name): [value] * 2 for name, value in known.items()}
    return example(logs=WELL, facts=facts, series=series)


def test_what_is_said_of_a_second_softmax():
    symptom = shown("loss_metric_mismatch", softmaxed())
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The outputs are probabilities, and categorical_crossentropy with from_logits=True makes such of them once "
        "more."
    )


@pytest.mark.parametrize(
    "settings, found",
    [
        ({"sums": 0.9}, False),
        ({"from_logits": False}, False),
        ({"activation": "softmax"}, False),
        ({"activation": "softmax", "backend": "torch"}, True),
    ],
)
def test_a_softmax_of_keras_own_is_taken_off_on_tensorflow(settings, found):
    assert bool(seen("loss_metric_mismatch", softmaxed(**settings))) == found


def hot(share, low=0.0):
    counts = {f"count_{column}": 32 * share for column in range(3)}
    spread = (share - low) * (1 - share)
    known = {"count": 96.0, "rows": 32.0, **counts, "mean": share, "std": spread**0.5, "min": low, "max": 1.0}
    series = {("", "target", name): [value] * 2 for name, value in known.items()}
    return example(logs=WELL, facts=compiled("categorical_crossentropy", 3), series=series)


def test_what_is_said_of_several_classes_a_row():
    assert shown("loss_metric_mismatch", hot(0.5)).message == (
        "The targets name 1.5 classes a row, and categorical_crossentropy is made for exactly one."
    )
    assert seen("loss_metric_mismatch", hot(0.34)) is None


def softmax(mean: float, std: float, shape=(None, 3), activation: str = "softmax"):
    facts = {
        "losses": [{"name": "categorical_crossentropy", "target": "target"}],
        "outputs": [{"tensor": "output", "target": "target", "shape": list(shape), "activation": activation}],
    }
    known = {"min": 0.0, "max": 0.9, "sum_mean": mean, "sum_std": std}
    series = {("", "output", name): [value] * 2 for name, value in known.items()}
    return example(logs={"loss": [0.9, 0.4, 0.1], "accuracy": [0.5, 0.8, 0.97]}, facts=facts, series=series)


@pytest.mark.parametrize(
    "mean, std, found",
    [
        (1.0, 0.0, False),
        (0.951, 0.0, False),
        (0.949, 0.0, True),
        (1.051, 0.0, True),
        (1.0, 0.049, False),
        (1.0, 0.051, True),
    ],
)
def test_the_rows_of_a_softmax_sum_to_one(mean, std, found):
    symptom = seen("loss_metric_mismatch", softmax(mean, std))
    assert bool(symptom) == found


def test_what_is_said_of_a_softmax_over_the_batch():
    symptom = shown("loss_metric_mismatch", softmax(0.31, 0.24))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The rows of the softmax sum to 0.31 in the mean, and not each to 1: it is taken over another axis, and what "
        "is said of a row depends on the other rows of its batch."
    )
    assert symptom.evidence == {"row_sum": 0.31, "threshold": 1.0}


def test_a_softmax_over_pixels_and_other_activations_are_not_held_to_it():
    assert seen("loss_metric_mismatch", softmax(0.31, 0.24, shape=(None, 8, 8, 3))) is None
    assert seen("loss_metric_mismatch", softmax(0.31, 0.24, activation="sigmoid")) is None
    assert seen("loss_metric_mismatch", softmax(NAN, NAN)) is None
