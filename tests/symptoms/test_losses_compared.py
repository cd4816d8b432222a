"""Training against validation, and loss against accuracy."""

import pytest
from symptom_records import NAN, SQUARED, by_epoch, labels, targets, two_values

from kregtools.record import example
from kregtools.symptoms.comparison import accuracy, beats_majority, majority_share, mismatch, trained_before

BINARY = {"losses": [{"name": "binary_crossentropy"}]}
CLASSES = {"losses": [{"name": "sparse_categorical_crossentropy"}]}


@pytest.mark.parametrize("share, majority", [(0.5, 0.5), (0.1, 0.9), (0.7, 0.7)])
def test_the_majority_of_two_values(share, majority):
    assert majority_share(example(facts=BINARY, series=two_values(share))) == pytest.approx(majority)


def test_the_majority_of_several_columns_is_the_mean_of_theirs():
    columns = targets(mean=0.5, std=0.5, min=0.0, max=1.0, count=200, rows=100, count_0=90, count_1=10)
    assert majority_share(example(facts=BINARY, series=columns)) == pytest.approx(0.9)


def test_the_majority_of_labels_is_the_most_frequent_one():
    assert majority_share(example(facts=CLASSES, series=labels(10, 60, 30))) == pytest.approx(0.6)


@pytest.mark.parametrize(
    "facts, series",
    [
        ({}, labels(10, 60)),
        (BINARY, {}),
        (CLASSES, {}),
        (CLASSES, labels(0, 0)),
        (BINARY, targets()),
        (SQUARED, two_values(0.5)),
        (SQUARED, labels(10, 60)),
        ({"losses": [{"name": None}]}, two_values(0.5)),
        ({"losses": BINARY["losses"] * 2}, two_values(0.5)),
        ({"losses": [{**BINARY["losses"][0], "target": "target:b"}]}, {("", "target:a", "mean"): [0.5]}),
    ],
)
def test_there_is_no_majority_where_there_are_no_classes_or_they_are_not_known(facts, series):
    assert majority_share(example(facts=facts, series=series)) is None


@pytest.mark.parametrize(
    "name", ["accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy"]
)
def test_an_accuracy_is_found_by_its_name(name):
    record = example(logs={name: [0.5, 0.6], f"val_{name}": [0.3, 0.4], "mae": [9.0, 9.0]})
    assert list(accuracy(record)) == [0.5, 0.6]
    assert list(accuracy(record, "val_")) == [0.3, 0.4]


def test_there_is_no_accuracy_where_none_was_logged():
    assert accuracy(example(logs={"mae": [0.5], "accuracy": [NAN]})) is None
    assert accuracy(example()) is None
    assert list(accuracy(example(logs={"accuracy": [NAN, NAN], "acc": [0.5, NAN]}))) == pytest.approx(
        [0.5, NAN], nan_ok=True
    )


@pytest.mark.parametrize("best, better", [(0.59, False), (0.61, True)])
@pytest.mark.parametrize(
    "name, prefixes", [("accuracy", ("",)), ("val_accuracy", ("val_",)), ("val_acc", ("", "val_"))]
)
def test_a_fifth_of_what_the_majority_leaves_is_better_than_it(best, better, name, prefixes):
    record = example(logs={name: [0.1, best, NAN, 0.3]}, facts=BINARY, series=two_values(0.5, 4))
    assert beats_majority(record, *prefixes) is better


def test_nothing_beats_a_majority_that_is_not_known():
    assert beats_majority(example(logs={"accuracy": [0.99]}, facts=BINARY), "") is False
    assert beats_majority(example(facts=BINARY, series=two_values(0.5)), "", "val_") is False


def test_an_accuracy_that_is_not_asked_for_does_not_count():
    record = example(logs={"accuracy": [0.99]}, facts=BINARY, series=two_values(0.5))
    assert beats_majority(record, "") and not beats_majority(record, "val_")


def test_a_fit_that_goes_on_with_a_trained_network_is_known_by_its_first_steps():
    logs = {"loss": [0.5, 0.4]}
    assert not trained_before(example(logs=logs))
    assert not trained_before(example())
    assert not trained_before(example(logs=logs, facts={"fit": {"steps": 10}}))
    assert trained_before(example(logs=logs, facts={"fit": {"steps": 9}}))
    assert not trained_before(example(facts={"fit": {"steps": 9}}))
    assert not trained_before(example(logs=logs, facts={"fit": None}))
    assert not trained_before(example(logs=logs, series={("", "loss", "value"): [0.5]}))


@pytest.mark.parametrize("step, before", [(0, False), (1, True), (500, True)])
def test_a_fit_that_goes_on_is_known_by_its_first_sample(step, before):
    record = example()
    record.add_sample(step, 0, {("", "loss", "value"): 0.5})
    assert trained_before(record) is before


def run(training, validation, facts=None, series=None, **logs):
    logs = {"loss": training, "val_loss": validation, **logs}
    return example(logs=logs, facts={**SQUARED, **(facts or {})}, series={**targets(), **(series or {})})


