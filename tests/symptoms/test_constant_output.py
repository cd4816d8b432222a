"""Where predictions are the same for every row."""

import pytest
from symptom_records import NAN, SQUARED, refusal, seen, shown, targets

from kregtools.record import example

STEPS = 20
UNLEARNED = {"loss": [1.0, 1.0]}


def predictions(spread: list[float] | float, rows: list[float] | float = 32, tensor: str = "output"):
    spread = spread if isinstance(spread, list) else [spread] * STEPS
    rows = rows if isinstance(rows, list) else [rows] * len(spread)
    return {("", tensor, "row_std"): spread, ("", tensor, "rows"): rows}


def run(spread: list[float] | float, rows: list[float] | float = 32, logs=None, series=None):
    known = targets(len(spread) if isinstance(spread, list) else STEPS)
    return example(
        logs=logs or UNLEARNED, facts=SQUARED, series={**predictions(spread, rows), **known, **(series or {})}
    )


def test_what_is_said():
    symptom = shown("constant_output", run([0.5] * 13 + [0.002] * 6 + [0.003]))
    assert symptom.severity == "critical"
    assert symptom.message == (
        "The predictions for different rows differ by 3.0e-03 of the spread of the targets; healthy is above 1%."
    )
    assert symptom.layers == () and symptom.first_step == 13
    assert symptom.evidence == {"share": 0.003, "threshold": 0.01}


@pytest.mark.parametrize("share, found", [(0.0099, True), (0.0101, False), (0.0, True)])
@pytest.mark.parametrize("std", [1.0, 200.0])
def test_a_hundredth_of_the_spread_of_the_targets(share, std, found):
    known = targets(STEPS, mean=7.0, std=std)
    assert bool(seen("constant_output", run(share * std, logs={"loss": [std**2]}, series=known))) == found


@pytest.mark.parametrize("loss, share, found", [(0.91, 0.009, True), (0.89, 0.009, False), (0.89, 0.9e-5, True)])
def test_a_network_that_has_learned_predicts_the_same_only_where_it_is_exactly_that(loss, share, found):
    symptom = seen("constant_output", run(share, logs={"loss": [0.5, loss, NAN]}))
    assert bool(symptom) == found
    if symptom:
        assert symptom.evidence["threshold"] == (0.01 if loss > 0.9 else 1e-5)


def test_one_epoch_is_enough_to_have_learned():
    assert seen("constant_output", run(0.009, logs={"loss": [0.5]})) is None
    assert shown("constant_output", run(0.009, logs={"loss": [1.0]}))


def test_without_losses_nothing_has_been_learned_yet():
    assert shown("constant_output", example(series={**predictions(0.009), **targets(STEPS)}))
    assert shown("constant_output", run(0.009, logs={"loss": [NAN]}))


def test_the_first_ten_steps_are_left_out():
    assert shown("constant_output", run([0.0] * STEPS)).first_step == 10
    few = [0.0] * 11
    assert refusal("constant_output", run(few)) == (
        "fewer than two batches of several rows were sampled after step 10: train longer"
    )
    assert shown("constant_output", run([0.0] * 12))


@pytest.mark.parametrize("varied, found", [(14, True), (15, False), (19, False)])
def test_the_last_half_of_them_counts(varied, found):
    spread = [0.0] * STEPS
    spread[varied] = 0.5
    assert bool(seen("constant_output", run(spread))) == found


def test_batches_of_one_row_tell_nothing():
    rows = [32.0] * 10 + [1.0, 2.0] * 5
    assert shown("constant_output", run(0.0, rows)).first_step == 11
    assert "fewer than two batches of several rows" in refusal("constant_output", run(0.0, [1.0] * STEPS))


def test_what_comes_after_nan_weights_tells_nothing():
    broken = {("dense", "kernel", "weight_nonfinite"): [0.0] * 15 + [9.0] * 5}
    assert seen("constant_output", run([0.5] * 15 + [0.0] * 5, series=broken)) is None
    assert shown("constant_output", run([0.0] * STEPS, series=broken))


def test_samples_that_did_not_look_are_left_out():
    assert shown("constant_output", run([NAN, 0.001] * 10)).first_step == 11


