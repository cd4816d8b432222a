"""What is said of a learning rate, with and without a look at the steps."""

import pytest

from kregtools.diagnosis import diagnose
from kregtools.record import example

NAN = float("nan")
SLOW = {"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665], "val_loss": [0.69, 0.686, 0.681, 0.677, 0.672, 0.668]}
FLAT = {"loss": [3870.0, 2.31, 2.31, 2.30, 2.31]}
TEN = {"losses": [{"name": "sparse_categorical_crossentropy"}], "outputs": [{"shape": [None, 10]}]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def causes(logs, rate: float, name: str = "Adam", facts=BINARY, **series):
    return diagnose(
        example(logs=logs, facts={**facts, "optimizer": {"class": name, "learning_rate": rate}}, **series)
    ).causes


@pytest.mark.parametrize("rate, confidence", [(1e-5, 0.53), (1e-6, 0.63), (1e-7, 0.73), (1e-9, 0.75)])
def test_the_lower_a_rate_that_is_known_the_surer(rate, confidence):
    found = {cause.name: cause.confidence for cause in causes(SLOW, rate)}
    assert found["lr_too_low"] == pytest.approx(confidence, abs=0.005)


def test_a_rate_a_thousand_times_too_low_comes_before_too_few_epochs():
    assert [cause.name for cause in causes(SLOW, 1e-6)][:2] == ["lr_too_low", "too_few_epochs"]


@pytest.mark.parametrize(
    "name, rate, told",
    [("Adam", 0.051, True), ("Adam", 0.049, False), ("SGD", 0.51, True), ("SGD", 0.49, False), ("Adagrad", 1.0, False)],
)
def test_a_rate_far_above_the_default_is_told_without_steps(name, rate, told):
    assert ("lr_too_high" in [cause.name for cause in causes(FLAT, rate, name, TEN)]) == told


def test_what_is_said_of_a_rate_far_above_the_default():
    (cause,) = causes(FLAT, 0.1, "Adam", TEN)
    assert cause.name == "lr_too_high" and cause.confidence == pytest.approx(0.53, abs=0.005)
    assert cause.reason == "The learning rate is 0.1; the default of Adam is 0.001."
    assert cause.remedy.text == (
        "Lower the learning rate from 0.1 to 0.001. The loss should then fall from the first epoch on; if it falls "
        "smoothly but slowly, go back up by a factor of 3."
    )
    assert "keras.optimizers.Adam(learning_rate=0.001)" in cause.remedy.code


def test_steps_that_were_measured_count_for_more_than_the_rate():
    series = {("dense", "kernel", "update_ratio"): [0.01] * 4}
    assert "lr_too_high" not in [cause.name for cause in causes(FLAT, 0.1, "Adam", TEN, series=series)]


@pytest.mark.parametrize("loss, told", [(6.8, True), (7.0, False)])
def test_a_network_thrown_off_in_its_first_epoch_is_not_too_small(loss, told):
    logs = {"loss": [loss, 2.31, 2.30, 2.30, 2.30, 2.30]}
    found = [cause.name for cause in causes(logs, 1e-3, facts=TEN)]
    assert ("insufficient_capacity" in found) == told


@pytest.mark.parametrize("norm, told", [(1.0, True), (0.0, False)])
def test_the_first_steps_of_a_kernel_that_starts_at_zero_are_not_large(norm, told):
    series = {
        ("dense", "kernel", "weight_norm"): [norm] * 3,
        ("dense", "kernel", "update_ratio"): [NAN, 0.8, 0.3],
        ("", "loss", "nonfinite"): [0, 0, 1],
    }
    assert ("lr_too_high" in [cause.name for cause in causes({}, 1e-7, series=series)]) == told
