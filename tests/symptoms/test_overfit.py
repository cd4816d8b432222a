"""Where overfitting begins to be reported, and what is said of it."""

import pytest
from symptom_records import NAN, REGULARIZED, SQUARED, by_epoch, refusal, seen, shown, targets, two_values

from kregtools.record import example

FALLING = [0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
RISING = [0.52, 0.50, 0.53, 0.56, 0.59, 0.62]


def straight(lowest: float, end: float, epochs: int) -> list[float]:
    """From just above the lowest value to it, and then in a line to where the last two epochs have the mean `end`."""
    pace = (end - lowest) / (epochs - 0.5)
    return [lowest + pace, *(lowest + pace * epoch for epoch in range(epochs + 1))]


def run(validation: list[float], **logs: list[float]):
    training = [0.6 - 0.5 * index / (len(validation) - 1) for index in range(len(validation))]
    return example(logs={"loss": training, "val_loss": validation, **logs})


def test_what_is_said():
    symptom = shown("overfit", example(logs={"loss": FALLING, "val_loss": RISING}))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "The validation loss is lowest in epoch 2 (0.5) and has risen by 21% since, while the training loss fell from "
        "0.5 to 0.15."
    )
    assert symptom.layers == ()
    assert symptom.first_step == 19
    assert symptom.evidence == pytest.approx(
        {"onset_epoch": 2.0, "lowest_val_loss": 0.5, "final_val_loss": 0.605, "rise": 0.21, "threshold": 0.1}
    )


def test_the_gap_of_each_metric_is_told_in_its_own_units():
    logs = {"mae": [0.1] * 6, "val_mae": [*[0.2] * 5, 0.4], "auc": [*[0.8] * 5, 0.9], "val_auc": [0.7] * 6}
    logs |= {"lr": [0.1] * 6, "pace": [NAN] * 6, "val_pace": [0.1] * 6}
    symptom = shown("overfit", example(logs={"loss": FALLING, "val_loss": RISING, **logs}))
    assert symptom.message.endswith("fell from 0.5 to 0.15; mae differs by 0.3 by now.")
    gaps = {name: value for name, value in symptom.evidence.items() if name.startswith("gap_")}
    assert gaps == pytest.approx({"gap_mae": 0.3, "gap_auc": 0.2})


def test_epochs_are_counted_from_one_and_as_keras_does():
    symptom = shown("overfit", by_epoch(range(10, 16), loss=FALLING, val_loss=RISING))
    assert "lowest in epoch 12 " in symptom.message
    assert symptom.evidence["onset_epoch"] == 12 and symptom.first_step == 119


@pytest.mark.parametrize("rise, found", [(0.09, False), (0.099, False), (0.101, True), (0.3, True)])
def test_a_rise_of_a_tenth_is_told_after_a_few_epochs(rise, found):
    assert bool(seen("overfit", run(straight(0.5, 0.5 * (1 + rise), 6)))) == found


@pytest.mark.parametrize(
    "rise, epochs, found", [(0.049, 10, False), (0.051, 10, True), (0.051, 9, False), (0.051, 20, True)]
)
def test_half_of_that_is_told_where_it_rose_steadily_for_ten_epochs(rise, epochs, found):
    assert bool(seen("overfit", run(straight(0.5, 0.5 * (1 + rise), epochs)))) == found


@pytest.mark.parametrize(
    "unseen, training, found",
    [
        (0.874, [0.7, 0.8, 0.9], True),
        (0.876, [0.7, 0.8, 0.9], False),
        (0.874, [0.7, 0.8, 0.8], False),
        (0.874, [0.7, 0.9, 0.8], False),
        (NAN, [0.7, 0.8, 0.9], False),
    ],
)
@pytest.mark.parametrize("name", ["accuracy", "my_acc"])
def test_half_of_that_is_told_where_a_quarter_more_errors_confirm_it(name, unseen, training, found):
    """Nine of ten right at the lowest loss: one eighth wrong is a quarter more."""
    since = 5
    logs = {
        name: [*training[:2], *[training[2]] * since],
        f"val_{name}": [0.85, 0.9, *[unseen] * since],
    }
    assert bool(seen("overfit", run(straight(0.5, 0.5 * 1.07, since), **logs))) == found


