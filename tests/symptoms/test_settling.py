"""When moving averages are taken to be near what the batches have."""

import numpy as np
import pytest
from symptom_records import NAN, refusal, seen, shown

from kregtools.record import Record
from kregtools.symptoms.comparison import mismatch
from kregtools.symptoms.settling import lags, settled, steps_to_settle

NORM = {"name": "norm", "class": "BatchNormalization", "momentum": 0.99}


def run(factors, validation=None, training=None, shifts=None, steps=10, planned=0):
    """One epoch a factor; NaN where the averages were not measured."""
    count = len(factors)
    fit = {"epochs": planned or count, "steps": steps}
    record = Record({"layers": [NORM], "fit": fit, "watching": {"taps": True}})
    record.add_sample(0, 0, {("", "loss", "value"): 2.0})
    training, validation = training or [1.6 * 0.7**epoch for epoch in range(count)], validation or [2.0] * count
    for epoch, (factor, shift) in enumerate(zip(factors, shifts or [0.1] * count, strict=True)):
        if np.isfinite(factor):
            lag = {("norm", "moving_variance", "lag"): factor, ("norm", "moving_mean", "lag"): shift}
            record.add_sample(steps * (epoch + 1) - 1, epoch, lag)
        record.add_epoch(epoch, steps * (epoch + 1) - 1, {"loss": training[epoch], "val_loss": validation[epoch]})
    return record


def test_what_was_measured_holds_until_the_next_time():
    layers, factors, shifts = lags(run([NAN, 3.0, NAN, 1.1], shifts=[NAN, 0.4, NAN, 0.2]))
    assert layers == ["norm"]
    assert factors[:, 0] == pytest.approx([NAN, 3.0, 3.0, 1.1], nan_ok=True)
    assert shifts[:, 0] == pytest.approx([NAN, 0.4, 0.4, 0.2], nan_ok=True)


def test_without_a_measurement_there_are_none():
    layers, factors, shifts = lags(run([NAN] * 4))
    assert layers == [] and factors.shape == shifts.shape == (4, 0)


@pytest.mark.parametrize(
    "factors, shifts, expected",
    [
        ([1.49, 1.51], [0.1, 0.1], [True, False]),
        ([1.1, 1.1], [0.49, 0.51], [True, False]),
        ([NAN, 1.1], [NAN, 0.1], [False, True]),
        ([NAN, NAN], [NAN, NAN], [False, False]),
    ],
)
def test_an_epoch_has_settled_averages(factors, shifts, expected):
    assert settled(run(factors, shifts=shifts)).tolist() == expected


def test_five_time_constants_count_where_nothing_was_measured():
    assert steps_to_settle(run([NAN])) == pytest.approx(500)
    assert settled(run([NAN] * 3, steps=251)).tolist() == [False, True, True]


def test_averages_that_are_recalibrated_are_near_whatever_was_measured_before():
    record = run([9.0] * 3, validation=[2.0, 3.0, 4.0])
    assert shown("moving_average_lag", record)
    record.add_sample(29, 2, {("norm", "moving_variance", "recalibrated"): 1.0})
    assert settled(record).all() and seen("moving_average_lag", record) is None


RISING = [0.9, 0.5, 0.6, 0.8, 1.1, 1.5]
FALLING = [1.0, 0.6, 0.4, 0.3, 0.2, 0.1]


def test_a_rise_while_the_averages_are_behind_is_not_overfitting():
    assert refusal("overfit", run([9.0] * 6, RISING, FALLING)) == (
        "the moving averages of norm, by which validation data are judged, are off by a factor of 9 in the variance: "
        "train longer, or add `RecalibrateBatchNorm`"
    )
    assert refusal("overfit", run([1.1] * 6, RISING, FALLING, shifts=[0.8] * 6)) == (
        "the moving averages of norm, by which validation data are judged, are off by 0.8 standard deviations in the "
        "mean: train longer, or add `RecalibrateBatchNorm`"
    )


def test_a_rise_is_overfitting_once_they_are_not():
    assert shown("overfit", run([1.1] * 6, RISING, FALLING)).evidence["onset_epoch"] == 2
    assert shown("overfit", run([9.0, 9.0, *[1.1] * 4], RISING, FALLING)).evidence["onset_epoch"] == 3


def test_epochs_without_validation_do_not_count():
    """Validated are epochs 1, 6 and 11 of 12, the first two of them with averages far behind."""
    validation = [value if epoch % 5 == 0 else NAN for epoch, value in enumerate([0.5] * 5 + [0.6] * 5 + [1.5] * 2)]
    record = run([9.0] * 8 + [1.1] * 4, validation, [1.2 * 0.8**epoch for epoch in range(12)])
    assert "were too far behind in 2 of 3 epochs" in refusal("overfit", record)


