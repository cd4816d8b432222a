"""Where ReLU units are off for every row."""

import pytest
from symptom_records import NAN, SQUARED, refusal, seen, shown, targets

from kregtools.record import example


def off(*dead: float, layer: str = "dense", units: float = 64):
    return {(layer, "activation", "dead_units"): list(dead), (layer, "activation", "units"): [units] * len(dead)}


def broken(*counts: float):
    return {("dense", "kernel", "weight_nonfinite"): list(counts)}


def test_what_is_said():
    symptom = shown("dead_relu", example(series=off(NAN, 0, 32, 40, 48)))
    assert symptom.severity == "critical"
    assert symptom.message == "75% of the units of dense are off for every row; healthy is below 50%."
    assert symptom.layers == ("dense",) and symptom.first_step == 2
    assert symptom.evidence == {"dead_fraction": 0.75, "threshold": 0.5}


@pytest.mark.parametrize("others, said", [(1, "another layer"), (2, "2 other layers"), (3, "3 other layers")])
def test_the_worst_of_several_layers_is_named(others, said):
    series = {**off(32, 40, layer="first"), **off(32, 33, layer="second"), **off(0, 64, layer="recent"), **off(0, 0)}
    more = {key: row for index in range(others - 1) for key, row in off(40, 39, layer=f"more_{index}").items()}
    symptom = shown("dead_relu", example(series={**series, **more}))
    assert symptom.message == (
        f"62% of the units of first are off for every row, and at least half in {said}; healthy is below 50%."
    )
    assert symptom.layers == ("first", "second", *(f"more_{index}" for index in range(others - 1)))
    assert symptom.first_step == 0


def test_the_worst_layer_need_not_be_the_first():
    symptom = shown("dead_relu", example(series={**off(33, 33, layer="first"), **off(48, 48, layer="second")}))
    assert symptom.message.startswith("75% of the units of second are off")


@pytest.mark.parametrize(
    "dead, found", [((31, 64), False), ((32, 32), True), ((64, 31), False), ((64, 64, 31, 32), False)]
)
def test_half_of_the_units_in_the_last_two_samples(dead, found):
    assert bool(seen("dead_relu", example(series=off(*dead)))) == found


def test_one_sample_is_enough_where_no_second_was_taken():
    assert shown("dead_relu", example(series=off(NAN, 32)))


def test_samples_that_did_not_look_are_left_out():
    assert shown("dead_relu", example(series=off(0, 40, NAN, 48, NAN))).first_step == 1
    assert seen("dead_relu", example(series=off(40, NAN, 20, NAN))) is None


def test_what_comes_after_nan_weights_tells_nothing():
    assert seen("dead_relu", example(series={**off(0, 2, 64, 64), **broken(0, 0, 9, 9)})) is None
    assert shown("dead_relu", example(series={**off(48, 48, 0, 0), **broken(0, 0, 9, 9)}))
    assert refusal("dead_relu", example(series={**off(NAN, NAN, 64, 64), **broken(0, 0, 9, 9)})) == (
        "the weights are NaN or infinite from step 2 on"
    )


def test_what_is_needed():
    assert refusal("dead_relu", example(series=off(NAN, NAN))) == (
        "too few rows were sampled to tell dead units from sparse ones: train longer, or lower `sample_every`"
    )
    assert refusal("dead_relu", example(facts={"watching": {"taps": True}})) == (
        "0 training steps were sampled and 1 are needed: train longer, or lower `sample_every`"
    )
    assert seen("dead_relu", example(series={("dense", "kernel", "gradient_rms"): [0.1]})) is None


@pytest.mark.parametrize(
    "losses, found",
    [
        ([1.0, 0.81, 0.81], True),
        ([1.0, 0.79, 0.79], False),
        ([1.0, 0.93, 0.88], False),
        ([1.0, 0.93, 0.92], True),
        ([0.85], True),
        ([1.0, NAN, 0.7], True),
    ],
)
def test_a_network_that_learns_has_units_enough(losses, found):
    logs = {"loss": losses}
    assert bool(seen("dead_relu", example(logs=logs, facts=SQUARED, series={**targets(2), **off(32, 40)}))) == found