def test_epochs_before_the_lowest_loss_confirm_nothing():
    logs = {"accuracy": [0.99, 0.8, *[0.9] * 5], "val_accuracy": [0.1, 0.9, *[0.876] * 5]}
    assert seen("overfit", run(straight(0.5, 0.5 * 1.07, 5), **logs)) is None


def test_a_metric_that_is_no_accuracy_confirms_nothing():
    logs = {"mae": [0.7, 0.8, *[0.9] * 5], "val_mae": [0.85, 0.9, *[0.5] * 5], "val_acc": [0.85, 0.9, *[0.5] * 5]}
    assert seen("overfit", run(straight(0.5, 0.5 * 1.07, 5), **logs)) is None


def test_any_of_several_accuracies_confirms():
    since = 5
    unmoved = {"accuracy": [0.9] * 7, "val_accuracy": [0.8] * 7}
    fewer = {"top_acc": [0.7, 0.8, *[0.9] * since], "val_top_acc": [0.85, 0.9, *[0.8] * since]}
    assert shown("overfit", run(straight(0.5, 0.5 * 1.07, since), **unmoved, **fewer))


@pytest.mark.parametrize("end, found", [(0.40, True), (0.41, True), (0.42, True), (0.43, False), (0.5, False)])
def test_the_training_loss_is_a_sixth_below_the_validation_loss(end, found):
    """The validation loss ends at 0.51, five sixths of which are 0.425."""
    training = [0.6, 0.55, end, end, end, end]
    validation = [0.42, 0.41, 0.435, 0.46, 0.485, 0.535]
    assert bool(seen("overfit", example(logs={"loss": training, "val_loss": validation}))) == found


@pytest.mark.parametrize("at_onset, found", [(0.16, True), (0.15, False), (0.14, False)])
def test_the_training_loss_has_fallen_since_the_onset(at_onset, found):
    training = [0.6, at_onset, 0.15, 0.15, 0.15, 0.15]
    assert bool(seen("overfit", example(logs={"loss": training, "val_loss": RISING}))) == found


@pytest.mark.parametrize("level, found", [(0.9, True), (0.999, True), (1.001, False), (1.5, False)])
def test_the_training_loss_is_below_that_of_the_best_constant(level, found):
    logs = {"loss": [level + 0.5, level + 0.4, level + 0.2, level], "val_loss": [2.0, 1.9, 2.2, 2.5]}
    logs = {name: [*values, *[values[-1]] * 2] for name, values in logs.items()}
    assert bool(seen("overfit", example(logs=logs, facts=SQUARED, series=targets()))) == found


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_where_the_constant_is_not_known_no_loss_is_too_small(scale):
    logs = {"loss": [value * scale for value in FALLING], "val_loss": [value * scale for value in RISING]}
    assert shown("overfit", example(logs=logs))


def test_the_penalty_is_no_part_of_what_was_learned():
    logs = {"loss": [2.0, 1.9, 1.8, 1.8, 1.8, 1.8], "val_loss": [2.5, 2.4, 2.6, 2.8, 3.0, 3.2]}
    assert seen("overfit", example(logs=logs, facts=SQUARED, series=targets())) is None
    assert shown("overfit", example(logs=logs, facts={**SQUARED, **REGULARIZED}, series=targets()))
    half = {("", "loss", "value"): [2.0], ("", "loss", "penalty"): [1.0]}
    assert shown("overfit", example(logs=logs, facts={**SQUARED, **REGULARIZED}, series={**targets(), **half}))


@pytest.mark.parametrize("end, found", [(0.049, False), (0.051, True)])
def test_a_loss_below_a_twentieth_of_the_constants_does_no_harm(end, found):
    validation = straight(0.04, end, 6)
    logs = {"loss": [0.06, 0.05, *[0.001] * 6], "val_loss": validation}
    assert bool(seen("overfit", example(logs=logs, facts=SQUARED, series=targets()))) == found


