import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kregtools.capture import Schedule


def sampled(schedule: Schedule, steps: int, stride: int = 1, epoch: int | None = None) -> list[int]:
    taken = []
    for step in range(0, steps, stride):
        if epoch and step % epoch == 0:
            schedule.begin_epoch(step, epoch)
        last = step + stride - 1
        if schedule.due(last):
            taken.append(last)
            schedule.sampled(last)
    return taken


def test_an_integer_samples_every_so_many_steps():
    assert sampled(Schedule(1), 5) == [0, 1, 2, 3, 4]
    assert sampled(Schedule(3), 10, epoch=5) == [0, 3, 6, 9]


def test_steps_per_execution_jumps_over_steps():
    assert sampled(Schedule(10), 70, stride=7) == [6, 13, 20, 34, 41, 55, 62]


def test_auto_is_dense_at_first_then_every_hundredth():
    assert sampled(Schedule("auto"), 400) == [0, 1, 3, 7, 15, 31, 63, 127, 227, 327]


def test_auto_sees_every_epoch():
    epochs = [step // 40 for step in sampled(Schedule("auto"), 400, epoch=40)]
    assert set(epochs) == set(range(10))


def test_auto_sees_an_epoch_at_no_fixed_place():
    places = [step % 40 for step in sampled(Schedule("auto"), 4000, epoch=40) if step > 1000]
    assert len(set(places)) > 15 and min(places) < 5 and max(places) > 35


def test_auto_sees_every_epoch_although_watching_is_over_its_budget():
    schedule, seen = Schedule("auto"), set()
    for step in range(4000):
        if step % 200 == 0:
            schedule.begin_epoch(step, 200)
        if schedule.due(step, lambda: 0.5):
            schedule.sampled(step)
            seen.add(step // 200)
    assert seen == set(range(20))


def test_reset_starts_again():
    schedule = Schedule(4)
    assert sampled(schedule, 6) == [0, 4]
    schedule.reset()
    assert sampled(schedule, 6) == [0, 4]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "often", None])
def test_anything_else_is_an_error_that_says_what_to_do(wrong):
    with pytest.raises(ValueError, match=r"`sample_every`. Received: sample_every=.* positive integer .* or 'auto'"):
        Schedule(wrong)


# ---- of any schedule, whatever the epochs and the steps of a call

EPOCHS = st.lists(st.integers(1, 130), min_size=1, max_size=12)
STRIDES = st.integers(1, 9)
OFTEN = settings(max_examples=200, deadline=None, derandomize=True)


def calls(epochs: list[int], stride: int) -> list[list[range]]:
    """The steps of every call of the train function, by epoch: the last call of an epoch may have fewer."""
    ends = [sum(epochs[: index + 1]) for index in range(len(epochs))]
    starts = [end - length for end, length in zip(ends, epochs, strict=True)]
    return [
        [range(first, min(first + stride, end)) for first in range(start, end, stride)]
        for start, end in zip(starts, ends, strict=True)
    ]


def followed(
    schedule: Schedule, epochs: list[list[range]], share: float = 0.0, known: bool = True
) -> tuple[list[int], list[int]]:
    """The samples that the schedule takes of a fit, and the detailed ones, by the last step of their calls."""
    taken, detailed = [], []
    for epoch in epochs:
        schedule.begin_epoch(epoch[0][0], epoch[-1][-1] + 1 - epoch[0][0] if known else None)
        for call in epoch:
            if schedule.due(call[-1], lambda: share):
                taken.append(call[-1])
                detailed += [call[-1]] if schedule.detailed(call[-1]) else []
                schedule.sampled(call[-1], schedule.detailed(call[-1]))
                assert not schedule.due(call[-1]), "a step is sampled twice"
    return taken, detailed


@OFTEN
@given(every=st.integers(1, 300), lengths=EPOCHS, stride=STRIDES, share=st.floats(0, 1))
def test_an_integer_samples_the_calls_that_hold_a_multiple_and_no_others(every, lengths, stride, share):
    epochs = calls(lengths, stride)
    holding = [call[-1] for epoch in epochs for call in epoch if any(step % every == 0 for step in call)]
    assert followed(Schedule(every), epochs, share)[0] == holding


@OFTEN
@given(every=st.integers(1, 300), lengths=EPOCHS, stride=STRIDES)
def test_the_detailed_samples_are_the_first_at_or_after_steps_that_grow_apart(every, lengths, stride):
    taken, detailed = followed(Schedule(every), calls(lengths, stride))
    expected, wanted = [], 0
    for step in taken:
        if step >= wanted:
            expected.append(step)
            wanted = step + min(step + 1, 10)
    assert detailed == expected
    assert followed(Schedule(every, details=False), calls(lengths, stride)) == (taken, [])


@OFTEN
@given(lengths=EPOCHS, stride=STRIDES, share=st.sampled_from([0.0, 0.5]), known=st.booleans())
def test_auto_sees_every_epoch_the_first_steps_and_seldom_more(lengths, stride, share, known):
    epochs = calls(lengths, stride)
    taken, detailed = followed(Schedule("auto"), epochs, share, known)
    assert detailed == taken and taken[0] == epochs[0][0][-1]
    for epoch in epochs:
        assert any(call[-1] in taken for call in epoch)
    # Steps 0, 1, 3, 7, 15, … are looked at whatever it costs, or one between the one before and twice that.
    last = epochs[-1][-1][-1]
    early = [step for step in taken if step < 200]
    assert all(after <= 2 * before + stride for before, after in itertools.pairwise(early))
    hundredths = 0 if share else last // 100
    assert len(taken) <= 8 + hundredths + len(epochs)


@OFTEN
@given(every=st.sampled_from(["auto", 1, 7, 100]), first=EPOCHS, second=EPOCHS, stride=STRIDES)
def test_a_second_fit_is_sampled_as_if_there_had_been_no_first(every, first, second, stride):
    schedule = Schedule(every)
    followed(schedule, calls(first, stride))
    schedule.reset()
    assert followed(schedule, calls(second, stride)) == followed(Schedule(every), calls(second, stride))


@pytest.mark.parametrize("budget", [0, -0.1, True, "much", None])
def test_a_budget_that_is_no_share_is_refused(budget):
    with pytest.raises(ValueError) as told:
        Schedule("auto", budget=budget)
    assert str(told.value) == (
        f"Invalid value for argument `budget`. Received: budget={budget!r}. Expected a positive number: the share of "
        "the training time to spend on watching, such as 0.01."
    )
