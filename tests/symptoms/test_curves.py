"""What is read off a learning curve."""

import numpy as np
import pytest
from symptom_records import NAN, REGULARIZED, by_epoch

from kregtools.record import Record, example
from kregtools.symptoms import CannotCheckError
from kregtools.symptoms.curves import (
    jumps,
    lowest,
    noise,
    paces,
    penalty_unseen,
    require_seen_penalty,
    steadily_falling,
    tail,
    trend,
    turns,
    validation_data_loss,
    will_reach,
)


def test_penalties_are_unseen_where_a_layer_has_them_and_no_step_was_sampled():
    sampled = {("", "loss", "value"): [1.0], ("", "loss", "penalty"): [0.1]}
    assert penalty_unseen(example(facts=REGULARIZED))
    assert not penalty_unseen(example(facts=REGULARIZED, series=sampled))
    assert not penalty_unseen(example(facts={"layers": [{"name": "dense", "regularized": False}]}))
    assert not penalty_unseen(example())
    require_seen_penalty(example(facts=REGULARIZED, series=sampled))
    with pytest.raises(CannotCheckError) as refused:
        require_seen_penalty(example(facts=REGULARIZED))
    assert str(refused.value) == (
        "the loss includes penalties of unknown size: use HealthMonitor, which takes them off"
    )


