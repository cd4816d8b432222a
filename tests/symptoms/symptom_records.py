"""Looking for one symptom in a record written by hand."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kregtools.record import Record
from kregtools.record.table import Key
from kregtools.symptoms import SYMPTOMS, CannotCheckError, Symptom

RULES = {rule.name: rule for rule in SYMPTOMS}
NAN = float("nan")
# With targets of variance 1 the best constant prediction costs 1: losses are shares of it.
SQUARED: dict[str, Any] = {"losses": [{"name": "mean_squared_error"}]}
REGULARIZED = {"layers": [{"name": "dense", "class": "Dense", "regularized": True}]}

Series = Mapping[Key, Sequence[float]]


def targets(samples: int = 1, **values: float) -> dict[Key, list[float]]:
    """Statistics of targets, the same in every sample; without values, of mean 0 and variance 1."""
    known = values or {"mean": 0.0, "std": 1.0}
    return {("", "target", name): [value] * samples for name, value in known.items()}


def two_values(share: float, samples: int = 1) -> dict[Key, list[float]]:
    """Targets of which a share is 1 and the rest 0."""
    return targets(samples, mean=share, std=(share * (1 - share)) ** 0.5, min=0.0, max=1.0)


def labels(*counts: float) -> dict[Key, list[float]]:
    """Integer labels, each of them so often, in one sample."""
    return {("", "target", f"count_{label}"): [count] for label, count in enumerate(counts)}


def seen(name: str, record: Record) -> Symptom | None:
    return RULES[name].check(record)


def shown(name: str, record: Record) -> Symptom:
    symptom = seen(name, record)
    assert symptom is not None and symptom.name == name
    return symptom


def refusal(name: str, record: Record) -> str:
    """Why a record cannot be checked."""
    with pytest.raises(CannotCheckError) as refused:
        RULES[name].check(record)
    return str(refused.value)


def by_epoch(epochs: Sequence[int], steps_per_epoch: int = 10, **logs: Sequence[float]) -> Record:
    """A record of a fit that did not begin at epoch 0."""
    record = Record()
    for index, epoch in enumerate(epochs):
        values = {name: series[index] for name, series in logs.items()}
        record.add_epoch(epoch, (epoch + 1) * steps_per_epoch - 1, values)
    return record
