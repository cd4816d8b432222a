"""Where what was learned does not hold for other data."""

import pytest
from symptom_records import NAN, REGULARIZED, SQUARED, refusal, seen, shown, targets, two_values

from kregtools.record import example

NORMALIZATION = {"name": "norm", "class": "BatchNormalization", "momentum": 0.99}


def run(training: list[float], validation: list[float], facts=None, series=None, **logs):
    logs = {"loss": training, "val_loss": validation, **logs}
    return example(logs=logs, facts={**SQUARED, **(facts or {})}, series={**targets(), **(series or {})})


def test_what_is_said():
    symptom = shown("no_generalization", run([1.0, 0.7, 0.5, 0.3], [1.2, 1.1, 1.3, 1.6]))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The training loss falls to 0.4, and the validation loss is at best 1.1, 110% of what the best constant "
        "prediction costs (1); below 95% something would hold for other data, too."
    )
    assert symptom.layers == () and symptom.first_step is None
    assert symptom.evidence == pytest.approx(
        {"loss": 0.4, "best_val_loss": 1.1, "constant_loss": 1.0, "ratio": 1.1, "threshold": 0.95}
    )


@pytest.mark.parametrize("best, found", [(0.94, False), (0.96, True)])
def test_ninety_five_percent_of_the_constant(best, found):
    assert bool(seen("no_generalization", run([1.0, 0.7, 0.5, 0.3], [1.2, best, NAN, 1.6]))) == found


@pytest.mark.parametrize("end, found", [(0.69, True), (0.71, False)])
def test_seven_tenths_of_the_constant_in_training(end, found):
    assert bool(seen("no_generalization", run([2.0, end, end], [1.2] * 3))) == found


@pytest.mark.parametrize("start, found", [(0.51, True), (0.49, False)])
def test_a_fifth_below_its_start(start, found):
    """It ends at 0.4."""
    assert bool(seen("no_generalization", run([start, 0.4, 0.4], [1.2] * 3))) == found


def test_it_does_not_depend_on_the_scale():
    scaled = [900.0, 500.0, 300.0, 300.0]
    symptom = shown("no_generalization", run(scaled, [1100.0] * 4, series=targets(mean=0.0, std=1000.0**0.5)))
    assert symptom.evidence["ratio"] == pytest.approx(1.1)
    assert ", 110% of what the best constant prediction costs (1e+03);" in symptom.message


@pytest.mark.parametrize("best, found", [(0.59, True), (0.61, False)])
def test_an_accuracy_that_beats_the_majority_holds_for_other_data(best, found):
    facts = {"losses": [{"name": "binary_crossentropy"}]}
    record = run([0.6, 0.3, 0.1], [1.2] * 3, facts, two_values(0.5), val_accuracy=[0.5, best, 0.5])
    assert bool(seen("no_generalization", record)) == found
    training = run([0.6, 0.3, 0.1], [1.2] * 3, facts, two_values(0.5), accuracy=[0.5, best, 0.5])
    assert shown("no_generalization", training)


def test_penalties_are_left_out():
    half = {("", "loss", "value"): [2.0], ("", "loss", "penalty"): [1.0]}
    training, validation = [2.0, 1.2, 1.0, 0.8], [2.1] * 4
    symptom = shown("no_generalization", run(training, validation, REGULARIZED, half))
    assert symptom.evidence == pytest.approx(
        {"loss": 0.45, "best_val_loss": 1.1, "constant_loss": 1.0, "ratio": 1.1, "threshold": 0.95}
    )
    assert "penalties of unknown size" in refusal(
        "no_generalization", run([1.0, 0.7, 0.5, 0.3], [1.2] * 4, REGULARIZED)
    )
    assert seen("no_generalization", run([1.0] * 4, [1.2] * 4, REGULARIZED)) is None


def test_a_training_loss_that_became_nan_did_not_fall():
    assert seen("no_generalization", run([1.0, 0.3, NAN], [1.2] * 3)) is None


@pytest.mark.parametrize("epochs, found", [(51, False), (52, True)])
def test_averages_of_a_normalization_have_settled_in_two_epochs(epochs, found):
    """Epochs of ten steps each."""
    record = run([0.9 * 0.9**epoch for epoch in range(epochs)], [1.2] * epochs, {"layers": [NORMALIZATION]})
    if found:
        assert shown("no_generalization", record)
    else:
        assert refusal("no_generalization", record) == (
            "the moving averages of a batch normalization, by which validation data are judged, take 500 steps to "
            "settle: train longer, or add `RecalibrateBatchNorm`"
        )


def test_a_loss_below_its_bound_is_another_symptom():
    facts = {"losses": [{"name": "binary_crossentropy"}], "model": {"class": "Sequential"}}
    logs = {"loss": [0.5, -3.0, -40.0], "val_loss": [1e3, 1e4, 1e5]}
    assert seen("no_generalization", example(logs=logs, facts=facts)) is None
    assert shown("negative_loss", example(logs=logs, facts=facts))
    own = example(logs=logs, facts={**facts, "own_loss": True})
    assert "whether it may be is not known" in refusal("negative_loss", own)


def test_what_is_needed():
    assert refusal("no_generalization", run([1.0] * 3, [NAN] * 3)) == (
        "the validation loss is NaN or infinite in every epoch"
    )
    assert refusal("no_generalization", run([1.0] * 2, [1.2] * 2)) == (
        "2 epochs were run and 3 are needed: raise `epochs`"
    )
    assert "best constant prediction is not known" in refusal(
        "no_generalization", example(logs={"loss": [1.0] * 3, "val_loss": [1.0] * 3})
    )