def test_a_mismatch_is_by_how_much_the_validation_loss_is_larger_from_the_first_epochs_on():
    assert mismatch(run([0.5, 0.4, 0.4], [1.5, 0.8, 0.8])) == pytest.approx(2.0)
    assert mismatch(run([0.5, 0.2, 0.4], [1.0, 0.8, 0.8])) == pytest.approx(2.0)
    assert mismatch(run([0.5, 0.5, 0.5, 0.5], [1.2, 1.4, 1.0, 1.1])) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "times, found",
    [
        ((1.6, 1.6, 1.6, 1.6), True),
        ((1.4, 1.6, 1.6, 1.6), False),
        ((1.6, 1.4, 1.6, 1.6), False),
        ((1.6, 1.6, 1.51, 1.7), True),
        ((1.6, 1.6, 1.6, 1.49), False),
        ((3.9, 4.6, 1.2, 1.2, 1.3, 1.6, 1.8, 2.0, 2.2), False),
    ],
)
def test_one_and_a_half_times_in_every_epoch(times, found):
    assert bool(mismatch(run([1.0] * len(times), list(times)))) == found


@pytest.mark.parametrize("gap, found", [(0.24, False), (0.26, True)])
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_quarter_of_what_the_constant_costs(gap, found, epoch):
    validation = [0.5, 0.5, 0.5]
    validation[epoch] = 0.1 + gap
    assert bool(mismatch(run([0.1] * 3, validation))) == found


def test_where_the_constant_is_not_known_any_gap_is_far_enough():
    assert mismatch(example(logs={"loss": [1e-3] * 3, "val_loss": [2e-3] * 3})) == pytest.approx(2.0)


@pytest.mark.parametrize("worse, found", [(0.06, True), (0.04, False), (-0.1, False)])
@pytest.mark.parametrize("epoch", [0, 1])
def test_an_accuracy_is_five_points_worse_as_well(worse, found, epoch):
    unseen = [0.7, 0.7, 0.9]
    unseen[epoch] = 0.9 - worse
    record = run([0.5] * 3, [1.4] * 3, accuracy=[0.9] * 3, val_accuracy=unseen)
    assert bool(mismatch(record)) == found


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("times, weighted, found", [(3.1, False, True), (2.9, False, False), (3.1, True, False)])
def test_three_times_the_loss_needs_no_accuracy_unless_it_is_weighted(times, weighted, found, epoch):
    validation = [2.0, 2.0, 2.0]
    validation[epoch] = 0.5 * times
    same = {"accuracy": [0.6] * 3, "val_accuracy": [0.6] * 3}
    assert bool(mismatch(run([0.5] * 3, validation, {"weighted": weighted}, **same))) == found


@pytest.mark.parametrize("logs", [{"accuracy": [0.9] * 3}, {"val_accuracy": [0.9] * 3}])
def test_one_accuracy_without_the_other_tells_nothing(logs):
    assert mismatch(run([0.5] * 3, [1.5] * 3, **logs))


@pytest.mark.parametrize(
    "training, validation",
    [
        ([0.5, 0.5], [1.5, 1.5]),
        ([0.5, NAN, 0.5], [1.5, 1.5, 1.5]),
        ([0.5, 0.5, 0.5], [1.5, NAN, 1.5]),
        ([0.5, 0.0, 0.5], [1.5, 1.5, 1.5]),
        ([-0.5, -0.5, -0.5], [-1.5, -1.5, -1.5]),
        ([0.5, 0.5, 0.5], [1.5, 1.5, 0.0]),
    ],
)
def test_losses_that_cannot_be_compared(training, validation):
    assert mismatch(run(training, validation)) is None


def test_a_trained_network_has_seen_its_rows():
    assert mismatch(run([0.5] * 3, [1.5] * 3, facts={"fit": {"steps": 5}})) is None


def normalized(*momenta: float | None, kind: str = "BatchNormalization"):
    return {
        "layers": [{"name": f"bn_{index}", "class": kind, "momentum": value} for index, value in enumerate(momenta)]
    }


@pytest.mark.parametrize(
    "momenta, epochs, found",
    [
        ((0.4,), 3, True),
        ((0.5,), 3, False),
        ((0.9,), 40, False),
        ((0.9, 0.4), 40, False),
        ((0.4, 0.9), 40, False),
        ((None, 0.4), 3, True),
        ((None,), 3, True),
        ((0.0,), 3, True),
    ],
)
def test_the_slowest_average_has_had_five_time_constants_by_the_end_of_the_first_epoch(momenta, epochs, found):
    """An epoch has ten steps; at a momentum of 0.4 five time constants are 8.3 of them."""
    assert bool(mismatch(run([0.5] * epochs, [1.5] * epochs, facts=normalized(*momenta)))) == found


def test_a_frozen_normalization_has_averages_that_stay():
    facts = {"layers": [{**normalized(0.99)["layers"][0], "trainable": False}]}
    assert mismatch(run([0.5] * 3, [1.5] * 3, facts=facts))


def test_only_a_normalization_has_such_averages():
    assert mismatch(run([0.5] * 3, [1.5] * 3, facts=normalized(0.99, kind="Optimizer")))
    assert mismatch(run([0.5] * 3, [1.5] * 3, facts=normalized(0.99, kind="DropoutAwareBatchNormalization"))) is None


def test_averages_that_are_recalibrated_have_settled():
    measured = {("norm", "moving_variance", "recalibrated"): [1.0]}
    assert mismatch(run([0.5] * 3, [1.5] * 3, facts=normalized(0.99), series=measured))
    measured = {("norm", "moving_variance", "recalibrated"): [0.0]}
    assert mismatch(run([0.5] * 3, [1.5] * 3, facts=normalized(0.99), series=measured)) is None


def test_an_epoch_is_counted_by_its_steps():
    assert mismatch(by_epoch(range(3), loss=[0.5] * 3, val_loss=[1.5] * 3)) == pytest.approx(3.0)
