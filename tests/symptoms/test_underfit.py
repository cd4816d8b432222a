"""Where a network is said not to fit its training data, and what is said of one of which that cannot be told."""

import pytest
from symptom_records import NAN, REGULARIZED, SQUARED, labels, refusal, seen, shown, targets

from kregtools.record import example

# Of a run that had fallen to 98 % at its start, and stays where it is.
FLAT = [1.1, 0.98]


def run(losses: list[float], facts=None, series=None, **logs: list[float]):
    return example(
        logs={"loss": losses, **logs}, facts={**SQUARED, **(facts or {})}, series={**targets(), **(series or {})}
    )


def classifier(*units: int):
    """Facts of a classifier of ten classes with so many units a hidden layer."""
    names = [f"hidden_{index}" for index in range(len(units))]
    layers = [
        {"name": name, "class": "Dense", "units": width, "weights": ["kernel"]}
        for name, width in zip(names, units, strict=True)
    ]
    last = {"name": "last", "class": "Dense", "units": 10, "weights": ["kernel"]}
    return {
        "losses": [{"name": "sparse_categorical_crossentropy"}],
        "outputs": [{"tensor": "output", "target": "target", "shape": [None, 10], "layer": "last"}],
        "layers": [*layers, last],
    }


def test_what_is_said():
    symptom = shown("underfit", run([*FLAT, 0.96, 0.96, 0.96]))
    assert symptom.severity == "warning"
    assert symptom.message == (
        "The training loss ends at 0.96, 96% of what the best constant prediction costs (1); a network that fits is "
        "below 60%."
    )
    assert symptom.layers == () and symptom.first_step == 49
    assert symptom.evidence == {"loss": 0.96, "constant_loss": 1.0, "ratio": 0.96, "threshold": 0.95}


@pytest.mark.parametrize("scale", [1e-3, 100.0])
def test_it_does_not_depend_on_the_scale(scale):
    losses = [value * scale for value in (*FLAT, 0.97, 0.97, 0.97)]
    symptom = shown("underfit", run(losses, series=targets(mean=5.0, std=scale**0.5)))
    assert symptom.evidence["ratio"] == pytest.approx(0.97)
    assert " 97% of what the best constant prediction costs " in symptom.message
    middling = [*losses[:2], *[0.7 * scale] * 3]
    assert " 70% of what the best constant prediction costs" in refusal(
        "underfit", run(middling, series=targets(mean=5.0, std=scale**0.5))
    )


@pytest.mark.parametrize("level", [0.59, 0.3])
def test_below_three_fifths_is_a_fit(level):
    assert seen("underfit", run([*FLAT, level, level, level])) is None


@pytest.mark.parametrize("level", [0.61, 0.79, 0.81, 0.94])
def test_between_three_fifths_and_a_constants_it_cannot_be_told(level):
    assert refusal("underfit", run([*FLAT, level, level, level])) == (
        f"the loss gets no lower than {level}, {level:.0%} of what the best constant prediction costs: below 60% would "
        "be a fit and above 95% none, and between them the network is too small, or the labels are noise. Train one "
        "with 4 times the units: if its training loss is no lower, it is noise"
    )


@pytest.mark.parametrize("level", [0.96, 0.99, 1.2])
def test_near_the_constants_is_none(level):
    assert shown("underfit", run([1.1, 0.99, level, level, level]))


def model(*hidden, **facts):
    """A `Sequential` of one output."""
    last = {"name": "last", "class": "Dense", "units": 1, "activation": "linear", "weights": ["kernel"]}
    return {"model": {"class": "Sequential"}, "layers": [*hidden, last], **facts}


def dense(units: int = 64, activation: str = "relu", **facts):
    return {
        **{"name": "hidden", "class": "Dense", "units": units, "activation": activation, "weights": ["kernel"]},
        **facts,
    }


def penalized(share: float):
    return {("", "loss", "value"): [1.0], ("", "loss", "penalty"): [share]}


def updates(*ratios: float):
    return {**targets(len(ratios)), ("hidden", "kernel", "update_ratio"): list(ratios)}