@pytest.mark.parametrize("fall, found", [(0.02, True), (0.028, True), (0.029, False), (0.05, False)])
def test_a_rise_is_more_than_three_and_a_half_times_what_it_falls_by_in_between(fall, found):
    """It rises by 0.1: what it fell by in between may be 0.0286."""
    validation = [0.52, 0.5, 0.54, 0.58, 0.58 - fall, 0.6, 0.6]
    assert bool(seen("overfit", run(validation))) == found


@pytest.mark.parametrize("jump, found", [(0.04, True), (0.066, True), (0.068, False), (0.1, False)])
def test_a_rise_is_more_than_one_and_a_half_times_its_jumps(jump, found):
    """It rises by 0.1 and never falls; every second epoch it stands still, so that its changes differ by `jump`."""
    rises = [0.5]
    for index in range(8):
        rises.append(rises[-1] + (jump if index % 2 else 0.0))
    end = 0.6
    validation = [0.5 + jump, 0.5, *(value for value in rises[1:] if value < end - 1e-9), end, end]
    assert len(validation) < 11
    assert bool(seen("overfit", run(validation))) == found


@pytest.mark.parametrize(
    "ranks, found",
    [
        pytest.param([0, 5, 1, 2, 3, 4, 6, 7, 8], True, id="2.36"),
        pytest.param([0, 5, 1, 2, 3, 4, 7, 6, 8], False, id="2.31"),
        pytest.param([0, 1, 2, 3, 4, 5, 8, 6, 7, 9], True, id="2.89"),
        pytest.param([0, 1, 2, 8, 3, 4, 5, 6, 7, 9], True, id="2.45"),
        pytest.param([0, 2, 1, 9, 3, 4, 5, 6, 7, 8], False, id="2.20"),
        pytest.param([0, 4, 1, 2, 3, 5], False, id="1.28"),
    ],
)
def test_a_loss_that_drifts_upwards_for_less_than_ten_epochs_is_told_where_chance_would_hardly_do_it(ranks, found):
    """The rank correlation times the root of the epochs since the lowest one."""
    assert bool(seen("overfit", run([0.5 + 0.03 * rank for rank in ranks]))) == found


@pytest.mark.parametrize(
    "ranks, found",
    [
        pytest.param([0, 6, 2, 3, 8, 4, 10, 5, 11, 1, 7, 9], False, id="0.48"),
        pytest.param([0, 5, 2, 3, 10, 9, 8, 1, 4, 6, 7, 11], True, id="0.50"),
    ],
)
def test_a_drift_is_a_rank_correlation_of_one_half(ranks, found):
    """Over the eleven epochs since the lowest one; it jumps by far more than it rises."""
    assert bool(seen("overfit", run([0.5 + 0.02 * rank for rank in ranks]))) == found


@pytest.mark.parametrize(
    "ranks, found",
    [
        pytest.param([0, 3, 4, 1, 5, 2, 9, 7, 10, 8, 11, 6], False, id="0.78"),
        pytest.param([0, 1, 3, 2, 8, 4, 5, 9, 10, 6, 11, 7], True, id="0.81"),
    ],
)
def test_a_steady_rise_is_a_rank_correlation_of_four_fifths(ranks, found):
    """It rises by 7 %."""
    assert bool(seen("overfit", run([0.5 + 0.004 * rank for rank in ranks]))) == found


def test_a_loss_that_jumps_without_drifting_is_not_told():
    validation = [0.5, *[0.62, 0.52] * 7, 0.6, 0.6]
    assert seen("overfit", run(validation)) is None


def test_the_onset_comes_before_the_end():
    assert seen("overfit", run([0.53, 0.52, 0.51, 0.5, 0.64])) is None
    assert shown("overfit", run([0.53, 0.52, 0.51, 0.5, 0.57, 0.64]))


