"""Where a training loss is said to go up and down."""

import pytest
from symptom_records import NAN, REGULARIZED, SQUARED, refusal, seen, shown, targets

from kregtools.record import example


def run(losses: list[float], known: bool = True, facts=None, series=None):
    series = {**(targets() if known else {}), **(series or {})}
    return example(logs={"loss": losses}, facts={**SQUARED, **(facts or {})}, series=series)


def zigzag(size: float, epochs: int = 8, level: float = 0.5) -> list[float]:
    return [level + size * (epoch % 2) for epoch in range(epochs)]


def test_what_is_said():
    symptom = shown("oscillating_loss", run([0.9, 0.6, 0.7, 0.5, 0.8, 0.6, 0.9, 0.5]))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "The training loss turns 6 times in 8 epochs, by 0.3 at a time, 30% of its scale; healthy are changes below "
        "5%, or turns in fewer than 30% of the epochs."
    )
    assert symptom.layers == () and symptom.first_step == 29
    assert symptom.evidence == pytest.approx({"turns": 6.0, "swing": 0.3, "swing_share": 0.3, "threshold": 0.05})


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_it_does_not_depend_on_the_scale(scale):
    losses = [value * scale for value in (0.9, 0.6, 0.61, 0.7, 0.5, 0.8, 0.6, 0.9, 0.5)]
    symptom = shown("oscillating_loss", run(losses, series=targets(mean=1.0, std=scale**0.5)))
    assert symptom.evidence["swing"] == pytest.approx(0.3 * scale)
    assert symptom.evidence["swing_share"] == pytest.approx(0.3) and ", 30% of its scale;" in symptom.message
    assert symptom.first_step == 39


@pytest.mark.parametrize("size, found", [(0.049, False), (0.051, True)])
def test_a_twentieth_of_what_the_constant_costs(size, found):
    assert bool(seen("oscillating_loss", run(zigzag(size)))) == found


@pytest.mark.parametrize("size, found", [(0.2, False), (0.3, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_or_of_the_median_loss_where_that_is_more(size, found, sign):
    """A median of 5, or of 5 below zero."""
    losses = [sign * value for value in [5.0, *zigzag(size, level=5.0)]]
    assert bool(seen("oscillating_loss", run(losses))) == found
    assert bool(seen("oscillating_loss", run(losses, known=False))) == found


def test_small_changes_are_no_part_of_the_swing():
    symptom = shown("oscillating_loss", run([0.5, 0.8, 0.81, 0.5, 0.8, 0.5, 0.8, 0.5, 0.51, 0.5]))
    assert symptom.evidence["swing"] == pytest.approx(0.3) and symptom.evidence["turns"] == 5


def test_three_turns_are_needed():
    assert seen("oscillating_loss", run([0.5, 0.8, 0.5, 0.8, 1.1])) is None
    assert shown("oscillating_loss", run([0.8, 0.5, 0.8, 0.5, 0.8]))


def test_three_of_ten_epochs_rise():
    """Of ten changes; the falls in between make turns enough."""
    three = [0.9, 0.8, 0.9, 0.8, 0.7, 0.8, 0.7, 0.6, 0.7, 0.6, 0.5]
    assert shown("oscillating_loss", run(three))
    assert seen("oscillating_loss", run([*three, 0.4])) is None


def test_three_of_ten_epochs_turn():
    """A learning rate that restarts: a third of the epochs rise, and there are few turns."""
    cycle = [0.3, 0.5, 0.7, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    assert seen("oscillating_loss", run(cycle * 4)) is None
    assert shown("oscillating_loss", run([0.3, 0.5, 0.7, 0.5] * 6))


@pytest.mark.parametrize("epochs, found", [(11, True), (12, True), (13, False), (15, False)])
def test_turns_are_counted_by_the_epochs_that_can_turn(epochs, found):
    """Three turns: of ten epochs between the first and the last they are 30 %."""
    rises = epochs - 5
    losses = [0.5, 0.7, 0.5, 0.7, 0.5, *(0.5 - 0.06 * step for step in range(1, rises + 1))]
    turned = [1.0 - value for value in losses]
    assert bool(seen("oscillating_loss", run(turned))) == found


def test_penalties_are_left_out():
    series = {("", "loss", "value"): [1.0], ("", "loss", "penalty"): [0.5]}
    symptom = shown("oscillating_loss", run(zigzag(0.2), facts=REGULARIZED, series=series))
    assert symptom.evidence["swing"] == pytest.approx(0.1)
    assert seen("oscillating_loss", run(zigzag(0.09), facts=REGULARIZED, series=series)) is None


def test_losses_that_cannot_be_judged():
    assert seen("oscillating_loss", run([*zigzag(0.3), NAN])) is None
    assert seen("oscillating_loss", run([0.0] * 8, known=False)) is None
    assert seen("oscillating_loss", run([0.0, 0.0, 0.0, 1.0, 0.0, 1.0, 0.0], known=False)) is None


def test_what_is_needed():
    assert refusal("oscillating_loss", run(zigzag(0.3, 4))) == "4 epochs were run and 5 are needed: raise `epochs`"
    assert shown("oscillating_loss", run(zigzag(0.3, 5)))
