"""Where inference is said to normalize by another variance."""

import pytest
from symptom_records import NAN, refusal, seen, shown

from kregtools.record import Record, example


def behind_dropout(*norms: str):
    layers = [{"name": "drop", "class": "Dropout", "rate": 0.5}]
    return {"layers": [*layers, *({"name": name, "class": "BatchNormalization"} for name in norms or ("norm",))]}


def measured(*ratios: float, corrected: float = 0.0, name: str = "norm"):
    return {
        (name, "moving_variance", "variance_ratio"): list(ratios),
        (name, "moving_variance", "recalibrated"): [corrected] * len(ratios),
    }


def test_what_is_said():
    symptom = shown("variance_shift", example(series=measured(1.0, 2.0, NAN), facts=behind_dropout()))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "The moving variance of norm is 2.00 times that without dropout, by which inference should normalize; healthy "
        "is between 0.87 and 1.15."
    )
    assert symptom.layers == ("norm",) and symptom.first_step == 1
    assert symptom.evidence == {"variance_ratio": 2.0, "threshold": 1.15}


@pytest.mark.parametrize("ratio, found", [(1.14, False), (1.16, True), (0.875, False), (0.865, True), (1.0, False)])
def test_fifteen_percent_either_way(ratio, found):
    assert bool(seen("variance_shift", example(series=measured(ratio), facts=behind_dropout()))) == found


@pytest.mark.parametrize("low, worst", [(0.4, "second"), (0.6, "first")])
def test_the_worst_layer_is_named_in_either_direction(low, worst):
    series = {**measured(2.0, name="first"), **measured(low, name="second"), **measured(1.0, name="third")}
    record = example(series=series, facts=behind_dropout("first", "second", "third"))
    symptom = shown("variance_shift", record)
    assert f"The moving variance of {worst} is" in symptom.message and symptom.layers == ("first", "second")
    assert symptom.evidence["variance_ratio"] == (low if worst == "second" else 2.0)


def test_the_last_measurement_counts():
    record = Record(behind_dropout())
    for step, ratio in ((9, 2.0), (19, 1.5), (29, NAN)):
        record.add_sample(step, step // 10, {("norm", "moving_variance", "variance_ratio"): ratio})
    symptom = shown("variance_shift", record)
    assert symptom.evidence["variance_ratio"] == 1.5 and symptom.first_step == 19
    assert seen("variance_shift", example(series=measured(2.0, 1.1), facts=behind_dropout())) is None


def test_what_was_corrected_is_no_shift():
    assert seen("variance_shift", example(series=measured(2.0, corrected=1.0), facts=behind_dropout())) is None
    series = {**measured(2.0, corrected=1.0, name="first"), **measured(1.5, name="second")}
    assert shown("variance_shift", example(series=series, facts=behind_dropout("first", "second"))).layers == (
        "second",
    )


def test_dropout_that_feeds_no_normalization_shifts_nothing():
    plain = {"layers": [{"name": "norm", "class": "BatchNormalization"}]}
    assert seen("variance_shift", example(series=measured(2.0), facts=plain)) is None
    assert seen("variance_shift", example()) is None


def test_what_was_not_measured_is_not_judged():
    text = (
        "dropout (drop) feeds {}, and its statistics were not measured without dropout: add "
        "`kregtools.callbacks.RecalibrateBatchNorm(x_train)` to the callbacks, or call "
        "`monitor.add(kregtools.variance_shift(model, x_train))` after `fit`"
    )
    assert refusal("variance_shift", example(facts=behind_dropout())) == text.format("norm")
    assert refusal("variance_shift", example(series=measured(NAN), facts=behind_dropout())) == text.format("norm")
    series = measured(2.0, name="first")
    assert refusal("variance_shift", example(series=series, facts=behind_dropout("first", "second"))) == text.format(
        "second"
    )