def test_targets_without_a_spread_are_no_yardstick():
    assert seen("constant_output", run(0.0, series=targets(STEPS, mean=3.0, std=0.0))) is None
    assert seen("constant_output", example(facts=SQUARED, series=predictions(0.0))) is None


@pytest.mark.parametrize("share, found", [(0.0029, True), (0.0031, False)])
def test_the_spread_of_wide_targets_is_that_within_columns(share, found):
    """Nine tenths of the one column are 1, one tenth of the other: 0.3 each, and 0.5 over all."""
    wide = targets(STEPS, mean=0.5, std=0.5, count=64, rows=32, count_0=28.8, count_1=3.2)
    assert bool(seen("constant_output", run(share, series=wide))) == found


@pytest.mark.parametrize("counts", [(8, 8, 8, 8), (80, 80, 80, 80), ()])
@pytest.mark.parametrize("share, found", [(0.0043, True), (0.0044, False)])
def test_the_spread_of_labels_is_that_of_their_one_hot_code(counts, share, found):
    """0.433 for four labels, which are all as frequent where there are too many to be counted."""
    known = {f"count_{label}": float(count) for label, count in enumerate(counts)}
    record = example(
        facts={"outputs": [{"tensor": "output", "shape": [None, 7, 4]}]},
        series={**predictions(share), **targets(STEPS, labels_out_of_range=0.0, mean=1.5, std=1.1, **known)},
    )
    assert bool(seen("constant_output", record)) == found


@pytest.mark.parametrize(
    "outputs", [[], None, [{"tensor": "output", "shape": None}], [{"tensor": "other", "shape": [4]}]]
)
def test_labels_of_an_unknown_number_are_no_yardstick(outputs):
    series = {**predictions(0.0), **targets(STEPS, labels_out_of_range=0.0, mean=1.5, std=1.1)}
    assert seen("constant_output", example(facts={"outputs": outputs}, series=series)) is None


def test_an_output_that_is_not_named_is_the_only_one():
    series = {**predictions(0.0), **targets(STEPS, labels_out_of_range=0.0, mean=1.5, std=1.1)}
    assert shown("constant_output", example(facts={"outputs": [{"shape": [None, 4]}]}, series=series))


def two_outputs(left: float | list[float], right: float | list[float]):
    known = {
        ("", f"target:{side}", name): [value] * STEPS
        for side in ("left", "right")
        for name, value in {"mean": 0.0, "std": 1.0}.items()
    }
    series = {**predictions(left, tensor="output:left"), **predictions(right, tensor="output:right"), **known}
    return example(facts={"losses": [{"name": "mean_squared_error"}] * 2}, series=series)


def test_the_output_is_named_where_there_are_several():
    assert seen("constant_output", two_outputs(0.3, 0.3)) is None
    symptom = shown("constant_output", two_outputs(0.3, 0.001))
    assert symptom.message.startswith("The predictions of right for different rows differ by 1.0e-03 of")
    assert shown("constant_output", two_outputs(0.001, 0.001)).message.startswith("The predictions of left for")


def test_an_output_may_be_called_output():
    known = {("", "target:output", name): [value] * STEPS for name, value in {"mean": 0.0, "std": 1.0}.items()}
    assert shown("constant_output", example(series={**predictions(0.001, tensor="output:output"), **known}))


def test_an_output_that_was_hardly_sampled_does_not_hide_the_other():
    hardly = [NAN] * (STEPS - 1) + [0.0]
    assert shown("constant_output", two_outputs(hardly, 0.001)).message.startswith("The predictions of right")
    assert seen("constant_output", two_outputs(hardly, 0.5)) is None


def test_what_is_needed():
    assert refusal("constant_output", example()) == (
        "the training steps were not looked into: use HealthMonitor in place of FitDiagnosis"
    )
    assert refusal("constant_output", run([0.0])) == (
        "1 training steps were sampled and 2 are needed: train longer, or lower `sample_every`"
    )
    assert refusal("constant_output", example(series={("dense", "activation", "row_std"): [0.0] * 2})) == (
        "the outputs were not measured: leave `details` of HealthMonitor on"
    )
