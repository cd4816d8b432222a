"""Where steps are said to change a kernel too much."""

import pytest
from symptom_records import NAN, refusal, seen, shown

from kregtools.record import example

RELU = {"name": "dense", "class": "Dense", "activation": "relu", "parameters": 4160}
LINEAR = {**RELU, "activation": "linear"}
NORM = {"name": "norm", "class": "BatchNormalization"}


def ratios(*late: float, layer: str = "dense", early: float = 0.01):
    """After ten steps."""
    return {(layer, "kernel", "update_ratio"): [early] * 10 + list(late)}


def run(*late: float, layers=(RELU,)):
    return example(series=ratios(*late), facts={"layers": list(layers)})


def test_what_is_said():
    symptom = shown("large_update", run(0.05, 0.3, 0.2, 0.25, 0.3, 0.5))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "A step changes the kernel of dense by 0.28 times its norm, time and again; healthy is below 0.1."
    )
    assert symptom.layers == ("dense",) and symptom.first_step == 11
    assert symptom.evidence == pytest.approx({"update_ratio": 0.275, "threshold": 0.1})


def test_the_worst_of_several_kernels_is_named():
    series = {
        **ratios(*[0.01] * 4, layer="fine"),
        **ratios(*[0.2] * 4, layer="bad"),
        **ratios(*[0.4] * 4, layer="worse"),
    }
    symptom = shown("large_update", example(series=series))
    assert "the kernel of worse by 0.4 times" in symptom.message
    assert symptom.layers == ("bad", "worse")
    assert symptom.evidence["update_ratio"] == 0.4


def test_one_of_many_kernels_is_enough():
    series = {**ratios(*[0.01] * 4, layer="a"), **ratios(*[0.2] * 4, layer="b"), **ratios(*[0.01] * 4, layer="c")}
    assert shown("large_update", example(series=series)).layers == ("b",)


def test_the_worst_is_measured_by_what_is_healthy_for_it():
    """Before a normalization twice the norm is twice too much, elsewhere 0.4 is four times."""
    layers = [{**LINEAR, "name": "before"}, NORM, RELU]
    series = {**ratios(*[2.0] * 4, layer="before"), **ratios(*[0.4] * 4)}
    symptom = shown("large_update", example(series=series, facts={"layers": layers}))
    assert "the kernel of dense by 0.4 times its norm, time and again; healthy is below 0.1." in symptom.message
    assert symptom.layers == ("before", "dense")


@pytest.mark.parametrize("ratio, found", [(0.099, False), (0.101, True)])
def test_a_tenth_of_the_norm(ratio, found):
    assert bool(seen("large_update", run(*[ratio] * 4))) == found


@pytest.mark.parametrize(
    "late, found",
    [
        ((0.2, 0.2, 0.2, 0.01, 0.01, 0.2), True),
        ((0.2, 0.2, 0.01, 0.01, 0.01, 0.2), True),
        ((0.2, 0.01, 0.01, 0.01, 0.01, 0.2), False),
        ((0.2, 0.2, 0.2, 0.2, 0.01, 0.01), False),
        ((0.2, 0.2, 0.2, 0.2, 0.2, 0.01, 0.01, 0.2), True),
        ((0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.01), True),
        ((0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.01, 0.01), True),
        ((0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.01, 0.01, 0.01), False),
        ((0.01, 0.2, 0.2), True),
    ],
)
def test_in_half_of_the_steps_and_of_the_last_third(late, found):
    assert bool(seen("large_update", run(*late))) == found


def test_the_first_ten_steps_are_left_out():
    assert seen("large_update", example(series=ratios(*[0.01] * 4, early=9.0))) is None
    assert shown("large_update", example(series=ratios(*[0.3] * 4, early=9.0))).first_step == 10


