"""What several symptoms need to know of the learning curves."""

from __future__ import annotations

import math

import numpy as np

from kregtools.record import Record
from kregtools.symptoms.evidence import LEAST_EPOCHS
from kregtools.symptoms.symptom import CannotCheckError


def penalty_unseen(record: Record) -> bool:
    """Whether the losses hold penalties whose size was not recorded."""
    regularized = any(layer.get("regularized") for layer in record.facts.get("layers") or ())
    return regularized and not record.statistics("", "loss")


def require_seen_penalty(record: Record) -> None:
    """Refuses a record whose losses hold penalties of unknown size."""
    if penalty_unseen(record):
        raise CannotCheckError("the loss includes penalties of unknown size: use HealthMonitor, which takes them off")


def validation_data_loss(record: Record) -> np.ndarray:
    """The validation loss by epoch without the penalties, which are those of the weights at the epoch's end.

    NaN where they are more than half of it: they are known of a few steps only, and what is left would be their error.
    """
    penalty = record.series("", "loss", "penalty")
    known = penalty > 0
    if not known.any():
        return record.log("val_loss")
    losses = record.log("val_loss")
    at_end = np.exp(np.interp(record.log("step"), record.steps[known], np.log(penalty[known])))
    return np.where(at_end <= 0.5 * losses, losses - at_end, np.nan)


def lowest(*losses: np.ndarray) -> float:
    """The lowest finite loss of several curves, NaN where there is none."""
    values = np.concatenate(losses)
    finite = values[np.isfinite(values)]
    return float(finite.min()) if len(finite) else math.nan


def tail(losses: np.ndarray) -> float:
    """The mean of the last two losses, or of the last 5 % of a long run."""
    return float(np.mean(losses[-max(2, math.ceil(0.05 * len(losses))) :]))


def noise(losses: np.ndarray) -> float:
    """The std of a curve's jumps from epoch to epoch, by its second differences: a slope or a spike does not count."""
    return jumps(losses) / (0.6745 * math.sqrt(6))


def turns(losses: np.ndarray, least: float) -> int:
    """How often a curve turns, where changes smaller than `least` do not count."""
    changes = np.diff(losses[np.isfinite(losses)])
    signs = np.sign(changes[np.abs(changes) > least])
    return int(np.count_nonzero(np.diff(signs)))


def jumps(losses: np.ndarray) -> float:
    """By how much a curve's change from one epoch to the next differs from the change before it, the median."""
    seconds = np.abs(np.diff(losses[np.isfinite(losses)], 2))
    return float(np.median(seconds)) if len(seconds) else 0.0


def trend(losses: np.ndarray) -> float:
    """The rank correlation of a curve with time: 1 where it rises all the way, near 0 where it only jumps."""
    ordered = np.sort(losses)
    if not len(losses) or ordered[0] == ordered[-1]:
        return 0.0
    ranks = np.searchsorted(ordered, losses) + np.searchsorted(ordered, losses, side="right")
    return float(np.corrcoef(ranks, np.arange(len(losses)))[0, 1])


def paces(losses: np.ndarray) -> tuple[float, float]:
    """By how much the loss fell in an epoch: over the last fifth of a run, and over all of it."""
    epochs = len(losses) - 1
    fifth = math.ceil(epochs / 5)
    return float(losses[-1 - fifth] - losses[-1]) / fifth, float(losses[0] - losses[-1]) / epochs


def will_reach(losses: np.ndarray, level: float) -> bool:
    """Whether as many epochs again, at the pace of the last fifth, would bring the loss down to `level`."""
    return bool(losses[-1] - paces(losses)[0] * (len(losses) - 1) <= level)


def steadily_falling(losses: np.ndarray) -> bool:
    """Whether the loss falls in four of five epochs, and at the end still at half of its average pace or faster.

    Few epochs tell less of a curve's shape: below ten, the pace is to be kept up to 80 %.
    """
    if len(losses) < LEAST_EPOCHS or not np.isfinite(losses).all():
        return False
    falls = np.count_nonzero(np.diff(losses) < 0) / (len(losses) - 1)
    last, average = paces(losses)
    return bool(falls >= 0.8 and average > 0 and last >= (0.5 if len(losses) >= 10 else 0.8) * average)
