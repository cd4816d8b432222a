"""Where a loss is said to fall too slowly."""

import pytest
from symptom_records import NAN, REGULARIZED, SQUARED, refusal, seen, shown, targets

from kregtools.record import example


def run(losses: list[float], facts=None, series=None, **logs):
    logs = {"loss": losses, **logs}
    return example(logs=logs, facts={**SQUARED, **(facts or {})}, series={**targets(), **(series or {})})


def line(start: float, pace: float, epochs: int = 6) -> list[float]:
    return [start - pace * epoch for epoch in range(epochs)]


def test_what_is_said():
    symptom = shown("slow_convergence", run(line(1.0, 0.02)))
    assert symptom.severity == "info"
    assert symptom.message == (
        "The training loss falls by 0.02 an epoch and ends at 0.9, 90% of what the best constant prediction costs; at "
        "that pace it takes 25 more epochs to 40%, where no more than 6 would be sound."
    )
    assert symptom.layers == () and symptom.first_step is None
    assert symptom.evidence == pytest.approx(
        {"loss": 0.9, "constant_loss": 1.0, "pace": 0.02, "epochs_to_go": 25.0, "threshold": 0.4}
    )


@pytest.mark.parametrize("pace, epochs", [(0.013, "42"), (0.00013, "4,611")])
def test_part_of_an_epoch_is_one(pace, epochs):
    assert f"it takes {epochs} more epochs" in shown("slow_convergence", run(line(1.0, pace))).message


@pytest.mark.parametrize("start, severity", [(1.0, "warning"), (0.98, "info")])
@pytest.mark.parametrize("scale", [1.0, 900.0])
def test_a_loss_above_nine_tenths_of_the_constants_is_a_warning(start, severity, scale):
    """It ends at 0.91 or 0.89."""
    losses = [value * scale for value in line(start, 0.018)]
    assert shown("slow_convergence", run(losses, series=targets(mean=1.0, std=scale**0.5))).severity == severity


@pytest.mark.parametrize("validation, which, end", [(0.05, "validation", 0.85), (-0.05, "training", 0.9)])
def test_the_lower_of_the_two_losses_is_told(validation, which, end):
    losses = line(1.0, 0.02)
    symptom = shown("slow_convergence", run(losses, val_loss=[value - validation for value in losses]))
    assert symptom.message.startswith(f"The {which} loss falls by 0.02 an epoch and ends at {end:.3g},")


@pytest.mark.parametrize("above, which", [((0.001,) * 6, "training"), ((0.001,) * 5 + (-0.001,), "validation")])
def test_the_lower_loss_is_the_one_that_ends_lower(above, which):
    losses = line(1.0, 0.02)
    validation = [value + more for value, more in zip(losses, above, strict=True)]
    assert shown("slow_convergence", run(losses, val_loss=validation)).message.startswith(f"The {which} loss")


def test_a_validation_loss_with_gaps_is_not_the_curve():
    losses = line(1.0, 0.02)
    validation = [NAN, *(value - 0.05 for value in losses[1:])]
    assert "The training loss" in shown("slow_convergence", run(losses, val_loss=validation)).message
    assert seen("slow_convergence", run(losses, val_loss=[NAN, 0.39, *[0.9] * 4])) is None


@pytest.mark.parametrize("pace, found", [(0.059, True), (0.061, False)])
def test_as_many_epochs_again_would_not_bring_it_to_two_fifths(pace, found):
    """From 1 in five epochs, and in five more."""
    assert bool(seen("slow_convergence", run(line(1.0, pace)))) == found


@pytest.mark.parametrize("end, found", [(0.41, True), (0.39, False)])
def test_below_two_fifths_it_has_converged(end, found):
    losses = [end + 0.001 * epoch for epoch in range(5, -1, -1)]
    assert bool(seen("slow_convergence", run(losses))) == found


def test_a_loss_that_bends_is_not_slow():
    assert seen("slow_convergence", run([1.0, 0.95, 0.93, 0.92, 0.915, 0.914])) is None
    assert seen("slow_convergence", run([1.0, 1.0, 1.0, 1.0, 1.0, 0.95])) is None


@pytest.mark.parametrize(
    "losses, found",
    [
        ([9.0, 8.0, 7.0, 6.0, 5.0, 4.51], False),
        ([9.0, 8.0, 7.0, 6.0, 5.0, 4.49], True),
        ([9.0, 8.0, 7.0, 7.5, 5.0, 4.4], True),
        ([9.0, 9.0, 7.0, 7.5, 5.0, 4.4], False),
    ],
)
def test_above_the_constant_a_tenth_in_the_last_fifth_is_slow(losses, found):
    """It falls in four of five epochs; the last fifth is one of them."""
    symptom = seen("slow_convergence", run(losses))
    assert bool(symptom) == found
    if symptom:
        assert symptom.severity == "warning"


@pytest.mark.parametrize("epochs, found", [(7, True), (12, False)])
def test_above_the_constant_the_last_fifth_may_be_several_epochs(epochs, found):
    """By 7 % in one epoch, or 4 % in two: six epochs have a last fifth of two."""
    losses = (
        [9.0 * 0.94**epoch for epoch in range(epochs)]
        if epochs == 7
        else [9.0 * 0.97**epoch for epoch in range(epochs)]
    )
    assert bool(seen("slow_convergence", run(losses))) == found


def test_it_does_not_depend_on_the_scale():
    losses = [value * 900.0 for value in line(1.0, 0.02)]
    symptom = shown("slow_convergence", run(losses, series=targets(mean=1.0, std=30.0)))
    assert symptom.evidence["epochs_to_go"] == 25 and symptom.evidence["pace"] == pytest.approx(18.0)
    assert " ends at 810, 90% of what the best constant prediction costs;" in symptom.message


def test_penalties_are_left_out():
    half = {("", "loss", "value"): [1.0], ("", "loss", "penalty"): [0.5]}
    doubled = [2 * value for value in line(1.0, 0.02)]
    assert shown("slow_convergence", run(doubled, REGULARIZED, half)).evidence["loss"] == pytest.approx(0.9)
    assert "penalties of unknown size" in refusal("slow_convergence", run(line(1.0, 0.02), REGULARIZED))
    assert seen("slow_convergence", run([0.3] * 6, REGULARIZED)) is None


def test_a_run_that_became_nan_is_another_symptom():
    assert seen("slow_convergence", run([1.0, NAN, *line(0.96, 0.02, 4)])) is None


def test_what_is_needed():
    assert refusal("slow_convergence", run(line(1.0, 0.02, 4))) == "4 epochs were run and 5 are needed: raise `epochs`"
    assert shown("slow_convergence", run(line(1.0, 0.02, 5)))
    assert "best constant prediction is not known" in refusal(
        "slow_convergence", example(logs={"loss": line(1.0, 0.02)})
    )