def test_three_samples_after_them_are_needed():
    few = "the steps were measured fewer than 3 times after step 10: train longer"
    assert refusal("large_update", run(0.3, 0.3)) == few
    assert refusal("large_update", run(0.3, NAN, 0.3)) == few
    assert shown("large_update", run(0.3, NAN, 0.3, 0.3))
    assert seen("large_update", run(0.01, 0.01, 0.01)) is None


def test_samples_that_did_not_look_are_left_out():
    assert shown("large_update", run(NAN, 0.3, NAN, 0.3, NAN, 0.3, NAN, NAN)).first_step == 11


def test_what_comes_after_nan_weights_tells_nothing():
    broken = {("dense", "kernel", "weight_nonfinite"): [0.0] * 14 + [9.0] * 4}
    assert seen("large_update", example(series={**ratios(*[0.01] * 4, *[0.5] * 4), **broken})) is None
    assert shown("large_update", example(series={**ratios(*[0.5] * 4, *[0.01] * 4), **broken}))


@pytest.mark.parametrize("parameters, found", [(31, False), (32, True), (None, True)])
def test_layers_with_few_parameters_are_left_out(parameters, found):
    assert bool(seen("large_update", run(*[0.3] * 4, layers=[{**RELU, "parameters": parameters}]))) == found


@pytest.mark.parametrize("kind, found", [("Zeros", False), ("zeros", False), ("GlorotUniform", True), (None, True)])
def test_kernels_that_start_at_zero_are_left_out(kind, found):
    layer = {**RELU, "kernel_initializer": {"class": kind} if kind else None}
    assert bool(seen("large_update", run(*[0.3] * 4, layers=[layer]))) == found


@pytest.mark.parametrize("norms, found", [((0.0, 1.0), False), ((1.0, 0.0), True), ((NAN, 0.0), True)])
def test_kernels_that_were_zero_at_the_first_step_are_left_out(norms, found):
    series = {**ratios(*[0.3] * 4), ("dense", "kernel", "weight_norm"): [norms[0], *[norms[1]] * 13]}
    assert bool(seen("large_update", example(series=series))) == found


def test_a_kernel_that_is_left_out_does_not_hide_the_others():
    series = {**ratios(*[9.0] * 4, layer="tiny"), **ratios(*[0.3] * 4)}
    symptom = shown(
        "large_update", example(series=series, facts={"layers": [{**RELU, "name": "tiny", "parameters": 4}, RELU]})
    )
    assert symptom.layers == ("dense",) and "the kernel of dense by 0.3" in symptom.message


@pytest.mark.parametrize(
    "kind",
    [
        "BatchNormalization",
        "LayerNormalization",
        "GroupNormalization",
        "RMSNormalization",
        "DropoutAwareBatchNormalization",
    ],
)
@pytest.mark.parametrize("ratio, found", [(0.99, False), (1.01, True)])
def test_a_kernel_before_a_normalization_has_no_scale(kind, ratio, found):
    symptom = seen("large_update", run(*[ratio] * 4, layers=[LINEAR, {"name": "norm", "class": kind}]))
    assert bool(symptom) == found
    if symptom:
        assert symptom.message.endswith("; healthy is below 1.") and symptom.evidence["threshold"] == 1.0


@pytest.mark.parametrize(
    "layers",
    [
        (RELU, NORM),
        (LINEAR,),
        (LINEAR, {"name": "next", "class": "Dense"}),
        (LINEAR, {"name": "next", "class": None}),
        (LINEAR, NORM, {"name": "next", "class": "Dense", "inbound": ["dense"]}),
    ],
)
def test_any_other_kernel_has_one(layers):
    assert shown("large_update", run(*[0.3] * 4, layers=layers)).evidence["threshold"] == 0.1


def test_an_activation_that_is_none_is_linear():
    assert seen("large_update", run(*[0.3] * 4, layers=[{**RELU, "activation": None}, NORM])) is None
    through = {"name": "drop", "class": "Dropout"}
    assert seen("large_update", run(*[0.3] * 4, layers=[LINEAR, through, NORM])) is None


