"""Where hidden units are said to be stuck at a limit."""

import pytest
from symptom_records import NAN, SQUARED, refusal, seen, shown, targets

from kregtools.record import example

STUCK = {"loss": [1.0, 0.9]}


def layer(name: str, activation: str = "tanh", kind: str = "Dense", **facts):
    return {"name": name, "class": kind, "activation": activation, "weights": ["kernel"], **facts}


def network(*hidden: dict):
    return {"layers": [*hidden, layer("last", "linear")], "outputs": [{"layer": "last"}]}


def at_limit(*shares: float, name: str = "hidden"):
    return {(name, "activation", "saturated_fraction"): list(shares)}


def run(*shares: float, activation: str = "tanh", logs=None):
    return example(logs=logs or STUCK, series=at_limit(*shares), facts=network(layer("hidden", activation)))


def test_what_is_said():
    symptom = shown("saturated_activation", run(0.1, 0.7, NAN, 0.9, 0.8))
    assert symptom.severity == "warning"
    assert symptom.message == ("80% of the outputs of hidden are at a limit of its activation; healthy is below 50%.")
    assert symptom.layers == ("hidden",) and symptom.first_step == 1
    assert symptom.evidence == {"saturated_fraction": 0.8, "threshold": 0.5}


def test_the_worst_of_several_layers_is_named():
    series = {
        **at_limit(0.6, 0.6, 0.6, name="a"),
        **at_limit(0.4, 0.4, 0.4, name="fine"),
        **at_limit(0.1, 0.8, 0.9, name="b"),
        **at_limit(0.1, 0.7, 0.7, name="c"),
        **at_limit(0.9, 0.9, 0.1, name="over"),
        **at_limit(0.1, 0.1, 0.9, name="recent"),
        **at_limit(NAN, NAN, NAN, name="unknown"),
    }
    facts = network(*(layer(name) for name in ("a", "fine", "b", "c", "over", "recent", "unknown")))
    symptom = shown("saturated_activation", example(logs=STUCK, series=series, facts=facts))
    assert symptom.message == (
        "90% of the outputs of b are at a limit of its activation, and more than half in 2 more; healthy is below 50%."
    )
    assert symptom.layers == ("a", "b", "c") and symptom.first_step == 0
    two = {**at_limit(0.8, 0.8, name="a"), **at_limit(0.7, 0.7, name="b")}
    assert shown("saturated_activation", example(logs=STUCK, series=two, facts=facts)).message == (
        "80% of the outputs of a are at a limit of its activation, and more than half in 1 more; healthy is below 50%."
    )


@pytest.mark.parametrize(
    "shares, found",
    [
        ((0.49, 0.49), False),
        ((0.51, 0.51), True),
        ((0.9, 0.9, 0.49), False),
        ((0.1, 0.1, 0.9, 0.9), True),
        ((0.1, 0.1, 0.1, 0.9, 0.9), False),
        ((0.1, 0.9), False),
        ((0.9, 0.9, NAN), True),
        ((0.9, 0.9, NAN, NAN), True),
        ((0.1, NAN, NAN, 0.9, 0.9), True),
    ],
)
def test_more_than_half_of_them_in_half_of_the_samples_and_the_last_one(shares, found):
    assert bool(seen("saturated_activation", run(*shares))) == found


@pytest.mark.parametrize(
    "activation, judged",
    [
        *[(name, True) for name in ("sigmoid", "tanh", "hard_sigmoid", "hard_tanh")],
        *[(name, False) for name in ("softmax", "relu", "linear", None)],
    ],
)
def test_activations_with_two_limits_are_judged(activation, judged):
    assert bool(seen("saturated_activation", run(0.9, 0.9, activation=activation))) == judged


def test_every_call_of_a_shared_layer_is_judged():
    series = {**at_limit(0.1, 0.1), **at_limit(0.9, 0.9, name="hidden#1")}
    symptom = shown("saturated_activation", example(logs=STUCK, series=series, facts=network(layer("hidden"))))
    assert symptom.layers == ("hidden#1",)


