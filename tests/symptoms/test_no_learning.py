"""Where nothing was learned."""

import pytest
from symptom_records import NAN, REGULARIZED, SQUARED, by_epoch, refusal, seen, shown, targets, two_values

from kregtools.record import example


def run(losses: list[float], facts=None, series=None, **logs):
    logs = {"loss": losses, **logs}
    return example(logs=logs, facts={**SQUARED, **(facts or {})}, series={**targets(), **(series or {})})


def test_what_is_said():
    symptom = shown("no_learning", run([1.5, 1.02, 1.05], val_loss=[1.1, 1.04, 1.2]))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The best loss is 1.02, 102% of what the best constant prediction costs (1); below 95% something would have "
        "been learned."
    )
    assert symptom.layers == () and symptom.first_step is None
    assert symptom.evidence == pytest.approx({"loss": 1.02, "constant_loss": 1.0, "ratio": 1.02, "threshold": 0.95})


@pytest.mark.parametrize("best, found", [(0.94, False), (0.96, True)])
def test_ninety_five_percent_of_the_constant(best, found):
    assert bool(seen("no_learning", run([1.0, best, 1.0]))) == found
    assert bool(seen("no_learning", run([1.0, 1.0, 1.0], val_loss=[1.0, best, NAN]))) == found


def test_it_does_not_depend_on_the_scale():
    large = targets(mean=4.0, std=1000.0**0.5)
    symptom = shown("no_learning", run([980.0] * 3, series=large))
    assert symptom.evidence["ratio"] == pytest.approx(0.98)
    assert ", 98% of what the best constant prediction costs (1e+03);" in symptom.message
    assert seen("no_learning", run([940.0] * 3, series=large)) is None
    assert shown("no_learning", run([1000.0, 992.0, 984.0], series=large))
    assert seen("no_learning", run([1000.0, 989.0, 978.0], series=large)) is None


@pytest.mark.parametrize("name", ["accuracy", "val_accuracy"])
@pytest.mark.parametrize("best, found", [(0.59, True), (0.61, False)])
def test_an_accuracy_that_beats_the_majority_was_learned(name, best, found):
    facts = {"losses": [{"name": "binary_crossentropy"}]}
    assert bool(seen("no_learning", run([9.0] * 3, facts, two_values(0.5), **{name: [0.5, best, 0.5]}))) == found


@pytest.mark.parametrize("fall, found", [(0.0195, True), (0.0205, False)])
def test_a_loss_that_falls_steadily_by_a_fiftieth_is_slow_instead(fall, found):
    assert bool(seen("no_learning", run([1.0, 1.0 - fall / 2, 1.0 - fall]))) == found


def test_a_loss_that_fell_and_stands_still_is_not_slow():
    assert shown("no_learning", run([1.5, 1.0, 1.0, 1.0]))


@pytest.mark.parametrize("steps, found", [(9, False), (10, True)])
def test_thirty_steps_are_needed(steps, found):
    record = by_epoch(range(3), steps, loss=[1.0] * 3)
    record.add_facts(SQUARED)
    record.add_sample(0, 0, {("", "target", "mean"): 0.0, ("", "target", "std"): 1.0})
    if found:
        assert shown("no_learning", record)
    else:
        assert refusal("no_learning", record) == (
            "3 epochs of 27 steps in all were run, and 3 epochs and 30 steps are needed: raise `epochs`"
        )


def test_three_epochs_are_needed():
    text = "{} epochs of {} steps in all were run, and 3 epochs and 30 steps are needed: raise `epochs`"
    assert refusal("no_learning", run([1.0, 1.0], val_loss=[1.0, 1.0])) == text.format(2, 20)
    assert refusal("no_learning", run([1.0, NAN, 1.0])) == "the loss is finite in 2 of 3 epochs, and 3 are needed"
    assert refusal("no_learning", example(facts=SQUARED, series=targets())) == text.format(0, 0)
    assert seen("no_learning", run([0.5])) is None


def test_penalties_are_left_out():
    half = {("", "loss", "value"): [2.0], ("", "loss", "penalty"): [1.0]}
    assert shown("no_learning", run([2.0] * 3, REGULARIZED, half)).evidence["loss"] == pytest.approx(1.0)
    assert seen("no_learning", run([1.8] * 3, REGULARIZED, half)) is None
    assert "penalties of unknown size" in refusal("no_learning", run([1.0] * 3, REGULARIZED))
    assert seen("no_learning", run([0.5] * 3, REGULARIZED)) is None


def test_masked_inputs_leave_the_yardstick_unknown():
    assert refusal("no_learning", run([1.0] * 3, {"layers": [{"name": "words", "mask_zero": True}]})) == (
        "inputs are masked, so that the loss of the best constant prediction is not known"
    )
    assert shown("no_learning", run([1.0] * 3, {"layers": [{"name": "words", "mask_zero": False}]}))


def test_what_is_needed():
    assert "best constant prediction is not known" in refusal("no_learning", example(logs={"loss": [1.0] * 3}))


def at_rest(**changes):
    """Of a run with weighted classes, nothing of which moves."""
    coin = {"mean": 0.25, "std": 0.1875**0.5, "min": 0.0, "max": 1.0}
    logs = {"loss": [2.0, 1.99, 1.98], "accuracy": [0.7, 0.74, 0.75], **changes.pop("logs", {})}
    facts = {"losses": [{"name": "binary_crossentropy"}], "weighted": True, **changes}
    return example(logs=logs, facts=facts, series={("", "target", name): [value] * 30 for name, value in coin.items()})


def test_what_is_said_of_a_weighted_loss_that_stays_where_it_was():
    symptom = shown("no_learning", at_rest())
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The loss stays at 2, within 1.0%, and the accuracy is at best 75.0%, where always naming the most frequent "
        "class has 75.0%; something would have been learned if the loss had changed by more than 2%."
    )


@pytest.mark.parametrize(
    "logs",
    [{"loss": [2.0, 1.97, 1.95]}, {"loss": [2.0, NAN, 2.0]}, {"accuracy": [NAN] * 3}],
    ids=["moves", "has a gap", "no accuracy"],
)
def test_other_weighted_losses_are_refused(logs):
    assert "is weighted" in refusal("no_learning", at_rest(logs=logs))


def test_an_accuracy_above_the_most_frequent_class_is_learning():
    assert seen("no_learning", at_rest(logs={"accuracy": [0.7, 0.8, 0.85]})) is None
