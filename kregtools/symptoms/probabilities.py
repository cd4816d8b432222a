"""Whether what a loss is given are probabilities or logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kregtools.record import Record
from kregtools.symptoms.evidence import layer_facts

# Far more than half precision is off by.
APART = 0.05


def are_probabilities(record: Record, tensor: str) -> bool:
    """Whether the rows of an output were seen to sum to one, by whatever layer made them so."""
    low, high, sums, spread = (
        record.series("", tensor, statistic) for statistic in ("min", "max", "sum_mean", "sum_std")
    )
    known = np.isfinite(sums) & np.isfinite(low)
    close = (np.abs(sums - 1) < 1e-3) & (spread < 1e-3) & (low >= 0) & (high <= 1 + 1e-6)
    return bool(known.any() and close[known].all())


def over_another_axis(record: Record, output: Mapping[str, Any]) -> float | None:
    """What the rows of a softmax sum to, the mean, where that is not 1: it was taken over the batch, say."""
    if output.get("activation") != "softmax" or len(output.get("shape") or ()) != 2:
        return None
    tensor = output.get("tensor") or "output"
    sums, spread = (record.series("", tensor, statistic) for statistic in ("sum_mean", "sum_std"))
    known = np.isfinite(sums) & np.isfinite(spread)
    apart = (np.abs(sums - 1) > APART) | (spread > APART)
    return float(sums[known][-1]) if known.any() and apart[known].all() else None


def logits_are_taken(record: Record, output: Mapping[str, Any]) -> bool:
    """Whether Keras computes the loss from what the last layer had before its softmax or sigmoid."""
    last = layer_facts(record).get(output.get("layer") or "", {})
    on_tensorflow = (record.facts.get("versions") or {}).get("backend") == "tensorflow"
    return on_tensorflow and last.get("activation") is not None and last["activation"] == output.get("activation")