def test_output_layers_are_meant_to_saturate():
    facts = {"layers": [layer("first"), layer("hidden")], "outputs": [{"layer": "hidden"}]}
    assert seen("saturated_activation", example(logs=STUCK, series=at_limit(0.9, 0.9), facts=facts)) is None
    assert shown("saturated_activation", example(logs=STUCK, series=at_limit(0.9, 0.9, name="first"), facts=facts))


@pytest.mark.parametrize("kind, judged", [("Multiply", False), ("Dot", False), ("Add", True), (None, True)])
def test_gates_are_meant_to_saturate(kind, judged):
    joined = {"name": "joined", "class": kind, "inbound": ["hidden", "other"]}
    facts = network(layer("other", "linear"), layer("hidden", "sigmoid"), joined)
    assert bool(seen("saturated_activation", example(logs=STUCK, series=at_limit(0.9, 0.9), facts=facts))) == judged


@pytest.mark.parametrize("end, found", [(0.51, True), (0.49, False)])
def test_a_run_that_has_halved_its_loss_is_no_stuck_one(end, found):
    assert bool(seen("saturated_activation", run(0.9, 0.9, logs={"loss": [1.0, end]}))) == found


def test_what_comes_after_nan_weights_tells_nothing():
    broken = {("hidden", "kernel", "weight_nonfinite"): [0, 0, 0, 9, 9, 9]}
    facts = network(layer("hidden"))
    late = {**at_limit(0.1, 0.1, 0.1, 0.9, 0.9, 0.9), **broken}
    early = {**at_limit(0.9, 0.9, 0.9, 0.1, 0.1, 0.1), **broken}
    assert seen("saturated_activation", example(logs=STUCK, series=late, facts=facts)) is None
    assert shown("saturated_activation", example(logs=STUCK, series=early, facts=facts))


@pytest.mark.parametrize("shares", [(NAN, NAN), (0.9, NAN), (NAN, 0.1)])
def test_two_finite_samples_are_needed(shares):
    assert refusal("saturated_activation", run(*shares)) == (
        "the activations were finite in fewer than two sampled steps: train longer"
    )


def test_a_layer_that_was_not_measured_does_not_hide_the_other():
    series = {**at_limit(NAN, NAN, NAN, name="a"), **at_limit(0.9, NAN, 0.9)}
    symptom = shown(
        "saturated_activation", example(logs=STUCK, series=series, facts=network(layer("a"), layer("hidden")))
    )
    assert symptom.layers == ("hidden",) and symptom.evidence["saturated_fraction"] == 0.9


def test_what_is_needed():
    assert refusal("saturated_activation", run(0.9)) == (
        "1 training steps were sampled and 2 are needed: train longer, or lower `sample_every`"
    )
    assert seen("saturated_activation", example(series={("hidden", "activation", "std"): [1.0, 1.0]})) is None
    assert seen("saturated_activation", example(logs=STUCK, series=at_limit(0.9, 0.9, name="unknown"))) is None


@pytest.mark.parametrize(
    "validation, shares, found",
    [
        ([0.9, 0.8, 0.51], (0.6, 0.6, 0.6), True),
        ([0.9, 0.49, 0.9], (0.6, 0.6, 0.6), False),
        ([0.9, NAN, 0.51], (0.6, 0.6, 0.6), True),
        ([NAN, NAN, NAN], (0.6, 0.6, 0.6), False),
        ([0.9, 0.8, 0.51], (0.49, 0.6, 0.6, 0.6), False),
        ([0.9, 0.8, 0.51], (0.51, 0.6, 0.6, 0.6), True),
        ([0.9, 0.8, 0.51], (0.6, 0.6, 0.4), False),
    ],
)
def test_what_started_at_a_limit_is_judged_by_the_validation_loss(validation, shares, found):
    """The training rows were learned by heart: their loss, a tenth of the constant's, says nothing."""
    record = example(
        logs={"loss": [0.9, 0.4, 0.1], "val_loss": validation},
        series={**at_limit(*shares), **targets(len(shares))},
        facts={**network(layer("hidden")), **SQUARED},
    )
    assert bool(seen("saturated_activation", record)) == found
