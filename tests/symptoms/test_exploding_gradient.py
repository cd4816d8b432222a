"""Where a gradient is said to explode."""

import pytest
from symptom_records import NAN, SQUARED, refusal, seen, shown, targets

from kregtools.record import example


def kernel(statistic: str, *values: float, layer: str = "dense"):
    return {(layer, "kernel", statistic): list(values)}


def gradients(*norms: float, layer: str = "dense", rms: float | None = None):
    """Norms, and an RMS that is the same in all layers where it is not given."""
    return {
        **kernel("gradient_norm", *norms, layer=layer),
        **kernel("gradient_rms", *[rms or 1.0] * len(norms), layer=layer),
    }


def test_what_is_said_of_growth_over_time():
    symptom = shown("exploding_gradient", example(series=gradients(0.5, 2.0, 80.0, 5e3, 400.0)))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The gradient norm reaches 5e+03 at step 3, 1e+04 times that of the first step; healthy is below 100 times."
    )
    assert symptom.layers == ("dense",) and symptom.first_step == 2
    assert symptom.evidence == {"norm": 5000.0, "times": 10000.0, "threshold": 100.0}


def test_what_is_said_of_steps_larger_than_the_weights():
    series = {**gradients(4e4, 4e4), **kernel("weight_norm", 20.0, 20.0)}
    symptom = shown("exploding_gradient", example(series=series))
    assert symptom.message == (
        "The gradient norm reaches 4e+04 at step 0, 2e+03 times the norm of the kernels themselves; healthy is below "
        "1000 times."
    )
    assert symptom.evidence == {"norm": 4e4, "times": 2000.0, "threshold": 1000.0}


def test_what_is_said_of_growth_over_depth():
    series = {
        **gradients(30.0, 30.0, layer="first", rms=5.0),
        **gradients(1.0, 1.0, layer="second", rms=0.6),
        **gradients(1.0, 1.0, layer="third", rms=0.48),
        **gradients(40.0, 40.0, layer="last", rms=1e-3),
    }
    symptom = shown("exploding_gradient", example(series=series))
    assert symptom.message == (
        "The gradient norm reaches 50 at step 0, 5e+03 times as large in first as in last; healthy is below 1000 times."
    )
    assert symptom.layers == ("first", "second") and symptom.first_step == 0
    assert symptom.evidence == pytest.approx({"norm": 2502**0.5, "times": 5000.0, "threshold": 1000.0})


def test_the_first_step_is_the_first_that_is_out_of_proportion():
    assert shown("exploding_gradient", example(series=gradients(12.0, 15.0, 1300.0))).first_step == 2


@pytest.mark.parametrize("norm, found", [(9.9, False), (10.1, True)])
def test_a_norm_of_ten_is_needed(norm, found):
    assert bool(seen("exploding_gradient", example(series=gradients(0.01, norm)))) == found


@pytest.mark.parametrize("norm, found", [(99.0, False), (101.0, True)])
def test_a_hundred_times_the_first_step(norm, found):
    assert bool(seen("exploding_gradient", example(series=gradients(1.0, norm)))) == found


@pytest.mark.parametrize("norm, found", [(999.0, False), (1001.0, True)])
def test_a_thousand_times_the_kernels(norm, found):
    """Kernels of norms 3 and 4 are together one of norm 5, and so are their gradients."""
    series = {
        **gradients(3 * norm, 3 * norm, layer="first"),
        **kernel("weight_norm", 3.0, 3.0, layer="first"),
        **gradients(4 * norm, 4 * norm, layer="last"),
        **kernel("weight_norm", 4.0, 4.0, layer="last"),
    }
    symptom = seen("exploding_gradient", example(series=series))
    assert bool(symptom) == found
    if symptom:
        assert symptom.evidence["norm"] == pytest.approx(5 * norm) and symptom.layers == ("first", "last")


@pytest.mark.parametrize("rms, found", [(0.999, False), (1.001, True)])
def test_a_thousand_times_from_the_last_kernel_to_the_first(rms, found):
    series = {**gradients(20.0, 20.0, layer="first", rms=rms), **gradients(1.0, 1.0, layer="last", rms=1e-3)}
    assert bool(seen("exploding_gradient", example(series=series))) == found


def test_growth_the_other_way_is_another_symptom():
    series = {**gradients(20.0, 20.0, layer="first", rms=1e-6), **gradients(1.0, 1.0, layer="last", rms=1.0)}
    assert seen("exploding_gradient", example(series=series)) is None


def test_the_worst_comparison_is_told():
    """A thousandfold of the first step is ten times too much, 5000 times the kernels five times."""
    series = {**gradients(10.0, 1e4), **kernel("weight_norm", 2.0, 2.0)}
    assert "that of the first step" in shown("exploding_gradient", example(series=series)).message
    series = {**gradients(10.0, 1e4), **kernel("weight_norm", 0.5, 0.5)}
    assert "the norm of the kernels" in shown("exploding_gradient", example(series=series)).message


def test_a_comparison_with_nothing_tells_nothing():
    assert seen("exploding_gradient", example(series=gradients(0.0, 500.0))) is None
    series = {**gradients(20.0, 20.0, layer="first"), **kernel("gradient_rms", 0.0, 0.0, layer="last")}
    assert seen("exploding_gradient", example(series=series)) is None
    assert shown("exploding_gradient", example(series={**gradients(0.0, 500.0), **kernel("weight_norm", NAN, 0.1)}))


def test_samples_that_are_not_finite_are_left_out():
    symptom = shown("exploding_gradient", example(series=gradients(0.5, NAN, 500.0, NAN)))
    assert symptom.first_step == 2 and symptom.evidence["norm"] == 500.0


def test_a_loss_that_falls_steadily_may_have_large_gradients():
    series = gradients(0.5, 2.0, 80.0, 4e5)
    assert seen("exploding_gradient", example(logs={"loss": [4e7, 3e7, 2e7, 1e7]}, series=series)) is None
    assert shown("exploding_gradient", example(logs={"loss": [4e7, 3e7, 2e7, 3e7]}, series=series))


def test_what_is_needed():
    assert refusal("exploding_gradient", example(series=gradients(1.0))) == (
        "1 training steps were sampled and 2 are needed: train longer, or lower `sample_every`"
    )
    assert seen("exploding_gradient", example(series={("dense", "bias", "gradient_norm"): [1.0, 1e6]})) is None


@pytest.mark.parametrize("end, found", [(0.51, True), (0.49, False)])
def test_a_run_that_got_over_it_is_none(end, found):
    norms = {("dense", "kernel", "gradient_norm"): [0.5, 80.0], ("dense", "kernel", "gradient_rms"): [0.05, 8.0]}
    logs = {"loss": [1.0, end, end]}
    assert bool(seen("exploding_gradient", example(logs=logs, facts=SQUARED, series={**targets(2), **norms}))) == found
