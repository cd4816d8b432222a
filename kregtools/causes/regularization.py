"""How strongly a run was regularized."""

from __future__ import annotations

import numpy as np

from kregtools.record import Record
from kregtools.symptoms.hindrances import drop_rates

# Beyond these a penalty or dropout leaves little to learn with.
PENALTY = 0.5
RATE = 0.7
GROWN = 2.0


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