def test_what_is_needed():
    one = example(series={("dense", "kernel", "update_ratio"): [0.3]})
    assert refusal("large_update", one) == (
        "1 training steps were sampled and 2 are needed: train longer, or lower `sample_every`"
    )
    gradients = example(series={("dense", "kernel", "gradient_rms"): [0.3] * 20})
    assert refusal("large_update", gradients) == "the weights were not measured: leave `details` of HealthMonitor on"
    assert seen("large_update", example(series={("dense", "bias", "update_ratio"): [0.3] * 20})) is None


ENDS_HIGH, ENDS_LOW = [0.69, 0.5, 0.4, 0.4, 0.4], [0.69, 0.2, 0.1, 0.1, 0.1]


def once(ratio: float, losses=ENDS_HIGH, layers=(RELU,), logs=None, extra=None, **facts):
    series = {("dense", "kernel", "update_ratio"): [0.01, ratio, *[0.01] * 12], **(extra or {})}
    return example(
        logs={"loss": losses, **(logs or {})},
        series=series,
        facts={"losses": [{"name": "binary_crossentropy"}], "layers": list(layers), **facts},
    )


def test_what_is_said_of_a_single_step():
    symptom = shown("large_update", once(0.8))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "A single step changed the kernel of dense by 0.8 times its norm; healthy is below 0.1. Little is left of what "
        "its initializer drew, and the loss got no lower than 0.4, 58% of what the best constant prediction costs."
    )
    assert symptom.layers == ("dense",) and symptom.first_step == 1
    assert symptom.evidence == pytest.approx({"update_ratio": 0.8, "threshold": 0.5})


@pytest.mark.parametrize("ratio, found", [(0.49, False), (0.51, True)])
def test_a_single_step_counts_where_it_replaces_half_a_kernel(ratio, found):
    assert bool(seen("large_update", once(ratio))) == found


@pytest.mark.parametrize("norm, found", [(0.79, False), (0.81, True)])
def test_a_kernel_that_was_drawn_faint_may_be_replaced(norm, found):
    """Of 64 units, whose weights have a norm of a tenth each at 0.8."""
    record = once(0.9, layers=({**RELU, "units": 64},), extra={("dense", "kernel", "weight_norm"): [norm] * 14})
    assert bool(seen("large_update", record)) == found


def test_steps_that_are_large_time_and_again_need_no_loss():
    series = {**ratios(*[0.9] * 6), ("", "loss", "penalty"): [0.1] * 16, ("", "loss", "value"): [0.0] * 16}
    assert shown("large_update", example(logs={"loss": [0.0] * 6}, series=series, facts={"layers": [RELU]}))


@pytest.mark.parametrize("ratio, found", [(4.9, False), (5.1, True)])
def test_a_single_step_before_a_normalization_may_be_ten_times_as_large(ratio, found):
    assert bool(seen("large_update", once(ratio, layers=(LINEAR, NORM)))) == found


@pytest.mark.parametrize(
    "losses, severity",
    [(ENDS_HIGH, "warning"), (ENDS_LOW, "info"), ([0.69, 0.6, 0.5, 0.4, 0.3], "info"), (ENDS_HIGH[:4], None)],
)
def test_a_single_step_is_an_alarm_where_the_network_does_not_get_over_it(losses, severity):
    symptom = seen("large_update", once(0.8, losses))
    assert (symptom and symptom.severity) == severity


def test_a_validation_loss_that_is_low_tells_of_a_network_that_got_over_it():
    assert shown("large_update", once(0.8, logs={"val_loss": [0.6, 0.3, 0.1, 0.1, 0.1]})).severity == "info"


def test_a_single_step_is_judged_by_a_yardstick_only():
    assert seen("large_update", once(0.8, losses=[])) is None
    assert seen("large_update", once(0.8, weighted=True)) is None
