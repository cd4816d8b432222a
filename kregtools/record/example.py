"""Records written by hand: the cases that symptoms and causes carry with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kregtools.record.record import Record
from kregtools.record.table import Key

STEPS_PER_EPOCH = 10


def example(
    *,
    logs: Mapping[str, Sequence[float]] | None = None,
    series: Mapping[Key, Sequence[float]] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Record:
    """A record as a run of ten steps an epoch would have left it.

    Args:
        logs: A list of values by epoch for each log.
        series: A list of values by sampled step for each `(layer, tensor, statistic)`.
        facts: The facts.
    """
    record = Record({"watching": {"taps": bool(series)}, **(facts or {})})
    for step in range(max((len(values) for values in (series or {}).values()), default=0)):
        values = {key: list(row)[step] for key, row in (series or {}).items()}
        record.add_sample(step, step // STEPS_PER_EPOCH, values)
    for epoch in range(max((len(values) for values in (logs or {}).values()), default=0)):
        step = (epoch + 1) * STEPS_PER_EPOCH - 1
        record.add_epoch(epoch, step, {name: values[epoch] for name, values in (logs or {}).items()})
    return record
