"""What a worker does besides the trial."""

import importlib
import random
import sys

import pytest

from kregtools.tuning.workers import _leave_the_random_state_to_the_trial

# How many bytes a result takes is estimated from a sample of it, and how well a message can be compressed; before
# Dask connects anew it waits for a random time. All of it is in threads beside the trial's, whose weights are drawn.
DRAWS = {
    "dask.sizeof": lambda module: module.sizeof(list(range(1000))),
    "distributed.protocol.compression": lambda module: module.byte_sample(memoryview(bytes(10_000)), 10, 5),
    "distributed.comm.core": lambda module: module.random.uniform(0, 1),
}


@pytest.mark.parametrize("name", DRAWS)
def test_dask_draws_from_a_generator_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip(name)
    ours = [other for other in tuple(sys.modules) if other.partition(".")[0] in ("dask", "distributed", "tornado")]
    for other in map(sys.modules.get, ours):
        for attribute, value in tuple(vars(other).items()):
            if value is random or getattr(value, "__self__", None) is random.seed.__self__:
                monkeypatch.setattr(other, attribute, value)  # as it was, afterwards
    state = random.getstate()
    DRAWS[name](module)
    assert random.getstate() != state
    _leave_the_random_state_to_the_trial()
    state = random.getstate()
    DRAWS[name](importlib.import_module(name))
    assert random.getstate() == state
