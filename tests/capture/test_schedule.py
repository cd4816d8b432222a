import pytest

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
