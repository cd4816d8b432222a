"""Where a validation loss is said to jump."""

import pytest
from symptom_records import NAN, SQUARED, refusal, seen, shown, targets

from kregtools.record import example


def run(validation: list[float], training: list[float] | None = None, known: bool = False):
    logs = {"loss": training or [0.1] * len(validation), "val_loss": validation}
    return example(logs=logs, facts=SQUARED if known else {}, series=targets() if known else {})


def zigzag(size: float, epochs: int = 10, level: float = 1.0) -> list[float]:
    """Jumps from side to side, as noise of a std of 1.21 times their size has."""
    return [level + size / 2 * (-1) ** epoch for epoch in range(epochs)]


def test_what_is_said():
    symptom = shown("noisy_validation", run(zigzag(0.2), zigzag(0.02)))
    assert symptom.severity == "info"
    assert symptom.message == (
        "The validation loss jumps by 24% of its value (0.24 of 1) from epoch to epoch, the training loss by 0.024; "
        "below 10% is quiet. What is smaller than that is chance."
    )
    assert symptom.layers == () and symptom.first_step is None
    assert symptom.evidence == pytest.approx(
        {"noise": 0.2421, "noise_share": 0.2421, "training_noise": 0.02421, "threshold": 0.1}, rel=1e-3
    )


@pytest.mark.parametrize("size, found", [(0.16, False), (0.17, True)])
@pytest.mark.parametrize("level", [1.0, 50.0])
def test_a_tenth_of_the_median(size, found, level):
    """A jump in every third epoch is noise of 0.605 times its size."""
    validation = [level * (1.0 + size * (epoch % 3 == 0)) for epoch in range(20)]
    symptom = seen("noisy_validation", run(validation))
    assert bool(symptom) == found
    if symptom:
        assert symptom.evidence["noise_share"] == pytest.approx(0.103, rel=0.01)
        assert symptom.message.startswith("The validation loss jumps by 10% of its value")


@pytest.mark.parametrize("size, found", [(0.099, False), (0.101, True)])
@pytest.mark.parametrize("level", [1.0, 50.0])
def test_turns_of_a_tenth_of_the_median(size, found, level):
    assert bool(seen("noisy_validation", run(zigzag(level * size, level=level)))) == found


@pytest.mark.parametrize("own, found", [(0.29, True), (0.31, False)])
def test_more_than_three_times_what_the_training_loss_shows(own, found):
    assert bool(seen("noisy_validation", run(zigzag(0.4), zigzag(0.4 * own)))) == found


@pytest.mark.parametrize("level, found", [(0.049, False), (0.051, True)])
def test_a_twentieth_of_the_constant_has_converged(level, found):
    assert bool(seen("noisy_validation", run(zigzag(level, level=level), [0.001] * 10, known=True))) == found
    assert shown("noisy_validation", run(zigzag(level, level=level), [0.001] * 10))


@pytest.mark.parametrize("size, found", [(0.041, False), (0.0415, True)])
def test_jumps_of_a_twentieth_of_the_constant_are_little(size, found):
    assert bool(seen("noisy_validation", run(zigzag(size, level=0.1), [0.001] * 10, known=True))) == found
    assert shown("noisy_validation", run(zigzag(size, level=0.1), [0.001] * 10))


def test_only_the_second_half_counts():
    assert seen("noisy_validation", run([*zigzag(0.8, 12), *[1.0] * 12])) is None
    assert shown("noisy_validation", run([*[1.0] * 12, *zigzag(0.8, 12)]))


def test_neither_a_slope_nor_a_spike_counts():
    assert seen("noisy_validation", run([3.0 - 0.2 * epoch for epoch in range(12)])) is None
    assert seen("noisy_validation", run([1.0] * 8 + [9.0] + [1.0] * 5)) is None


def test_jumps_of_the_first_half_do_not_count():
    """Of twenty epochs; two thirds of them would be noisy."""
    assert seen("noisy_validation", run([1.0] * 5 + zigzag(0.8, 8) + [0.6] * 7)) is None


@pytest.mark.parametrize("count, found", [(3, False), (4, True)])
def test_three_of_ten_epochs_turn(count, found):
    """Of the last thirteen epochs, eleven of which can turn; every second change is large."""
    validation, way = [20.0] * 11, 1
    for epoch in range(13):
        if epoch in range(4, 4 + 2 * count, 2):
            way = -way
        validation.append(validation[-1] + way * (0.1 if epoch % 2 else 9.0))
    assert bool(seen("noisy_validation", run(validation))) == found


def test_epochs_without_a_validation_loss_are_left_out():
    validation = [value for pair in zip([NAN] * 10, zigzag(0.2), strict=True) for value in pair]
    training = [0.1, 0.5] * 10
    assert shown("noisy_validation", run(validation, training)).evidence["training_noise"] == 0.0


def test_losses_that_cannot_be_judged():
    assert seen("noisy_validation", run(zigzag(0.2), [0.1] * 9 + [NAN])) is None
    assert shown("noisy_validation", run(zigzag(0.2), [NAN] + [0.1] * 9))
    assert seen("noisy_validation", run([-value for value in zigzag(0.2)])) is None
    assert seen("noisy_validation", run(zigzag(0.2, level=0.0))) is None


def test_what_is_needed():
    assert "pass `validation_data`" in refusal("noisy_validation", example(logs={"loss": [0.1] * 9}))
    assert refusal("noisy_validation", run(zigzag(0.4, 4))) == "4 epochs were run and 5 are needed: raise `epochs`"
    assert refusal("noisy_validation", run([NAN, *zigzag(0.4, 4), NAN])) == (
        "4 epochs have a validation loss and 5 are needed"
    )
    assert shown("noisy_validation", run(zigzag(0.4, 5)))