HINDRANCES = {
    "few units": (model(dense(3)), {}, "hidden has 3 units"),
    "one unit": (model(dense(1)), {}, "hidden has 1 unit"),
    "linear": (model(dense(activation="linear")), {}, "its hidden layers are linear"),
    "a linear graph": (
        {**model(dense(activation="linear")), "model": {"class": "Functional", "functions": []}},
        {},
        "its hidden layers are linear",
    ),
    "dropout": (model(dense(), {"name": "drop", "class": "Dropout", "rate": 0.75}), {}, "drop drops 75% of what it is"),
    "penalty": (model(dense()), penalized(0.6), "penalties are up to 60% of the loss"),
    "decay": (model(dense(), optimizer={"weight_decay": 0.1}), {}, "the optimizer decays the weights by 0.1"),
    "frozen": (model(dense(trainable=False), dense(name="b", trainable=False)), {}, "2 of 3 layers with a kernel are"),
}
SOUND = {
    "four units": (model(dense(4)), {}),
    "one bend": (model(dense(activation="linear"), dense(name="b")), {}),
    "another class": (model(dense(activation="linear"), {"name": "mine", "class": "Mine"}), {}),
    "linear on purpose": (model(), {}),
    "a graph with a function": (
        {**model(dense(activation="linear")), "model": {"class": "Functional", "functions": ["Relu"]}},
        {},
    ),
    "a graph that may hide something": ({**model(dense(activation="linear")), "model": {"class": "Functional"}}, {}),
    "dropout": (model(dense(), {"name": "drop", "class": "Dropout", "rate": 0.7}), {}),
    "penalty": (model(dense()), penalized(0.04)),
    "decay": (model(dense(), optimizer={"weight_decay": 0.09}), {}),
    "steps": (model(dense()), updates(1e-2, 1e-2, 1e-2, 1.1e-5, 1.1e-5)),
    "frozen": (model(dense(trainable=False)), {}),
}


@pytest.mark.parametrize("facts, series, said", HINDRANCES.values(), ids=HINDRANCES)
def test_above_four_fifths_what_holds_it_back_is_said(facts, series, said):
    scale = 2.5 if ("", "loss", "penalty") in series else 1.0
    high, low = ([1.1 * scale, scale, *[level * scale] * 3] for level in (0.9, 0.75))
    assert f" What may hold it back: {said}" in shown("underfit", run(high, facts, series)).message
    assert "labels are noise" in refusal("underfit", run(low, facts, series))


@pytest.mark.parametrize("level", [0.61, 0.75, 0.9])
def test_a_network_whose_steps_have_come_to_rest_is_told_wherever_it_stands(level):
    losses, series = [1.1, 1.0, *[level] * 3], updates(1e-2, 1e-2, 1e-2, 9e-6, 9e-6)
    said = " What may hold it back: in its second half a step changes kernels by 9e-06 of their size at most."
    assert said in shown("underfit", run(losses, model(dense()), series)).message


@pytest.mark.parametrize("facts, series", SOUND.values(), ids=SOUND)
def test_where_nothing_holds_it_back_it_cannot_be_told(facts, series):
    assert "labels are noise" in refusal("underfit", run([*FLAT, 0.9, 0.9, 0.9], facts, series))


def test_the_lowest_loss_counts_and_the_last_is_told():
    symptom = shown("underfit", run([1.1, 0.96, 0.99, 0.98, 0.99]))
    assert symptom.evidence["ratio"] == pytest.approx(0.99)
    assert seen("underfit", run([1.1, 0.5, 0.9, 0.88, 0.95])) is None


@pytest.mark.parametrize("validation, found", [(0.96, True), (0.55, False)])
def test_the_validation_loss_counts_too(validation, found):
    assert bool(seen("underfit", run([*FLAT, 0.97, 0.97, 0.97], val_loss=[validation] * 5))) == found


@pytest.mark.parametrize("end, found", [(0.853, False), (0.863, True)])
def test_a_loss_that_would_get_there_in_as_many_epochs_again_is_no_underfit(end, found):
    """It falls in three of five epochs, and by 0.91 less `end` in the last fifth: five times that again, from 0.858."""
    assert bool(seen("underfit", run([0.95, 0.9, 0.92, 0.92, 0.91, end], model(dense(2))))) == found


@pytest.mark.parametrize("falls, found", [([0.02] * 5, False), ([0.02, 0.01, 0.005, 0.002, 0.001], True)])
def test_a_loss_that_falls_in_a_straight_line_is_slow_instead(falls, found):
    losses = [1.0]
    for fall in falls:
        losses.append(losses[-1] - fall)
    assert bool(seen("underfit", run(losses))) == found


def test_a_loss_above_the_constants_is_underfit_however_it_falls():
    assert shown("underfit", run([3.0, 2.5, 2.0, 1.5, 1.01]))
    assert seen("underfit", run([3.0, 2.5, 2.0, 1.5, 0.99])) is None


def test_penalties_are_left_out():
    half = {("", "loss", "value"): [1.0], ("", "loss", "penalty"): [0.5]}
    assert seen("underfit", run([*FLAT, 0.9, 0.9, 0.9], REGULARIZED, half)) is None
    assert shown("underfit", run([2.2, 2.0, 1.94, 1.94, 1.94], REGULARIZED, half)).evidence["loss"] == pytest.approx(
        0.97
    )