def test_averages_that_settle_hide_no_rise():
    """The validation loss falls as the averages settle; after that it rises, and never to where it was."""
    validation = [9.0, 5.0, 0.5, 0.6, 0.7, 0.8]
    assert shown("overfit", run([9.0, 4.0, *[1.1] * 4], validation, FALLING)).evidence["onset_epoch"] == 3
    assert seen("overfit", run([9.0, 4.0, *[1.1] * 4], [0.1, 0.2, *[0.5] * 4], FALLING)) is None


@pytest.mark.parametrize("end, told", [(0.14, False), (0.16, True)])
def test_of_a_run_that_was_mostly_behind_it_cannot_be_told_where_validation_is_far_worse(end, told):
    record = run([9.0] * 4 + [1.1] * 3, [*[2.0] * 4, end, end - 0.01, end], [1.0, 0.6, 0.4, 0.3, 0.2, 0.1, 0.1])
    if not told:
        assert seen("overfit", record) is None
    else:
        assert refusal("overfit", record) == (
            "the moving averages of a batch normalization, by which validation data are judged, were too far behind in "
            "4 of 7 epochs: train longer, or add `RecalibrateBatchNorm`"
        )
    falling = [*[2.0] * 4, end + 0.02, end + 0.01, end]
    assert seen("overfit", run([9.0] * 4 + [1.1] * 3, falling, [1.0, *FALLING])) is None
    assert seen("overfit", run([9.0] * 3 + [1.1] * 3, [*[2.0] * 3, end, end - 0.01, end], FALLING)) is None


# ---- moving_average_lag


def test_what_is_said_of_averages_that_are_behind():
    symptom = shown("moving_average_lag", run([9.0, 16.0], validation=[2.0, 5.0]))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "The moving averages of norm, by which inference normalizes, are off by a factor of 16 in the variance; "
        "healthy is up to a factor of 1.5, and 0.5 standard deviations in the mean. The validation loss is 5, the "
        "training loss 1.12."
    )
    assert symptom.layers == ("norm",) and symptom.first_step == 9
    assert symptom.evidence == pytest.approx({"variance_factor": 16.0, "mean_shift": 0.1, "threshold": 1.5})


@pytest.mark.parametrize("validation, severity", [(1.45, "info"), (1.55, "warning")])
def test_it_is_an_alarm_where_validation_is_far_worse(validation, severity):
    record = run([9.0] * 2, validation=[2.0, validation], training=[1.0, 1.0])
    assert shown("moving_average_lag", record).severity == severity


def test_without_validation_it_is_mentioned():
    assert shown("moving_average_lag", run([9.0] * 2, validation=[NAN] * 2)).severity == "info"


@pytest.mark.parametrize("planned, found", [(49, True), (51, False)])
def test_it_waits_for_averages_that_will_settle_within_the_fit(planned, found):
    assert bool(seen("moving_average_lag", run([9.0] * 2, planned=planned))) == found


def test_it_does_not_wait_where_the_fit_has_ended():
    record = run([9.0] * 2, planned=60)
    record.add_facts({"cost": {"training": 1.0}})
    assert shown("moving_average_lag", record)


def test_the_last_validation_counts_where_not_every_epoch_has_one():
    assert shown("moving_average_lag", run([9.0] * 3, validation=[2.0, 5.0, NAN])).severity == "warning"


def test_it_does_not_wait_for_what_should_have_settled():
    assert shown("moving_average_lag", run([9.0] * 2, steps=300, planned=50))


def test_the_layer_that_is_furthest_behind_is_named():
    record = run([1.1])
    lag = {("a", 4.0): 0.1, ("b", 1.0): 3.0}
    for (name, factor), shift in lag.items():
        values = {(name, "moving_variance", "lag"): factor, (name, "moving_mean", "lag"): shift}
        record.add_sample(9, 0, values)
    symptom = shown("moving_average_lag", record)
    assert symptom.message.startswith("The moving averages of b, by which inference normalizes, are off by 3 standard ")


# ---- train_val_mismatch


@pytest.mark.parametrize("factors, found", [((1.4, 1.4, 1.4), True), ((1.4, 1.6, 1.4), False), ((1.4, 1.4, 1.6), True)])
def test_sets_differ_where_averages_were_near_in_the_first_epochs(factors, found):
    record = run(factors, validation=[1.5] * 3, training=[0.5] * 3)
    assert bool(mismatch(record)) == found
    if not found:
        assert refusal("train_val_mismatch", record) == (
            "validation is worse in every epoch, and in the first ones the moving averages of a batch normalization "
            "had not settled, which may be why: add `RecalibrateBatchNorm`"
        )
