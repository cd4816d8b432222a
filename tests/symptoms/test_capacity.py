"""What a network cannot do whatever its weights are."""

import math

import pytest
from symptom_records import targets

from kregtools.record import example
from kregtools.record.targets import Targets
from kregtools.symptoms.capacity import out_of_reach, too_narrow


def between(low: float, high: float, std: float = 1.0) -> Targets:
    mean = (low + high) / 2
    return Targets(example(series=targets(mean=mean, std=std, min=low, max=high)), "target")


@pytest.mark.parametrize(
    "activation, low, high",
    [
        *[(name, 0.0, 1.0) for name in ("sigmoid", "hard_sigmoid", "softmax")],
        *[(name, -1.0, 1.0) for name in ("tanh", "hard_tanh", "softsign")],
        *[(name, 0.0, math.inf) for name in ("relu", "softplus", "exponential")],
        ("relu6", 0.0, 6.0),
    ],
)
def test_targets_beyond_half_a_standard_deviation_are_out_of_reach(activation, low, high):
    top = min(high, 1e6)
    assert out_of_reach(activation, between(low, top)) is None
    assert out_of_reach(activation, between(low - 0.49, top)) is None
    assert out_of_reach(activation, between(low - 0.51, top))
    assert bool(out_of_reach(activation, between(low, top + 0.49))) is False
    assert bool(out_of_reach(activation, between(low, top + 0.51))) == (high < math.inf)


def test_half_a_standard_deviation_grows_with_the_spread():
    assert out_of_reach("tanh", between(-2.9, 1.0, std=4.0)) is None
    assert out_of_reach("tanh", between(-3.1, 1.0, std=4.0))


def test_what_is_said_of_targets_out_of_reach():
    assert (
        out_of_reach("tanh", between(-2.0, 40.5, std=12.0))
        == "the targets range from -2 to 40.5, and tanh gives -1 to 1"
    )
    assert (
        out_of_reach("relu", between(-3.1415, 2.0))
        == "the targets range from -3.14 to 2, and relu gives nothing below 0"
    )


@pytest.mark.parametrize("low", [-1.0, 0.0])
def test_a_hinge_loss_asks_for_minus_one_however_the_labels_are_given(low):
    said = "the targets range from -1 to 1, and sigmoid gives 0 to 1"
    for loss in ("hinge", "squared_hinge"):
        assert out_of_reach("sigmoid", between(low, 1.0), loss) == said
        assert out_of_reach("tanh", between(low, 1.0), loss) is None
    assert out_of_reach("sigmoid", between(0.0, 1.0), "mean_squared_error") is None


@pytest.mark.parametrize("activation", ["linear", "gelu", "my_own", None])
def test_an_activation_of_unknown_range_reaches_everything(activation):
    assert out_of_reach(activation, between(-1e6, 1e6)) is None


def test_targets_that_were_not_recorded_are_not_out_of_reach():
    assert out_of_reach("sigmoid", Targets(example(), "target")) is None


LAST = {"name": "last", "class": "Dense", "units": 1, "weights": ["kernel"]}


def classifier(*hidden: dict, classes: int | None = 8, loss: str = "sparse_categorical_crossentropy", **facts):
    return example(
        facts={
            "losses": [{"name": loss}],
            "outputs": [{"shape": [None, classes], "layer": "last"}],
            "layers": [*hidden, LAST],
            **facts,
        }
    )


def dense(units: int, name: str = "hidden") -> dict:
    return {"name": name, "class": "Dense", "units": units, "weights": ["kernel"]}


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
@pytest.mark.parametrize(
    "units, classes, narrow", [(3, 8, False), (2, 8, True), (3, 9, True), (4, 9, False), (1, 3, True)]
)
def test_a_layer_has_at_least_as_many_units_as_bits_tell_the_classes_apart(units, classes, narrow, loss):
    assert bool(too_narrow(classifier(dense(units), classes=classes, loss=loss))) == narrow


def test_the_narrowest_layer_is_named():
    assert (
        too_narrow(classifier(dense(2, "wide"), dense(1, "narrow"), dense(2, "wide_too")))
        == "narrow has 1 unit for 8 classes"
    )
    assert too_narrow(classifier(dense(2, "wide"), dense(9, "wider"))) == "wide has 2 units for 8 classes"


def test_the_output_layer_is_as_wide_as_it_should_be():
    assert too_narrow(classifier()) is None
    assert too_narrow(classifier({"name": "flatten", "class": "Flatten"})) is None


def test_layers_without_units_hold_nothing_up():
    drop = {"name": "dropout", "class": "Dropout"}
    assert too_narrow(classifier(dense(9), drop)) is None
    assert too_narrow(classifier(dense(1), drop)) == "hidden has 1 unit for 8 classes"


@pytest.mark.parametrize(
    "facts",
    [
        {"losses": []},
        {"losses": None},
        {"losses": [{"name": "mean_squared_error"}]},
        {"losses": [{"name": "sparse_categorical_crossentropy"}] * 2},
        {"outputs": []},
        {"outputs": None},
        {"outputs": [{"shape": [None, 8], "layer": "last"}, {"shape": [None, 8], "layer": "last"}]},
        {"outputs": [{"shape": None, "layer": "last"}]},
        {"outputs": [{"shape": [None, None], "layer": "last"}]},
        {"outputs": [{"layer": "last"}]},
    ],
)
def test_nothing_is_said_where_the_classes_are_not_known(facts):
    assert too_narrow(classifier(dense(1), **facts)) is None
