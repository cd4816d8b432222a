"""A case by case comparison of watched and unwatched runs, for the tests of every backend."""

from collections.abc import Collection

import pytest
from watched import Case, Run, differences, gaps, is_as_before, run

from kregtools.callbacks import HealthMonitor

SAMPLED = (1, 3, "auto")


def matrix(cases: dict[str, Case], core: Collection[str]) -> list:
    """Every case with each way of sampling; the core ones with one of them, by turns, all else in `make test-slow`."""
    quick = {(name, SAMPLED[turn % len(SAMPLED)]) for turn, name in enumerate(core)}
    assert {name for name, _ in quick} <= cases.keys(), "a name in `core` is no case"
    return [
        pytest.param(case, every, marks=[] if (name, every) in quick else [pytest.mark.slow], id=f"{name}, {every}")
        for name, case in cases.items()
        for every in SAMPLED
    ]


def watched_as_plain(case: Case, every, plain: Run) -> None:
    monitor = HealthMonitor(sample_every=every, verbose=0)
    watched = run(case, [monitor], last=every == 3)
    changed = differences(watched, plain)
    if changed and (own := differences(run(case), plain)):
        pytest.fail(f"the unmonitored twin does not repeat itself: {own}")
    assert changed == {}
    assert monitor.record.samples and is_as_before(watched.model)
    assert gaps(watched.model, monitor, case.without) == []