def test_epochs_without_a_validation_loss_are_left_out():
    """As `validation_freq=2` leaves them."""
    validation = [NAN, 0.52, NAN, 0.50, NAN, 0.53, NAN, 0.56, NAN, 0.59, NAN, 0.62]
    training = [0.6 - 0.05 * index for index in range(12)]
    symptom = shown("overfit", example(logs={"loss": training, "val_loss": validation}))
    assert symptom.evidence["onset_epoch"] == 4 and symptom.first_step == 39
    assert symptom.evidence["final_val_loss"] == pytest.approx(0.605)
    assert "the training loss fell from 0.45 to 0.1" in symptom.message


def test_a_nan_at_the_end_does_not_hide_it():
    symptom = shown("overfit", example(logs={"loss": [*FALLING, 0.1], "val_loss": [*RISING, NAN]}))
    assert symptom.evidence["final_val_loss"] == pytest.approx(0.605)


@pytest.mark.parametrize("epochs, last", [(20, 2), (40, 2), (41, 3), (60, 3), (61, 4)])
def test_the_end_is_the_last_twentieth_of_a_long_run(epochs, last):
    validation = [0.5 + 0.01 * index for index in range(epochs)]
    symptom = shown("overfit", run(validation))
    assert symptom.evidence["final_val_loss"] == pytest.approx(validation[-1] - 0.01 * (last - 1) / 2)


def test_another_symptom_is_not_told_twice():
    """A validation loss far above the training loss from the first epoch on is `train_val_mismatch`."""
    logs = {"loss": FALLING, "val_loss": [value * 4 for value in RISING]}
    assert seen("overfit", example(logs=logs)) is None
    assert shown("train_val_mismatch", example(logs=logs))


def test_a_negative_loss_is_judged_by_what_the_training_loss_fell():
    training = [1.0, 0.0, -0.5, -0.8, -0.9, -1.0]
    logs = {"loss": training, "val_loss": [0.8, 0.1, -0.3, -0.1, 0.2, 0.5]}
    symptom = shown("overfit", example(logs=logs))
    assert symptom.message == (
        "The validation loss is lowest in epoch 3 (-0.3) and has risen by 0.65 since, while the training loss fell "
        "from -0.5 to -0.95."
    )
    assert symptom.evidence["lowest_val_loss"] == pytest.approx(-0.3) and symptom.evidence["onset_epoch"] == 3
    nearly = {"loss": training, "val_loss": [0.8, 0.1, -0.5, -0.45, -0.4, -0.38]}
    assert seen("overfit", example(logs=nearly)) is None
    assert seen("overfit", example(logs=logs, facts={"losses": [{"name": "mean_squared_error"}]})) is None


def test_a_loss_that_may_be_negative_is_not_judged_by_shares():
    assert seen("overfit", example(logs={"loss": FALLING, "val_loss": [-1.0, -2.0, -1.5, -1.2, -1.1, -1.0]})) is None


def test_what_is_needed():
    assert refusal("overfit", example()) == (
        "there is no validation loss: pass `validation_data` or `validation_split` to `fit`"
    )
    assert refusal("overfit", example(logs={"loss": [0.5], "val_loss": [0.5]})) == (
        "1 epochs were run and 3 are needed: raise `epochs`"
    )
    assert seen("overfit", run([0.4, 0.5, 0.6])) is not None
    assert refusal("overfit", example(logs={"loss": [0.5] * 3, "val_loss": [NAN] * 3})) == (
        "the validation loss is NaN or infinite in every epoch"
    )


@pytest.mark.parametrize(
    "validation, found",
    [
        ([0.90, 0.82, 0.83, 0.85, 0.90, 0.95, 0.98], False),
        ([0.92, 0.82, 0.83, 0.85, 0.90, 0.95, 0.98], True),
        ([1.60, 1.10, 1.15, 1.20, 1.30, 1.40, 1.50], False),
    ],
)
def test_validation_data_of_another_kind_is_told_by_a_loss_that_hardly_falls(validation, found):
    """Far above the training loss from the first epoch on, it has to fall by a tenth and below the constant's."""
    logs = {"loss": [0.4, 0.2, 0.12, 0.08, 0.05, 0.03, 0.02], "val_loss": validation}
    record = example(logs=logs, facts=SQUARED, series=targets())
    assert shown("train_val_mismatch", record)
    assert bool(seen("overfit", record)) == found


