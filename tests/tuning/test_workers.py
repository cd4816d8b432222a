"""What a worker does besides the trial."""

import random
import sys

import pytest

from kregtools.tuning.workers import _leave_the_random_state_to_the_trial


def test_dask_draws_from_a_generator_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it connects anew it waits for a random time, in a thread beside the trial's, whose weights are drawn."""
    core = pytest.importorskip("distributed.comm.core")
    for name, module in tuple(sys.modules.items()):
        if name.startswith(("distributed.", "tornado.")) and getattr(module, "random", None) is random:
            monkeypatch.setattr(module, "random", random)  # as it was, afterwards
    state = random.getstate()
    _leave_the_random_state_to_the_trial()
    assert 0 <= core.random.uniform(0, 1) <= 1
    assert random.getstate() == state
