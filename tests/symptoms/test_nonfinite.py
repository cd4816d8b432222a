"""Where a number is NaN or infinite."""

import pytest
from symptom_records import NAN, by_epoch, seen, shown

from kregtools.record import Record, example


def test_what_is_said_of_a_sampled_step():
    series = {
        ("first", "kernel", "gradient_nonfinite"): [0, 0, 3, 9],
        ("second", "kernel", "gradient_nonfinite"): [0, 0, 4, 9],
        ("third", "kernel", "gradient_nonfinite"): [0, 0, 0, 9],
        ("second", "kernel", "weight_nonfinite"): [0, NAN, 5, 9],
        ("second", "activation", "nonfinite"): [0, 0, 0, 64],
    }
    symptom = shown("nonfinite", example(logs={"loss": [0.7]}, series=series))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "NaN or infinite values appear at step 2 in the gradient of kernel and the weights of kernel, first in first: "
        "12 of them."
    )
    assert symptom.layers == ("first", "second") and symptom.first_step == 2
    assert symptom.evidence == {"count": 12.0, "step": 2}


def test_what_is_said_of_the_loss():
    series = {("", "loss", "nonfinite"): [0, 1], ("dense", "activation", "nonfinite"): [0, 0]}
    symptom = shown("nonfinite", example(series=series))
    assert symptom.message == "NaN or infinite values appear at step 1 in loss: 1 of them."
    assert symptom.layers == ()


@pytest.mark.parametrize(
    "tensor, statistic, said",
    [
        ("activation", "nonfinite", "activation"),
        ("bias", "gradient_nonfinite", "the gradient of bias"),
        ("bias", "weight_nonfinite", "the weights of bias"),
    ],
)
def test_it_is_found_wherever_it_is(tensor, statistic, said):
    symptom = shown("nonfinite", example(series={("dense", tensor, statistic): [NAN, 1]}))
    assert symptom.message == f"NaN or infinite values appear at step 1 in {said}, first in dense: 1 of them."
    assert seen("nonfinite", example(series={("dense", tensor, statistic): [NAN, 0]})) is None


def test_what_is_stopped_on_its_way_is_no_fault_until_the_loss_shows_it():
    series = {
        ("scores", "activation", "nonfinite"): [9, 9, 9],
        ("", "input", "nonfinite"): [4, 4, 4],
        ("scores", "activation", "gradient_nonfinite"): [2, 2, 2],
        ("top", "kernel", "gradient_nonfinite"): [0, 0, 0],
        ("", "loss", "nonfinite"): [0, 0, 0],
    }
    assert seen("nonfinite", example(series=series)) is None
    symptom = shown("nonfinite", example(series={**series, ("", "loss", "nonfinite"): [0, 0, 1]}))
    assert symptom.first_step == 2 and symptom.layers == ("scores",)


def test_the_step_is_the_sampled_one():
    record = Record()
    for step, count in ((0, 0), (40, 0), (90, 2)):
        record.add_sample(step, 0, {("dense", "activation", "nonfinite"): count})
    assert shown("nonfinite", record).first_step == 90


@pytest.mark.parametrize("scale, found", [("dynamic", False), (None, True), ("fixed", True)])
def test_gradients_overflow_under_a_dynamic_loss_scale(scale, found):
    facts = {"optimizer": {"loss_scale": scale}}
    gradient = {("dense", "kernel", "gradient_nonfinite"): [4, 0]}
    assert bool(seen("nonfinite", example(series=gradient, facts=facts))) == found
    weights = {("dense", "kernel", "weight_nonfinite"): [0, 4]}
    symptom = shown("nonfinite", example(series={**gradient, **weights}, facts=facts))
    assert symptom.first_step == (0 if found else 1)
    assert shown("nonfinite", example(series=gradient, facts={"optimizer": None}))


@pytest.mark.parametrize("name", ["loss", "val_loss"])
def test_what_is_said_of_a_log(name):
    logs = {"loss": [0.7] * 3, "val_loss": [0.7] * 3, name: [0.7, NAN, NAN]}
    symptom = shown("nonfinite", by_epoch(range(4, 7), **logs))
    assert symptom.severity == "critical"
    assert symptom.message == f"{name} is NaN or infinite in epoch 6."
    assert symptom.layers == () and symptom.first_step == 59
    assert symptom.evidence == {"epoch": 6.0}


def test_the_samples_tell_more_than_the_logs():
    record = example(logs={"loss": [NAN]}, series={("dense", "activation", "nonfinite"): [0, 8]})
    assert shown("nonfinite", record).first_step == 1
    assert (
        shown("nonfinite", example(logs={"loss": [NAN]}, series={("dense", "activation", "nonfinite"): [0]})).first_step
        == 9
    )


def test_what_is_finite_or_absent():
    assert seen("nonfinite", example()) is None
    assert seen("nonfinite", example(logs={"loss": [0.7]})) is None
    assert seen("nonfinite", example(logs={"val_loss": [0.7]})) is None
    assert seen("nonfinite", example(logs={"loss": [0.7], "lr": [NAN]})) is None
