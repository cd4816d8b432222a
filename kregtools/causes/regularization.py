"""How strongly a run was regularized."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kregtools.causes.evidence import layers
from kregtools.record import Record

# Beyond these a penalty or dropout leaves little to learn with.
PENALTY = 0.5
RATE = 0.7
GROWN = 2.0
# Dropout of any kind, DropConnect, DropPath, DropBlock; StochasticDepth.
DROPPING = ("Drop", "StochasticDepth")


def drop_rates(record: Record) -> dict[str, float]:
    """The largest rate at which a layer drops inputs, weights, states or itself, for every layer that does."""
    rates = {str(layer.get("name")): list(_rates(layer)) for layer in layers(record)}
    return {name: max(found) for name, found in rates.items() if any(found)}


def _rates(layer: Mapping[str, Any]) -> Iterator[float]:
    drops = any(kind in str(layer.get("class")) for kind in DROPPING)
    for setting in ("dropout", "recurrent_dropout", *(["rate"] if drops else [])):
        rate = layer.get(setting)
        if isinstance(rate, (int, float)):
            yield float(rate)


def penalty_share(record: Record) -> float:
    """The largest: a penalty that is too strong is gone with the weights. One that has grown is not to blame for it."""
    values, penalties = record.series("", "loss", "value"), record.series("", "loss", "penalty")
    known = np.isfinite(penalties) & (values > 0)
    values, penalties = values[known], penalties[known]
    grown = penalties > GROWN * penalties[:1]
    return float((penalties / values)[~grown].max(initial=0.0))


def too_strong(record: Record) -> bool:
    """Whether penalties make up more than half of the loss, or a layer drops more than 70 % of its inputs."""
    return penalty_share(record) > PENALTY or max(drop_rates(record).values(), default=0.0) > RATE
