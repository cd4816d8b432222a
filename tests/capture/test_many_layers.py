"""Many tensors alike are reduced by one function of the graph: the same numbers, and a graph that stays small."""

import functools
from typing import Any

import by_numpy
import keras
import numpy as np
import pytest
from keras import layers

from kregtools.callbacks import HealthMonitor
from kregtools.capture.recorder import Layout, Recorder
from kregtools.capture.tensorflow_readers import GraphReader
from kregtools.record import Record

X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
DEPTH = 14
LAST = f"dense_{DEPTH - 1}"
FINISH = Recorder.finish
ALONE = 10**6


def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    hidden = [layers.Dense(6, "relu", kernel_initializer="he_normal", name=f"dense_{n}") for n in range(DEPTH)]
    model = keras.Sequential([keras.Input((6,)), *hidden])
    model.compile(keras.optimizers.SGD(0.01, loss_scale_factor=64.0), "mse")
    return model


@functools.cache
def first_step(many: int = GraphReader.MANY, details: bool = True) -> tuple[Record, int]:
    """The record of one step, and how many operations its graph has."""
    sizes = []

    def finish(recorder: Recorder) -> tuple[Layout, Any]:
        found = FINISH(recorder)
        sizes.append(len(recorder.reader._graph.get_operations()))
        return found

    monitor = HealthMonitor(sample_every=1, details=details, verbose=0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Recorder, "finish", finish)
        patch.setattr(GraphReader, "MANY", many)
        network().fit(X, X, batch_size=64, verbose=0, callbacks=[monitor])
    return monitor.record, max(sizes)


def numbers(record: Record) -> dict[tuple[str, str, str], float]:
    return {
        row[:3]: row[3] for row in record.frame()[["layer", "tensor", "statistic", "value"]].itertuples(index=False)
    }


@pytest.mark.parametrize("details", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_numbers_are_those_of_each_tensor_by_itself(details):
    (together, _), (alone, _) = first_step(details=details), first_step(ALONE, details=details)
    assert numbers(together) == pytest.approx(numbers(alone), rel=1e-6, nan_ok=True)
    assert together.series(LAST, "activation", "units") == [6.0]


def test_the_last_of_many_layers_agrees_with_numpy():
    record, _ = first_step(details=True)
    for statistic, number in by_numpy.activation(network()(X)).items():
        assert record.series(LAST, "activation", statistic)[0] == pytest.approx(number, rel=1e-5, abs=1e-7)


def test_a_layer_more_is_few_operations_more():
    (_, together), (_, alone) = first_step(details=True), first_step(ALONE, details=True)
    assert alone - together > 100 * (DEPTH - GraphReader.MANY)
