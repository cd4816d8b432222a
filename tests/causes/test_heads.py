"""What causes read of the outputs of a network and of their targets."""

import pytest

from kregtools.causes.evidence import fitting, heads
from kregtools.record import example

NAN = float("nan")
TWO = {"mean": 0.3, "std": 0.21**0.5, "min": 0.0, "max": 1.0}


def seen(
    units: int | None = None, loss: str = "huber", name: str = "target", means: list[float] | None = None, **values
):
    """An output of so many units, and statistics of its targets."""
    means = means or [values.pop("mean", 0.0)]
    series = {("", name, statistic): [value] * len(means) for statistic, value in values.items()}
    series |= {("", name, "mean"): means} if values else {}
    output = {"tensor": name.replace("target", "output"), "target": name, "shape": [None, units] if units else None}
    return example(facts={"losses": [{"name": loss, "target": name}], "outputs": [output]}, series=series)


def kind(record) -> str:
    (head,) = heads(record)
    return head.kind


def test_an_output_with_all_that_is_known_of_it():
    facts = {
        "losses": [{"name": "binary_crossentropy", "from_logits": True, "target": "target:b", "label_smoothing": 0.1}],
        "outputs": [
            {"tensor": "output:a", "target": "target:a", "activation": "relu", "shape": [None, 5]},
            {"tensor": "output:b", "target": "target:b", "activation": "sigmoid", "shape": [None, 7, 1]},
        ],
    }
    (head,) = heads(example(facts=facts, series={("", "target:b", name): [value] for name, value in TWO.items()}))
    assert (head.loss, head.from_logits, head.settings) == ("binary_crossentropy", True, facts["losses"][0])
    assert (head.activation, head.units, head.output, head.target) == ("sigmoid", 1, "output:b", "target:b")
    assert head.kind == "binary" and head.targets.mean == 0.3


def test_an_output_of_which_little_is_known():
    (head,) = heads(example(facts={"losses": [{}]}))
    assert (head.loss, head.from_logits, head.settings, head.activation) == ("", False, {}, None)
    assert (head.units, head.output, head.target, head.kind) == (None, "output", "target", "unknown")
    (head,) = heads(example(facts={"losses": [{"name": "huber", "target": "target:a"}], "outputs": None}))
    assert (head.output, head.target) == ("output:a", "target:a")
    assert heads(example()) == [] and heads(example(facts={"losses": None})) == []


def test_tensors_may_have_names_of_their_own():
    output = {"tensor": "output:0", "target": "target:y", "shape": [None, 1]}
    (head,) = heads(example(facts={"losses": [{"name": "huber"}], "outputs": [output]}))
    assert (head.output, head.target) == ("output:0", "target:y")
    (head,) = heads(example(facts={"losses": [{"name": "huber", "target": "target:target"}]}))
    assert (head.output, head.target) == ("output:target", "target:target")


def test_the_only_output_is_that_of_the_loss():
    facts = {"losses": [{"name": "huber"}], "outputs": [{"activation": "relu", "shape": [None, 2]}]}
    (head,) = heads(example(facts=facts))
    assert (head.activation, head.units, head.output) == ("relu", 2, "output")
    (head,) = heads(example(facts={**facts, "outputs": facts["outputs"] * 2}))
    assert (head.activation, head.units) == (None, None)


@pytest.mark.parametrize(
    "record, expected",
    [
        (seen(1), "unknown"),
        (seen(4, labels_out_of_range=0.0, mean=1.5), "labels"),
        (seen(1, **TWO), "binary"),
        (seen(None, **TWO), "binary"),
        (seen(1, mean=0.4, std=0.5, min=-1.0, max=1.0), "numbers"),
        (seen(1, mean=0.0, std=1.0, min=-1.0, max=1.0), "binary"),
        (seen(1, mean=1.5, std=0.5, min=1.0, max=2.0), "binary"),
        (seen(1, mean=3.0, std=1.0, min=2.0, max=4.0), "numbers"),
        (seen(1, mean=51.0, std=102.0, min=0.0, max=255.0, integer_fraction=1.0), "binary"),
        (seen(1, mean=51.0, std=60.0, min=0.0, max=255.0, integer_fraction=1.0), "integers"),
        (seen(784, mean=51.0, std=60.0, min=0.0, max=255.0, integer_fraction=1.0), "numbers"),
        (seen(2, mean=0.5, std=0.5, min=0.0, max=1.0), "one_hot"),
        (seen(4, mean=0.25, std=0.1875**0.5, min=0.0, max=1.0), "one_hot"),
        (seen(4, **TWO), "multi_label"),
        (seen(2, means=[0.4, 0.6], std=0.49, min=0.0, max=1.0), "multi_label"),
        (seen(2, means=[0.5, NAN], std=0.5, min=0.0, max=1.0), "one_hot"),
        (seen(2, mean=0.0, std=1.0, min=-1.0, max=1.0), "numbers"),
        (seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=1.0), "integers"),
        (seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=0.99), "numbers"),
        (seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=NAN), "numbers"),
    ],
)
def test_what_kind_of_targets_they_are(record, expected):
    assert kind(record) == expected


def test_the_width_of_an_output_that_is_not_known_is_that_of_its_targets():
    columns = {"count": 64, "rows": 32, "count_0": 16, "count_1": 16, "mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0}
    assert kind(seen(None, **columns)) == "one_hot"


@pytest.mark.parametrize(
    "record, asked",
    [
        (
            seen(4, labels_out_of_range=0.0, mean=1.5, min=0.0, max=9.0),
            (10, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(20, labels_out_of_range=0.0, mean=1.5, min=0.0, max=9.0),
            (20, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(None, labels_out_of_range=0.0, mean=0.0, min=0.0, max=0.0),
            (2, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=1.0),
            (10, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(30, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=1.0),
            (30, "linear", "mean_squared_error"),
        ),
        (seen(4, mean=0.25, std=0.1875**0.5, min=0.0, max=1.0), (4, "softmax", "categorical_crossentropy")),
        (seen(4, **TWO), (4, "sigmoid", "binary_crossentropy")),
        (seen(1, **TWO), (1, "sigmoid", "binary_crossentropy")),
        (seen(3, mean=3.0, std=1.0, min=2.0, max=4.5), (3, "linear", "mean_squared_error")),
        (seen(None), (1, "linear", "mean_squared_error")),
    ],
)
def test_what_targets_ask_for(record, asked):
    (head,) = heads(record)
    assert fitting(head) == asked