def test_a_penalty_of_unknown_size_cannot_be_told_from_underfit():
    assert refusal("underfit", run([*FLAT, 0.9, 0.9, 0.9], REGULARIZED)) == (
        "the loss includes penalties of unknown size: use HealthMonitor, which takes them off"
    )
    assert seen("underfit", run([*FLAT, 0.5, 0.5, 0.5], REGULARIZED)) is None


def test_a_run_that_became_nan_is_another_symptom():
    assert seen("underfit", run([0.9, 0.9, NAN, 0.9, 0.9])) is None


def test_what_is_needed():
    assert refusal("underfit", run([0.9] * 4)) == "4 epochs were run and 5 are needed: raise `epochs`"
    assert refusal("underfit", example(logs={"loss": [0.9] * 5})) == (
        "the loss of the best constant prediction is not known: it takes HealthMonitor, which sees the targets, and a "
        "crossentropy, a squared error or the like that these targets suit"
    )


def test_a_hidden_layer_that_is_too_narrow_is_said():
    losses = [2.3, 1.9, 1.7, 1.65, 1.64, 1.64]
    one = shown("underfit", example(logs={"loss": losses}, facts=classifier(64, 1), series=labels(*[10] * 10)))
    assert one.message.endswith("is below 60%. What may hold it back: hidden_1 has 1 unit for 10 classes.")
    three = shown("underfit", example(logs={"loss": losses}, facts=classifier(3, 64), series=labels(*[10] * 10)))
    assert three.message.endswith(" What may hold it back: hidden_0 has 3 units for 10 classes.")
    wide = example(logs={"loss": losses}, facts=classifier(4, 64), series=labels(*[10] * 10))
    assert "between them the network is too small" in refusal("underfit", wide)


def two_outputs(first: str, second: str, loss: str = "mean_squared_error"):
    sides = {"left": first, "right": second}
    return example(
        logs={"loss": [3.0, 1.6, 1.5, 1.5, 1.5]},
        facts={
            "losses": [{"name": loss, "target": f"target:{side}"} for side in sides],
            "outputs": [{"tensor": f"output:{side}", "activation": name} for side, name in sides.items()],
        },
        series={
            ("", f"target:{side}", name): [value]
            for side in sides
            for name, value in {"mean": 0.0, "std": 1.0, "min": -3.0, "max": 3.0}.items()
        },
    )


def test_an_activation_that_cannot_give_the_targets_is_said():
    reason = " What may hold it back: the targets range from -3 to 3, and {} gives {}."
    assert shown("underfit", two_outputs("sigmoid", "linear")).message.endswith(reason.format("sigmoid", "0 to 1"))
    assert shown("underfit", two_outputs("linear", "relu")).message.endswith(reason.format("relu", "nothing below 0"))
    assert "labels are noise" in refusal("underfit", two_outputs("linear", "linear"))


def test_an_activation_is_judged_by_the_targets_of_a_regression_alone():
    """The rate of a Poisson distribution need not reach the largest count."""
    counts = {"mean": 0.5, "std": 1.0, "min": 0.0, "max": 10.0}
    facts = {"losses": [{"name": "poisson"}], "outputs": [{"activation": "sigmoid", "shape": [None, 1]}]}
    record = example(logs={"loss": [0.8, 0.6, 0.6, 0.6, 0.6]}, facts=facts, series=targets(**counts))
    assert "a loss of 0.6 may be high or low" in refusal("underfit", record)


def test_an_activation_is_not_judged_where_it_is_not_known_which_targets_are_its_own():
    record = two_outputs("sigmoid", "sigmoid")
    record.add_facts({"outputs": [{"activation": "sigmoid"}]})
    assert "labels are noise" in refusal("underfit", record)


@pytest.mark.parametrize("end, found", [(0.5, True), (0.31, True), (0.29, False)])
def test_targets_out_of_reach_count_from_thirty_percent_on(end, found):
    output = {"tensor": "output", "target": "target", "shape": [None, 1], "activation": "relu"}
    facts = {"losses": [{"name": "mean_squared_error", "target": "target"}], "outputs": [output]}
    known = {"count": 64.0, "mean": 0.0, "std": 1.0, "min": -3.0, "max": 3.0}
    series = {("", "target", name): [value] * 2 for name, value in known.items()}
    record = example(logs={"loss": [1.0, 0.8, end, end, end, end]}, facts=facts, series=series)
    assert bool(seen("underfit", record)) == found
    if found:
        assert f"{end:.0%} of what" in shown("underfit", record).message
        assert "a network that fits is below 30%. What may hold it back: the targets range" in (
            shown("underfit", record).message
        )
    few_below = {**series, ("", "target", "mean"): [1.5] * 2, ("", "target", "min"): [-0.8] * 2}
    assert seen("underfit", example(logs={"loss": [1.0, 0.8, *[0.5] * 4]}, facts=facts, series=few_below)) is None