def penalized(penalties: dict[int, float], losses: list[float]) -> Record:
    record = by_epoch(range(len(losses)), val_loss=losses)
    for step, penalty in penalties.items():
        record.add_sample(step, step // 10, {("", "loss", "penalty"): penalty})
    return record


def test_the_validation_loss_is_without_the_penalties_of_the_epochs_end():
    """Of steps 0 and 19; at step 9, in between, about their geometric mean."""
    left = validation_data_loss(penalized({0: 0.1, 18: 0.4, 19: 0.4}, [1.0, 1.0, 1.0]))
    assert left == pytest.approx([1 - 0.2, 1 - 0.4, 1 - 0.4])


def test_a_penalty_that_is_more_than_half_of_the_loss_leaves_nothing_to_tell():
    losses = validation_data_loss(penalized({0: 0.4}, [0.81, 0.79, NAN]))
    assert losses == pytest.approx([0.41, NAN, NAN], nan_ok=True)


@pytest.mark.parametrize("penalties", [{}, {0: 0.0}, {0: NAN, 5: 0.0}])
def test_a_validation_loss_without_penalties_is_itself(penalties):
    assert list(validation_data_loss(penalized(penalties, [0.9, 0.7]))) == [0.9, 0.7]


def test_steps_whose_penalty_is_not_known_are_left_out():
    assert validation_data_loss(penalized({0: 0.2, 5: NAN, 7: 0.0}, [1.0])) == pytest.approx([0.8])


def test_the_lowest_of_several_curves():
    assert lowest(np.array([3.0, NAN]), np.array([2.0, np.inf, 4.0])) == 2.0
    assert np.isnan(lowest(np.array([NAN]), np.array([])))


@pytest.mark.parametrize(
    "epochs, mean", [(1, 0.0), (2, 0.5), (10, 8.5), (40, 38.5), (41, 39.0), (60, 58.0), (61, 58.5)]
)
def test_the_end_of_a_curve_is_two_epochs_or_a_twentieth_of_a_long_one(epochs, mean):
    assert tail(np.arange(epochs, dtype=float)) == mean


def test_neither_a_slope_nor_a_spike_is_noise():
    slope = np.linspace(1.0, 0.0, 20)
    spike = slope.copy()
    spike[7] += 5.0
    assert noise(slope) == pytest.approx(0.0, abs=1e-12) and noise(spike) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("std", [0.01, 3.0])
def test_the_noise_of_a_curve_is_the_std_of_its_jumps(std):
    values = np.linspace(9.0, 0.0, 20_000) + np.random.default_rng(0).normal(0.0, std, 20_000)
    assert noise(values) == pytest.approx(std, rel=0.03)


def test_the_jumps_of_a_curve_are_the_changes_of_its_changes():
    assert jumps(np.array([0.0, 1.0, 0.0, 1.0])) == 2.0
    assert jumps(np.array([0.0, 1.0, NAN, 3.0, 5.0])) == pytest.approx(0.5)
    assert jumps(np.array([4.0, 1.0])) == 0.0


@pytest.mark.parametrize(
    "losses, least, count",
    [
        ([3.0, 2.0, 1.0], 0.1, 0),
        ([3.0, 1.0, 2.0], 0.1, 1),
        ([3.0, 1.0, 2.0, 1.0], 0.1, 2),
        ([3.0, 1.0, 1.05, 0.5], 0.1, 0),
        ([3.0, 1.0, 1.05, 0.5], 0.01, 2),
        ([3.0, 1.0, NAN, 2.0], 0.1, 1),
        ([3.0, 1.0, 1.0, 2.0], 0.0, 1),
        ([3.0, 1.0, 2.0], 1.0, 0),
        ([], 0.1, 0),
    ],
)
def test_a_turn_is_a_change_of_direction_that_is_large_enough(losses, least, count):
    assert turns(np.array(losses), least) == count


def test_the_trend_of_a_curve_is_its_rank_correlation_with_time():
    assert trend(np.array([1.0, 2.0, 2.1, 9.0])) == pytest.approx(1.0)
    assert trend(np.array([9.0, 2.1, 2.0, 1.0])) == pytest.approx(-1.0)
    assert trend(np.array([1.0, 3.0, 2.0])) == pytest.approx(0.5)
    assert trend(np.array([2.0, 1.0])) == pytest.approx(-1.0)
    assert trend(np.array([5.0])) == 0.0


def test_equal_losses_are_neither_a_rise_nor_a_fall():
    assert trend(np.array([1.0, 1.0, 1.0])) == 0.0
    assert abs(trend(np.array([1.0, 2.0] * 20))) < 0.1
    assert trend(np.array([1.0, 1.0, 2.0, 2.0])) == pytest.approx(2 / 5**0.5)
    assert trend(np.array([2.0, 2.0, 1.0, 1.0])) == pytest.approx(-2 / 5**0.5)
    assert trend(np.array([1.0, 1.0, 2.0, 3.0])) == pytest.approx(0.9**0.5)


@pytest.mark.parametrize(
    "losses, last, average",
    [
        ([5.0, 4.0, 2.0], 2.0, 1.5),
        ([10.0, 9.0, 8.0, 7.0, 6.0, 3.0], 3.0, 1.4),
        ([10.0, 9.0, 8.0, 7.0, 6.0, 5.0, 2.0], 2.0, 8 / 6),
        ([1.0, 2.0], -1.0, -1.0),
    ],
)
def test_the_paces_of_the_last_fifth_and_of_all(losses, last, average):
    assert paces(np.array(losses)) == pytest.approx((last, average))


@pytest.mark.parametrize("level, reached", [(1.1, True), (0.9, False)])
def test_a_loss_is_expected_to_keep_its_pace_for_as_many_epochs_again(level, reached):
    """At 3 after six epochs, and by 0.4 lower in the last one: 3 - 5 * 0.4 = 1."""
    assert will_reach(np.array([9.0, 8.0, 7.0, 5.0, 3.4, 3.0]), level) is reached


@pytest.mark.parametrize(
    "falls, steady",
    [
        ([1.0] * 4, True),
        ([1.0], False),
        ([1.0, 1.0], True),
        ([1.0, 1.0, 1.0, 1.0, 0.8], True),
        ([1.0, 1.0, 1.0, 1.0, 0.7], False),
        ([1.0] * 8 + [0.79], True),
        ([1.0] * 7 + [0.79, 0.79], True),
        ([1.0] * 7 + [0.4, 0.4], False),
        ([1.0] * 6 + [0.6, 0.6], False),
        ([1.0] * 7 + [0.6, 0.6], True),
        ([1.0] * 8 + [0.6, 0.6], True),
        ([1.0] * 8 + [0.4, 0.4], False),
        ([-1.0] * 5, False),
        ([1.0, -0.5, 1.0, 1.0, 1.0], True),
        ([1.0, -0.5, 1.0, 1.0], False),
        ([1.0, -0.5, -0.5, 1.0, 1.0], False),
        ([9.0, -9.5, 0.1, 0.1, 0.1], False),
        ([1.0, 0.0, 1.0, 0.0, 1.0], False),
    ],
)
def test_a_curve_that_falls_steadily(falls, steady):
    """In four of five epochs, and at the end at 80 % of its average pace, or at half of it in ten epochs or more."""
    assert steadily_falling(20 - np.cumsum([0.0, *falls])) is steady


@pytest.mark.parametrize("losses", [[], [1.0], [2.0, 1.0], [4.0, NAN, 2.0, 1.0]])
def test_what_is_too_short_or_not_finite_does_not_fall_steadily(losses):
    assert steadily_falling(np.array(losses)) is False
