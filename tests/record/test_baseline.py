import math

import numpy as np
import pytest

from kregtools.record import constant_loss, example


def targets(loss: str, **statistics: list[float]):
    return example(
        series={("", "target", name): values for name, values in statistics.items()},
        facts={"losses": [{"name": loss}], "outputs": [{"name": "out", "shape": [None, 4]}]},
    )


def test_crossentropy_is_the_entropy_of_the_labels_seen():
    record = targets("sparse_categorical_crossentropy", count_0=[30, 60], count_1=[10, 0], count_2=[0, 0])
    expected = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert constant_loss(record) == pytest.approx(expected)


def test_binary_crossentropy_is_the_entropy_of_the_mean():
    record = targets("binary_crossentropy", mean=[0.2, 0.3])
    assert constant_loss(record) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_squared_error_is_the_variance_over_all_batches():
    values = np.random.default_rng(0).normal(3.0, 2.0, size=(10, 100))
    record = targets("mean_squared_error", mean=values.mean(axis=1).tolist(), std=values.std(axis=1).tolist())
    assert constant_loss(record) == pytest.approx(values.var())


def test_without_targets_the_labels_are_taken_as_equally_frequent():
    facts = {"outputs": [{"name": "out", "shape": [None, 4]}]}
    assert constant_loss(example(facts={**facts, "losses": [{"name": "categorical_crossentropy"}]})) == math.log(4)
    assert constant_loss(example(facts={**facts, "losses": [{"name": "binary_crossentropy"}]})) == math.log(2)


@pytest.mark.parametrize("losses", [[], [{"name": "huber"}], [{"name": "mean_squared_error"}] * 2])
def test_what_cannot_be_told_is_none(losses):
    assert constant_loss(example(facts={"losses": losses})) is None
