"""The figures: what they show, and that they are drawn without pyplot."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.report import plots
from kregtools.symptoms import SYMPTOMS

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}
NAN = float("nan")
PLOTS = [getattr(plots, name) for name in plots.__all__ if name.startswith("plot_")]
NASTY = '<script>alert("$x^{")</script>'


def watched(layers, samples: int = 6):
    series = {}
    for index, layer in enumerate(layers):
        series[layer, "activation", "std"] = [0.5 + index] * samples
        series[layer, "activation", "dead_units"] = [NAN, *[8.0 * index] * (samples - 1)]
        series[layer, "activation", "units"] = [64.0] * samples
        for statistic in ("gradient_rms", "gradient_norm"):
            series[layer, "kernel", statistic] = [10.0**-index] * samples
        series[layer, "kernel", "update_ratio"] = [1e-3] * samples
        for tensor in ("activation", "kernel"):
            series[layer, tensor, "magnitude_below_1e-9"] = [0.25, NAN] * (samples // 2)
            series[layer, tensor, "magnitude_1e-1"] = [0.5, NAN] * (samples // 2)
            series[layer, tensor, "magnitude_1e0"] = [0.25, NAN] * (samples // 2)
        series[layer, "moving_variance", "variance_ratio"] = [NAN, 2.0] * (samples // 2)
    return series


RECORDS = {
    "nothing": example(),
    "logs alone": example(logs=OVERFIT),
    "no validation": example(logs={"loss": [0.5, 0.4]}, series=watched("ab")),
    "steps alone": example(series=watched("abc")),
    "one step": example(series=watched(["only"], 2)),
    "NaN": example(logs={"loss": [NAN, NAN]}, series={("dense", "activation", "std"): [NAN, NAN]}),
    "zeros": example(logs={"loss": [0.0, 0.0]}, series={("dense", "kernel", "gradient_rms"): [0.0, 0.0]}),
    "odd names": example(logs={NASTY: [1.0]}, series=watched([NASTY, "層/\U0001f600", "a" * 90, "nul\x00", "$"])),
    "deep": example(series=watched([f"block_{index}/dense" for index in range(200)])),
}


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_each_has_its_data_and_takes_a_record_and_axes(plot):
    data = getattr(plots, plot.__name__.replace("plot_", "") + "_data")
    assert list(inspect.signature(plot).parameters)[:2] == ["record", "ax"]
    assert next(iter(inspect.signature(data).parameters)) == "record"


@pytest.mark.parametrize("record", RECORDS.values(), ids=RECORDS)
@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_every_record_can_be_drawn_on_axes_of_ones_own(plot, record):
    ax = Figure().add_subplot()
    assert plot(record, ax) is ax
    assert plot(record).figure is not ax.figure


def test_pyplot_stays_unused():
    code = (
        "import sys; from kregtools.record import example; from kregtools.report import plots\n"
        "plots.plot_curve(example(logs={'loss': [1.0, 0.5]})).figure.savefig(sys.argv[1])\n"
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, "/dev/null"], capture_output=True).returncode in (0,)


# ---- what they show


def test_a_curve_comes_with_the_onset_and_the_best_epoch():
    record = example(logs={**OVERFIT, "accuracy": [0.5, 0.6, 0.7, 0.8, 0.9], "kreg/findings": [0.0] * 5})
    assert plots.metrics(record) == ["loss", "accuracy"]
    loss, accuracy = plots.curve_data(record), plots.curve_data(record, metric="accuracy")
    assert (loss.onset, loss.best, loss.epochs.tolist()) == (2, 2, [1, 2, 3, 4, 5])
    assert loss.validation.tolist() == OVERFIT["val_loss"] and not accuracy.validation.size


def test_the_best_epoch_without_validation_is_that_of_the_training_loss():
    curve = plots.curve_data(example(logs={"loss": [0.5, 0.2, NAN]}))
    assert (curve.best, curve.onset) == (2, None)


def test_heat_maps_are_layers_by_samples_with_a_healthy_band():
    record = example(series=watched(["first", "second"]))
    std, dead = plots.activation_std_data(record), plots.dead_fraction_data(record)
    norm, ratio = plots.gradient_norm_data(record), plots.update_ratio_data(record)
    assert std.layers == ["first", "second"] and std.values.shape == (2, 6)
    assert dead.values[:, -1].tolist() == [0.0, 0.125] and dead.steps.tolist() == [1, 2, 3, 4, 5]
    assert norm.values[:, 0].tolist() == [1.0, 0.1]
    assert all(heat.band[0] < heat.band[1] for heat in (std, dead, norm, ratio))
    assert ratio.band[0] < 1e-3 < ratio.band[1]


def test_of_many_samples_a_heat_map_keeps_its_range_in_time():
    heat = plots.activation_std_data(example(series=watched("a", 2000)))
    assert heat.values.shape[1] <= 100 and heat.steps[0] == 0 and heat.steps[-1] >= 1970


def test_the_gradient_by_depth_has_three_times_and_a_band_around_the_last_layer():
    flow = plots.gradient_flow_data(example(series=watched("abc")))
    assert list(flow.gradients) == ["at first", "halfway", "at the end"]
    assert flow.gradients["at the end"].tolist() == [1.0, 0.1, 0.01]
    assert flow.band == (pytest.approx(1e-5), pytest.approx(10.0))


@pytest.mark.parametrize("samples, times", [(1, ["at first"]), (2, ["at first", "at the end"])])
def test_the_gradient_by_depth_of_few_samples_has_fewer_times(samples, times):
    series = {("a", "kernel", "gradient_rms"): [1.0] * samples}
    assert list(plots.gradient_flow_data(example(series=series)).gradients) == times


def test_distributions_are_the_shares_by_decade_where_there_were_details():
    found = plots.distribution_data(example(series=watched("ab")), layer="b", tensor="kernel")
    assert found.decades == (-np.inf, -1.0, 0.0) and found.steps.tolist() == [0, 2, 4]
    assert found.shares.sum(axis=0).tolist() == [1.0] * 3
    assert plots.distribution_data(example(series=watched("ab"))).layer == "a"


def test_the_variance_shift_has_what_was_measured():
    shift = plots.variance_shift_data(example(series=watched("a")))
    assert shift.steps.tolist() == [1, 3, 5] and shift.ratios.tolist() == [[2.0] * 3]
    assert shift.band[0] < 1 < shift.band[1] < 2


# ---- evidence


@pytest.mark.parametrize("rule", SYMPTOMS, ids=lambda rule: rule.name)
def test_the_evidence_of_every_symptom_has_something_to_show(rule):
    shown = []
    for record in rule.SICK:
        symptom = next(symptom for symptom in diagnose(record).symptoms if symptom.name == rule.name)
        evidence = plots.evidence_data(record, symptom)
        shown.append(any(np.isfinite(values).any() for values in evidence.lines.values()))
        assert plots.plot_evidence(record, symptom=symptom).get_lines() or not shown[-1]
    assert any(shown)


def test_evidence_is_the_series_that_was_judged_of_the_layers_that_show_it():
    series = watched(["a", "b", "c"])
    series["b", "activation", "dead_units"] = [NAN, NAN, 40.0, 48.0, 60.0, 64.0]
    record = example(series=series)
    symptom = next(symptom for symptom in diagnose(record).symptoms if symptom.name == "dead_relu")
    evidence = plots.evidence_data(record, symptom)
    assert list(evidence.lines) == ["b"] and set(evidence.others) == {"a", "c"}
    assert evidence.lines["b"][-1] == 1.0 and evidence.limits == {"limit": 0.5} and evidence.began == 2


def test_evidence_of_what_is_judged_by_epoch_is_the_losses():
    record = example(logs=OVERFIT)
    evidence = plots.evidence_data(record, diagnose(record).symptoms[0])
    assert list(evidence.lines) == ["training", "validation"] and (evidence.along, evidence.began) == ("epoch", 2)


def test_gradients_that_are_zero_are_not_said_to_be_unmeasured():
    def said(record):
        return [text.get_text() for text in plots.plot_gradient_flow(record).texts]

    zeros = example(series={("a", "kernel", "gradient_rms"): [0.0] * 30})
    assert said(zeros) == ["the gradients are zero"] and said(example()) == ["no gradient was measured in this run"]
    begins = example(series={("a", "kernel", "gradient_rms"): [2.0] * 3 + [0.0] * 27})
    assert plots.gradient_flow_data(begins).gradients["at first"].tolist() == [2.0]


def test_a_metric_that_was_not_logged_is_an_error_that_lists_those_there_are():
    with pytest.raises(ValueError, match=r"Unknown metric. Received: metric='auc'. Expected one of: loss\."):
        plots.plot_curve(example(logs=OVERFIT), metric="auc")


def test_a_layer_without_a_distribution_is_an_error_that_lists_those_with_one():
    with pytest.raises(ValueError, match=r"Unknown layer. Received: layer='z'. Expected one of: a, b\."):
        plots.plot_distribution(example(series=watched("ab")), layer="z")
