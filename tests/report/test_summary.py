"""A run in a few facts."""

import json
import math

import pytest

from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.report.summary import WARNED, best_epoch, epoch_values, run_facts, sentence, summary

NAN = float("nan")
OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}


@pytest.mark.parametrize(
    "logs, best",
    [
        (OVERFIT, 1),
        ({"loss": [0.5, 0.2, 0.3]}, 1),
        ({"loss": [0.5, 0.2], "val_loss": [NAN, NAN]}, 1),
        ({"loss": [0.5, 0.2, 0.1], "val_loss": [NAN, 0.4, NAN]}, 1),
        ({"loss": [NAN, NAN]}, None),
        ({}, None),
    ],
)
def test_the_best_epoch_is_that_of_the_lowest_loss_that_is_known(logs, best):
    assert best_epoch(example(logs=logs)) == best


def test_a_run_that_trains_and_shows_something_is_not_said_to_be_unchecked():
    record = example(logs={"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]},
                     facts={"losses": [{"name": "binary_crossentropy"}]})  # fmt: skip
    diagnosis = diagnose(record)
    assert diagnosis.verdict == "undetermined" and diagnosis.symptoms
    assert sentence(diagnosis) == WARNED
    assert sentence(diagnose(example())) == "Undetermined: not everything could be checked."


def test_facts_that_are_not_known_are_left_out():
    assert run_facts(example()) == {"epochs": "0", "sampled steps": "0"}
    assert run_facts(example(facts={"cost": {"watching": None, "training": 3.0}})).get("overhead") is None
    assert run_facts(example(facts={"seed": 0}))["seed"] == "0"


def test_the_values_of_an_epoch_are_those_of_its_own_samples():
    series = {
        ("a", "kernel", "gradient_norm"): [9.0] * 10 + [3.0] * 10,
        ("b", "kernel", "gradient_norm"): [9.0] * 10 + [4.0] * 10,
        ("a", "kernel", "update_ratio"): [9.0] * 10 + [0.1, 0.2] * 5,
        ("a", "activation", "dead_units"): [9.0] * 10 + [NAN, 1.0] * 5,
        ("a", "activation", "units"): [10.0] * 20,
    }
    record = example(logs={"loss": [0.5, 0.4], "val_loss": [0.5, 0.6]}, series=series)
    values = epoch_values(record, diagnose(record))
    assert values["kreg/grad_norm"] == 5.0 and values["kreg/update_ratio"] == 0.2 and values["kreg/dead_units"] == 0.1
    assert values["kreg/generalization_gap"] == pytest.approx(0.2)


def test_the_values_of_an_epoch_without_samples_are_nan():
    values = epoch_values(example(logs={"loss": [0.5]}), diagnose(example(logs={"loss": [0.5]})))
    assert all(math.isnan(values[name]) for name in values if name != "kreg/findings")


def test_a_summary_is_json_even_where_numbers_are_not_finite():
    record = example(logs={"loss": [0.5, NAN]}, series={("", "loss", "nonfinite"): [0, 1]})
    told = json.loads(json.dumps(summary(record, diagnose(record)), allow_nan=False))
    assert told["verdict"] == "sick" and told["last"]["loss"] is None and told["best_epoch"] == 1
