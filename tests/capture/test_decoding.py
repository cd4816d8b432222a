"""Samples are read many at a time, and say what they would say one by one."""

import numpy as np
import pytest

from kregtools.capture.decoding import Decoder, Pending
from kregtools.capture.firing import FiringUnits
from kregtools.capture.recorder import Layout
from kregtools.capture.sampler import Payload

RNG = np.random.default_rng(0)
RELU = ("relu", "activation")
FIRING = (("relu", 6),)
# As `sample_every=1` leaves them: now and then a sample has more than the others.
LAYOUTS = [
    Layout(((*RELU, "mean"), (*RELU, "rows")), FIRING),
    Layout(((*RELU, "rows"), (*RELU, "mean"), ("relu", "kernel", "update_norm")), FIRING),
]


def samples(count: int = 40, replicas: int = 0) -> list[Pending]:
    return [Pending(step, step // 10, payload(int(step % 10 == 3), replicas)) for step in range(count)]


def payload(which: int, replicas: int) -> Payload:
    rows = [100.0] if replicas else 100.0
    values = RNG.normal(size=(replicas, len(LAYOUTS[which].keys)) if replicas else len(LAYOUTS[which].keys))
    values[..., LAYOUTS[which].keys.index((*RELU, "rows"))] = rows
    fires = RNG.random((*values.shape[:-1], 6)) < 0.2
    return Payload(LAYOUTS, np.array(which), np.concatenate([values, fires], axis=-1))


@pytest.mark.parametrize("replicas", [0, 2])
def test_many_at_once_are_the_same_as_one_by_one(replicas):
    pending = samples(replicas=replicas)
    one_by_one = Decoder(np.asarray)
    expected = [found for each in pending for found in one_by_one([each])]
    assert [found.step for found in expected] == list(range(40))
    np.testing.assert_equal(Decoder(np.asarray)(pending), expected)


def test_a_unit_is_dead_if_it_was_off_over_the_last_256_rows_and_before_that_nobody_knows():
    pending = samples()
    fired = [each.payload.values[-6:].astype(bool) for each in pending]
    found = [each.values[(*RELU, "dead_units")] for each in Decoder(np.asarray)(pending)]
    assert np.isnan(found[:2]).all()
    assert found[2:] == [6 - np.any(fired[step - 2 : step + 1], axis=0).sum() for step in range(2, 40)]


def test_batches_of_different_sizes_fill_the_same_window():
    counts, off, on = FiringUnits(), np.array([False]), np.array([True])
    assert np.isnan(counts.dead("relu", 200, on))
    assert counts.dead("relu", 56, off) == 0
    assert counts.dead("relu", 199, off) == 0
    assert counts.dead("relu", 1, off) == 1
    assert counts.dead("relu", 1, on) == 0