# ---- without a rise: two classes, of which a constant prediction costs 0.693

HELD_NEVER = {
    "loss": [9.0, 1.0, 0.6, 0.3, 0.1],
    "val_loss": [4.0, 2.0, 1.6, 1.5, 1.45],
    "accuracy": [0.5, 0.7, 0.8, 0.9, 0.96],
    "val_accuracy": [0.5, 0.6, 0.7, 0.74, 0.76],
}
PENALIZED = {("", "loss", "value"): [1.0] * 50, ("", "loss", "penalty"): [0.5] * 50}


def two_classes(series=None, facts=None, **logs):
    losses = {"losses": [{"name": "binary_crossentropy"}]}
    return example(logs={**HELD_NEVER, **logs}, facts={**losses, **(facts or {})}, series=series or two_values(0.5))


def test_what_is_said_without_a_rise():
    symptom = shown("overfit", two_classes())
    assert symptom.message == (
        "The training loss falls to 0.2, 29% of what the best constant prediction costs, and the validation loss was "
        "never below 1.45, 209% of what the best constant prediction costs; accuracy differs by 0.2 by now."
    )
    assert symptom.first_step is None and symptom.severity == "warning"
    assert symptom.evidence == pytest.approx(
        {
            "lowest_val_loss": 1.45,
            "final_val_loss": 1.475,
            "constant_loss": 0.6931,
            "threshold": 0.6931,
            "gap_accuracy": 0.2,
        },
        rel=1e-3,
    )


@pytest.mark.parametrize(
    "logs, found",
    [
        ({"loss": [9.0, 1.0, 0.6, 0.35, 0.34]}, True),
        ({"loss": [9.0, 1.0, 0.6, 0.36, 0.35]}, False),
        ({"loss": [0.2] * 5}, False),
        ({"val_loss": [4.0, 2.0, 0.71, 0.70, 0.70]}, True),
        ({"val_loss": [4.0, 2.0, 0.69, 0.72, 0.71]}, False),
        ({"val_loss": [4.0, 3.0, 2.0, 1.5, 1.3]}, False),
        ({"accuracy": [0.5, 0.7, 0.8, 0.81, 0.811]}, True),
        ({"accuracy": [0.5, 0.7, 0.8, 0.80, 0.798]}, False),
        ({"val_accuracy": [0.5, 0.5, 0.51, 0.5, 0.52]}, False),
        ({"val_loss": [4.0, NAN, 1.6, 1.5, 1.45]}, False),
    ],
)
def test_it_is_told_of_a_network_that_learned_its_rows_and_nothing_else(logs, found):
    assert bool(seen("overfit", two_classes(**logs))) == found


def test_without_a_rise_accuracies_and_the_constants_loss_are_to_be_known():
    assert seen("overfit", example(logs=HELD_NEVER, series=two_values(0.5))) is None
    losses = {name: HELD_NEVER[name] for name in ("loss", "val_loss")}
    facts = {"losses": [{"name": "binary_crossentropy"}]}
    assert seen("overfit", example(logs=losses, facts=facts, series=two_values(0.5))) is None
    assert seen("overfit", two_classes(facts=REGULARIZED)) is None


def test_without_a_rise_penalties_are_left_out():
    loss, lowest = [2 * each for each in HELD_NEVER["loss"]], [each + 0.5 for each in HELD_NEVER["val_loss"]]
    symptom = shown("overfit", two_classes({**two_values(0.5, 50), **PENALIZED}, loss=loss, val_loss=lowest))
    assert symptom.message.startswith("The training loss falls to 0.2, 29% of")
    assert symptom.evidence["lowest_val_loss"] == pytest.approx(1.45)


def test_a_fit_that_goes_on_is_not_judged_without_a_rise():
    assert seen("overfit", two_classes(facts={"fit": {"steps": 5}})) is None
