"""Where a loss is said to grow instead of falling."""

import pytest
from symptom_records import NAN, SQUARED, by_epoch, refusal, seen, shown, targets

from kregtools.record import example


def run(losses: list[float], value: float | None = None, penalty: float = NAN, known: bool = True):
    series = targets() if known else {}
    if value is not None:
        series |= {("", "loss", "value"): [value], ("", "loss", "penalty"): [penalty]}
    return example(logs={"loss": losses}, facts=SQUARED, series=series)


def test_what_is_said_of_a_loss_that_grows():
    symptom = shown("diverging_loss", run([1.5, 1.2, 2.0, 6.0]))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The training loss ends at 6, 4 times what it was at the start (1.5); it should have fallen."
    )
    assert symptom.layers == () and symptom.first_step == 29
    assert symptom.evidence == {"loss": 6.0, "before": 1.5, "times": 4.0, "threshold": 2.0}


def test_what_is_said_of_a_loss_that_had_fallen():
    symptom = shown("diverging_loss", run([1.0, 0.5, 0.125, 0.5, 1.0, 1.0]))
    assert symptom.message == (
        "The training loss ends at 1, 8 times the lowest it had reached (0.125); it should have fallen."
    )
    assert symptom.first_step == 39
    assert symptom.evidence == {"loss": 1.0, "before": 0.125, "times": 8.0, "threshold": 2.0}


def test_what_is_said_of_a_loss_that_became_nan():
    symptom = shown("diverging_loss", by_epoch(range(4, 9), loss=[NAN, 0.7, 0.5, NAN, 0.4]))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The training loss was 0.5 in epoch 7 and is NaN or infinite in epoch 8; it should be finite throughout."
    )
    assert symptom.layers == () and symptom.first_step == 79
    assert symptom.evidence == {"before": 0.5, "epoch": 8.0}


@pytest.mark.parametrize(
    "losses, found", [([1.5, 2.9], False), ([1.5, 3.1], True), ([0.5, 1.9], False), ([0.5, 2.1], True)]
)
def test_twice_the_start_and_twice_the_constant(losses, found):
    assert bool(seen("diverging_loss", run(losses))) == found


@pytest.mark.parametrize("end, found", [(14.9, False), (15.1, True)])
@pytest.mark.parametrize("scale", [1.0, 1e-3])
def test_ten_times_the_start_where_the_constant_is_not_known(end, found, scale):
    assert bool(seen("diverging_loss", run([1.5 * scale, end * scale], known=False))) == found


@pytest.mark.parametrize(
    "value, penalty, found", [(1.5, NAN, True), (1.7, NAN, False), (2.5, 1.0, True), (2.5, 0.5, False)]
)
def test_the_first_sampled_step_is_the_start_where_it_is_lower(value, penalty, found):
    """The mean of the first epoch is 4, and so is the last; penalties belong to neither."""
    record = run([4.0, 3.5, 3.2], value, penalty)
    if penalty == penalty:
        record = run([loss / (1 - penalty / value) for loss in (4.0, 3.5, 3.2)], value, penalty)
    symptom = seen("diverging_loss", record)
    assert bool(symptom) == found
    if symptom:
        assert symptom.evidence["before"] == 1.5 and symptom.first_step == 9


def test_later_steps_are_no_start():
    series = {**targets(2), ("", "loss", "value"): [3.0, 0.1], ("", "loss", "penalty"): [0.0, 0.0]}
    assert seen("diverging_loss", example(logs={"loss": [4.0, 3.5]}, facts=SQUARED, series=series)) is None


@pytest.mark.parametrize("value", [5.0, NAN])
def test_the_first_epoch_is_the_start_where_that_is_lower_or_all_there_is(value):
    assert shown("diverging_loss", run([1.5, 6.0], value)).evidence["before"] == 1.5


@pytest.mark.parametrize("start", [0.0, -1.0])
def test_a_start_that_is_not_positive_is_no_yardstick(start):
    assert seen("diverging_loss", run([start, 90.0])) is None


@pytest.mark.parametrize(
    "losses, found",
    [
        ([1.0, 0.19, 0.96, 0.96], True),
        ([1.0, 0.21, 1.0, 1.0], False),
        ([1.0, 0.19, 0.94, 0.96], False),
        ([1.0, 0.19, 0.96, 0.94], False),
        ([1.0, 0.19, 1.0], False),
        ([1.0, -0.1, 1.0, 1.0], False),
    ],
)
def test_a_fifth_of_it_is_what_a_collapse_had_reached(losses, found):
    assert bool(seen("diverging_loss", run(losses))) == found


def test_a_collapse_is_measured_by_the_constant():
    losses = [100.0, 10.0, 96.0, 96.0]
    series = targets(mean=0.0, std=10.0)
    assert shown("diverging_loss", example(logs={"loss": losses}, facts=SQUARED, series=series))
    small = [value / 1e4 for value in losses]
    series = targets(mean=0.0, std=0.1)
    assert shown("diverging_loss", example(logs={"loss": small}, facts=SQUARED, series=series))


def test_a_collapse_to_the_constant_is_not_told_where_that_is_not_known():
    assert seen("diverging_loss", run([1.0, 0.1, 0.97, 0.97], known=False)) is None


def test_a_loss_that_never_was_finite_did_not_diverge():
    assert seen("diverging_loss", run([NAN, NAN, NAN])) is None
    assert seen("diverging_loss", run([NAN, NAN, 5.0])) is None


def test_what_is_needed():
    assert refusal("diverging_loss", run([1.0])) == "1 epochs were run and 2 are needed: raise `epochs`"
    assert refusal("diverging_loss", example()) == "0 epochs were run and 2 are needed: raise `epochs`"
