"""Where dropout feeds a batch normalization."""

import pytest

from kregtools.record import example
from kregtools.symptoms.dropout_graph import norms_fed_by_dropout

NORM = {"name": "norm", "class": "BatchNormalization"}
DENSE = {"name": "dense", "class": "Dense"}


def dropout(name: str = "drop", **settings):
    return {"name": name, "class": "Dropout", "rate": 0.5, **settings}


def fed(*layers: dict) -> dict[str, str]:
    return norms_fed_by_dropout(example(facts={"layers": list(layers)}))


@pytest.mark.parametrize("kind", ["BatchNormalization", "DropoutAwareBatchNormalization"])
def test_dropout_feeds_it_at_any_distance(kind):
    norm = {**NORM, "class": kind}
    assert fed(dropout(), norm) == {"norm": "drop"}
    assert fed(dropout(), DENSE, {"name": "relu", "class": "ReLU"}, norm) == {"norm": "drop"}
    assert fed(norm, dropout()) == {}
    assert fed(DENSE, norm) == {} and fed(norm) == {} and fed() == {}


def test_the_nearest_dropout_is_named():
    assert fed(dropout("far"), dropout("near"), DENSE, NORM) == {"norm": "near"}
    branches = [
        dropout("far", inbound=[]),
        {"name": "left", "class": "Dense", "inbound": ["far"]},
        dropout("near", inbound=[]),
        {"name": "sum", "class": "Add", "inbound": ["left", "near"]},
        {**NORM, "inbound": ["sum"]},
    ]
    assert fed(*branches) == {"norm": "near"}


def test_each_norm_is_found():
    assert fed(dropout("a"), NORM, dropout("b"), {**NORM, "name": "norm_1"}) == {"norm": "a", "norm_1": "b"}
    assert fed(NORM, dropout("b"), {**NORM, "name": "norm_1"}) == {"norm_1": "b"}


def test_a_norm_that_is_not_trained_has_statistics_of_its_own():
    assert fed(dropout(), {**NORM, "trainable": False}, {**NORM, "name": "norm_1", "trainable": True}) == {
        "norm_1": "drop"
    }


def test_other_normalizations_have_no_moving_averages():
    assert fed(dropout(), {"name": "norm", "class": "LayerNormalization"}) == {}


@pytest.mark.parametrize(
    "layer, drops",
    [
        (dropout(rate=0.0), False),
        (dropout(rate=None), True),
        ({"class": "SpatialDropout2D", "rate": 0.1}, True),
        ({"class": "GaussianDropout", "rate": 0.0}, False),
        ({"class": "AlphaDropout"}, True),
        ({"class": "LSTM", "dropout": 0.2}, True),
        ({"class": "LSTM", "recurrent_dropout": 0.2}, True),
        ({"class": "LSTM", "dropout": 0.0, "recurrent_dropout": 0.0}, False),
        ({"class": None}, False),
        ({"class": "Dense", "rate": 0.5}, False),
    ],
)
def test_what_drops(layer, drops):
    assert fed({**layer, "name": "drop"}, NORM) == ({"norm": "drop"} if drops else {})


def test_a_layer_without_facts_drops_nothing():
    assert fed({**NORM, "inbound": ["unknown"]}) == {}


def test_a_graph_that_comes_round_is_walked_once():
    loop = [{"name": "a", "class": "Add", "inbound": ["b", "norm"]}, {"name": "b", "class": "Add", "inbound": ["a"]}]
    assert fed(*loop, {**NORM, "inbound": ["b"]}) == {}
    assert fed(*loop, dropout(inbound=[]), {**NORM, "inbound": ["b", "drop"]}) == {"norm": "drop"}
