"""Where validation data are said to be unlike the training data."""

import pytest
from symptom_records import NAN, by_epoch, refusal, seen, shown

from kregtools.record import example

TRAINED = {"fit": {"steps": 5}}


def test_what_is_said():
    record = by_epoch(range(2, 6), loss=[0.5, 0.4, 0.3, 0.25], val_loss=[1.0, 0.9, 0.8, 0.7])
    symptom = shown("train_val_mismatch", record)
    assert symptom.severity == "warning"
    assert symptom.message == (
        "In the first epoch, when no row had been seen before, the validation loss is 1 and the training loss 0.5, and "
        "it stays at 2 times or more; below 1.5 times is chance. The two sets differ, or the training rows come in an "
        "order (sorted, and `shuffle=False`)."
    )
    assert symptom.layers == () and symptom.first_step == 29
    assert symptom.evidence == {"ratio": 2.0, "first_loss": 0.5, "first_val_loss": 1.0, "threshold": 1.5}


@pytest.mark.parametrize("times, found", [(1.49, False), (1.51, True)])
def test_one_and_a_half_times(times, found):
    assert bool(seen("train_val_mismatch", example(logs={"loss": [0.5] * 3, "val_loss": [0.5 * times] * 3}))) == found


def test_the_other_way_round_nothing_is_said():
    assert seen("train_val_mismatch", example(logs={"loss": [2.0] * 3, "val_loss": [0.5] * 3})) is None


@pytest.mark.parametrize("times", [1.5, 1.6])
def test_a_network_trained_before_may_know_the_rows(times):
    logs = {"loss": [0.5] * 3, "val_loss": [0.5 * times] * 3}
    assert refusal("train_val_mismatch", example(logs=logs, facts=TRAINED)) == (
        "the network had been trained before this fit, perhaps on the same rows"
    )


@pytest.mark.parametrize("validation", [[1.0, 1.0, 0.7], [0.4, 1.0, 1.0], [1.0, NAN, 1.0]])
def test_a_network_trained_before_whose_losses_are_close_is_fine(validation):
    assert seen("train_val_mismatch", example(logs={"loss": [0.5] * 3, "val_loss": validation}, facts=TRAINED)) is None


def test_what_is_needed():
    assert "pass `validation_data`" in refusal("train_val_mismatch", example(logs={"loss": [0.5] * 3}))
    assert refusal("train_val_mismatch", example(logs={"loss": [0.5] * 2, "val_loss": [1.0] * 2})) == (
        "2 epochs were run and 3 are needed: raise `epochs`"
    )
