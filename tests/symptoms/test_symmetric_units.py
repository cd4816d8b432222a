"""Where the units of a layer are said to be copies."""

import pytest
from symptom_records import NAN, refusal, seen, shown

from kregtools.record import Record, example


def layer(name: str, units: int = 16):
    return {"name": name, "class": "Dense", "units": units, "weights": ["bias", "kernel"]}


def facts(*names: str):
    return {"layers": [*map(layer, names or ("hidden",)), layer("last")], "outputs": [{"layer": "last"}]}


def kernel(*spread: float, norm: list[float] | float = 1.0, name: str = "hidden"):
    norms = norm if isinstance(norm, list) else [norm] * len(spread)
    return {(name, "kernel", "unit_spread"): list(spread), (name, "kernel", "weight_norm"): norms}


def run(*spread: float, norm: list[float] | float = 1.0):
    return example(series=kernel(*spread, norm=norm), facts=facts())


def test_what_is_said_of_copies():
    symptom = shown("symmetric_units", run(1e-7, NAN, 2.5e-6, 1e-6))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The units of hidden differ by 2.5e-06 of its weights' rms; in a healthy kernel that is about 1."
    )
    assert symptom.layers == ("hidden",) and symptom.first_step == 0
    assert symptom.evidence == {"unit_spread": 2.5e-6, "threshold": 0.01}


def test_what_is_said_of_zeros():
    symptom = shown("symmetric_units", run(NAN, NAN, NAN, norm=0.0))
    assert symptom.message == "All weights of hidden are zero, and stay so; they have to start at random."
    assert symptom.evidence == {"unit_spread": 0.0, "threshold": 0.01}


def test_each_layer_is_named():
    series = {
        **kernel(0.9, 0.9, 0.9, name="fine"),
        **kernel(NAN, NAN, NAN, norm=0.0, name="zeros"),
        **kernel(1e-7, 1e-7, 1e-6, name="copies"),
    }
    symptom = shown("symmetric_units", example(series=series, facts=facts("fine", "zeros", "copies")))
    assert symptom.message.startswith("All weights of zeros are zero") and symptom.layers == ("zeros", "copies")
    assert symptom.evidence["unit_spread"] == 1e-6
    series = {**kernel(1e-7, 1e-7, 1e-6, name="copies"), **kernel(NAN, NAN, NAN, norm=0.0, name="zeros")}
    symptom = shown("symmetric_units", example(series=series, facts=facts("copies", "zeros")))
    assert symptom.message.startswith("The units of copies differ by 1.0e-06")


@pytest.mark.parametrize("spread, found", [(0.0099, True), (0.0101, False)])
def test_a_hundredth_of_the_weights(spread, found):
    assert bool(seen("symmetric_units", run(spread, spread, spread))) == found


@pytest.mark.parametrize(
    "spread, norms, found",
    [
        ((1e-7, 1e-7, 0.5), [1.0] * 3, False),
        ((0.5, 1e-7, 1e-7), [1.0] * 3, False),
        ((NAN, 1e-7, 1e-7), [0.0, 1.0, 1.0], True),
        ((NAN, NAN, NAN, 0.5), [0.0, 0.0, 0.0, 1.0], False),
        ((1e-7, NAN, NAN, 1e-7, 1e-7), [1.0, NAN, NAN, 1.0, 1.0], True),
    ],
)
def test_one_sample_in_which_units_are_apart_clears_a_kernel(spread, norms, found):
    assert bool(seen("symmetric_units", run(*spread, norm=norms))) == found


def test_three_looks_at_the_weights_are_needed():
    few = "the weights were looked at in fewer than 3 steps: train longer"
    assert refusal("symmetric_units", run(1e-7, 1e-7)) == few
    assert refusal("symmetric_units", run(1e-7, NAN, 1e-7)) == few
    assert refusal("symmetric_units", run(0.5, 0.5)) == few
    assert refusal("symmetric_units", run(1e-7, NAN, NAN, norm=[1.0, 0.0, 1.0])) == few
    assert shown("symmetric_units", run(1e-7, NAN, 1e-7, norm=[1.0, 0.0, 1.0]))


def test_a_layer_that_was_hardly_looked_at_is_not_judged():
    series = {**kernel(1e-7, NAN, NAN, name="hardly"), **kernel(0.9, 0.9, 0.9)}
    assert seen("symmetric_units", example(series=series, facts=facts("hardly", "hidden"))) is None
    series = {**kernel(1e-7, NAN, NAN, name="hardly"), **kernel(1e-7, 1e-7, 1e-7)}
    assert shown("symmetric_units", example(series=series, facts=facts("hardly", "hidden"))).layers == ("hidden",)


def test_what_comes_after_nan_weights_tells_nothing():
    broken = {("hidden", "kernel", "weight_nonfinite"): [0, 0, 0, 9, 9, 9]}
    late = {**kernel(1e-7, 1e-7, NAN, *[1e-7] * 3), **broken}
    assert "fewer than 3 steps" in refusal("symmetric_units", example(series=late, facts=facts()))
    zeros = {**kernel(*[NAN] * 6, norm=[0.0, 0.0, NAN, 0.0, 0.0, 0.0]), **broken}
    assert "fewer than 3 steps" in refusal("symmetric_units", example(series=zeros, facts=facts()))


@pytest.mark.parametrize("name, units, judged", [("hidden", 2, True), ("hidden", 1, False), ("last", 16, False)])
def test_hidden_layers_of_several_units_are_judged(name, units, judged):
    known = {"layers": [layer("hidden", units), layer("last")], "outputs": [{"layer": "last"}]}
    assert bool(seen("symmetric_units", example(series=kernel(1e-7, 1e-7, 1e-7, name=name), facts=known))) == judged


def test_layers_without_facts_are_not_judged():
    assert seen("symmetric_units", example(series=kernel(1e-7, 1e-7, 1e-7, name="unknown"), facts=facts())) is None


def test_the_norm_need_not_be_known():
    series = {("hidden", "kernel", "unit_spread"): [1e-7] * 3}
    assert shown("symmetric_units", example(series=series, facts=facts()))
    other = {("last", "kernel", "weight_norm"): [0.0] * 3}
    assert shown("symmetric_units", example(series={**series, **other}, facts=facts()))


def test_the_first_step_is_the_first_sampled_one():
    record = Record(facts())
    for step in (7, 20, 40):
        record.add_sample(
            step, 0, {("hidden", "kernel", "unit_spread"): 1e-7, ("hidden", "kernel", "weight_norm"): 1.0}
        )
    assert shown("symmetric_units", record).first_step == 7


def test_what_is_needed():
    assert "1 training steps were sampled and 2 are needed" in refusal("symmetric_units", run(1e-7))
    gradients = {("hidden", "kernel", "gradient_rms"): [0.1, 0.1]}
    assert "leave `details` of HealthMonitor on" in refusal("symmetric_units", example(series=gradients, facts=facts()))
    assert seen("symmetric_units", example(series={("hidden", "activation", "std"): [0.1, 0.1]}, facts=facts())) is None
