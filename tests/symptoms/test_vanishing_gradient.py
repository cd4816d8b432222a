"""Where gradients are said to vanish."""

import pytest
from symptom_records import NAN, refusal, seen, shown

from kregtools.record import Record, example

STUCK = {"loss": [1.0, 0.9]}


def gradients(*rms: float | list[float], samples: int = 4):
    """The RMS gradient of each kernel, the same in every sample where it is one number."""
    rows = [value if isinstance(value, list) else [value] * samples for value in rms]
    return {(f"dense_{index}", "kernel", "gradient_rms"): row for index, row in enumerate(rows)}


def run(*rms: float | list[float], logs=None):
    return example(logs=logs or STUCK, series=gradients(*rms))


def test_what_is_said_of_depth():
    symptom = shown("vanishing_gradient", run(2e-6, 5e-6, 1e-3, 1e-2))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The RMS gradient of dense_0 is 2.0e-06, 2.0e-04 of that of dense_3; a healthy ratio is above 0.001."
    )
    assert symptom.layers == ("dense_0", "dense_1") and symptom.first_step == 0
    assert symptom.evidence == pytest.approx({"first_rms": 2e-6, "last_rms": 1e-2, "ratio": 2e-4, "threshold": 1e-3})


def test_what_is_said_of_all_kernels():
    symptom = shown("vanishing_gradient", run(5e-8, 9e-8))
    assert symptom.message == (
        "The RMS gradient of every kernel is below 1e-07, although nothing has been learned yet."
    )
    assert symptom.layers == ("dense_0", "dense_1")
    assert symptom.evidence == pytest.approx({"first_rms": 5e-8, "last_rms": 9e-8, "ratio": 5 / 9, "threshold": 1e-3})


def test_gradients_of_zero():
    symptom = shown("vanishing_gradient", run(0.0, 0.0))
    assert "every kernel is below 1e-07" in symptom.message
    assert symptom.evidence == {"first_rms": 0.0, "last_rms": 0.0, "ratio": 1.0, "threshold": 1e-3}


@pytest.mark.parametrize("ratio, found", [(0.99e-3, True), (1.01e-3, False)])
def test_a_thousandth_of_the_last_kernel(ratio, found):
    assert bool(seen("vanishing_gradient", run(ratio * 2.0, 1e-9, 2.0))) == found


@pytest.mark.parametrize("rms, found", [(0.99e-7, True), (1.01e-7, False)])
def test_a_floor_for_every_kernel(rms, found):
    assert bool(seen("vanishing_gradient", run(0.9e-7, rms, 0.9e-7))) == found


def test_shrinking_the_other_way_is_another_symptom():
    assert seen("vanishing_gradient", run(1.0, 1e-9)) is None
    assert seen("vanishing_gradient", run(1.0, 0.0)) is None


@pytest.mark.parametrize(
    "first, found",
    [
        ([1.0, 1.0, 1e-9, 1e-9], True),
        ([1e-9, 1.0, 1.0, 1.0], False),
        ([1.0, 1.0, 1.0, 1e-9, 1e-9], False),
        ([1.0, 1.0, 1e-9, 1e-9, 1e-9], True),
        ([1e-9, 1.0], False),
    ],
)
def test_half_of_the_samples_show_it(first, found):
    symptom = seen("vanishing_gradient", run(first, [1.0] * len(first)))
    assert bool(symptom) == found
    if symptom:
        assert symptom.first_step == 2 and symptom.evidence["first_rms"] == 1e-9


def test_all_kernels_below_the_floor_in_half_of_the_samples():
    assert shown("vanishing_gradient", run([1e-9, 1.0, 1e-9, 1.0], [1e-9, 1.0, 1e-9, 1.0])).first_step == 0
    assert seen("vanishing_gradient", run([1e-9, 1.0, 1.0, 1.0], [1e-9, 1.0, 1.0, 1.0])) is None


def test_a_kernel_in_between_that_receives_nothing():
    symptom = shown("vanishing_gradient", run(1e-4, 0.0, 1.0))
    assert symptom.evidence["ratio"] == 1e-4 and symptom.layers == ("dense_0", "dense_1")


def test_what_is_typical_is_the_median_of_the_samples_that_show_it():
    symptom = shown("vanishing_gradient", run([1.0, 3e-5, 1e-5, 2e-5], [1.0, 0.1, 0.2, 0.3]))
    assert symptom.evidence == pytest.approx({"first_rms": 2e-5, "last_rms": 0.2, "ratio": 1e-4, "threshold": 1e-3})


def test_what_comes_after_nan_weights_tells_nothing():
    broken = {("dense_0", "kernel", "weight_nonfinite"): [0, 0, 9, 9, 9, 9]}
    late = example(logs=STUCK, series={**gradients([1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [1.0] * 6), **broken})
    assert seen("vanishing_gradient", late) is None
    early = example(logs=STUCK, series={**gradients([1e-9, 1e-9, 1.0, 1.0, 1.0, 1.0], [1.0] * 6), **broken})
    assert shown("vanishing_gradient", early)


@pytest.mark.parametrize("end, found", [(0.51, True), (0.49, False)])
def test_a_run_that_has_halved_its_loss_may_have_small_gradients(end, found):
    assert bool(seen("vanishing_gradient", run(1e-9, 1e-9, logs={"loss": [1.0, end]}))) == found


def test_gradients_that_are_nan_in_between():
    assert shown("vanishing_gradient", run([1e-9, NAN, 1e-9, 1e-9], 1.0)).evidence["first_rms"] == 1e-9
    assert shown("vanishing_gradient", run(1e-9, [NAN, 1.0, 1.0, 1.0], 1.0)).layers == ("dense_0",)


def test_the_first_step_is_the_sampled_one():
    record = Record()
    for step in (5, 25):
        record.add_sample(step, 0, {("a", "kernel", "gradient_rms"): 1e-9, ("b", "kernel", "gradient_rms"): 1.0})
    assert shown("vanishing_gradient", record).first_step == 5


def test_what_is_needed():
    assert seen("vanishing_gradient", run(1e-9)) is None
    assert refusal("vanishing_gradient", run([1e-9], [1.0])) == (
        "1 training steps were sampled and 2 are needed: train longer, or lower `sample_every`"
    )
    assert shown("vanishing_gradient", run([1e-9] * 2, [1.0] * 2))
