"""What several symptoms need to know of training against validation, and of loss against accuracy."""

from __future__ import annotations

import numpy as np

from kregtools.record import Record, constant_loss
from kregtools.record.targets import targets_of
from kregtools.symptoms.settling import settled
from kregtools.symptoms.yardstick import weighted

ACCURACIES = ("accuracy", "acc", "binary_accuracy", "categorical_accuracy", "sparse_categorical_accuracy")
# Smoothing and weights may bring an accuracy a little above 1.
PERCENT = 1.5
MISMATCH = 1.5
MISMATCH_SHARE = 0.25
FAR = 3.0


def majority_share(record: Record) -> float | None:
    """The accuracy of always naming the most frequent class; `None` where it is not known, or there are no classes."""
    losses = record.facts.get("losses") or []
    found = targets_of(record, losses) if len(losses) == 1 else None
    if not found or not found[0][1].known or "crossentropy" not in str(losses[0].get("name")):
        return None
    targets = found[0][1]
    if losses[0]["name"] == "binary_crossentropy":
        shares = targets.shares
        return None if shares is None else float(np.maximum(shares, 1 - shares).mean())
    total = targets.counts.sum()
    return float(targets.counts.max() / total) if total > 0 else None


def has_classes(record: Record) -> bool:
    """Whether the targets may be classes, of which an accuracy tells: probabilities of their own are none."""
    losses = record.facts.get("losses") or []
    return all(
        loss.get("name") != "binary_crossentropy" or not targets.known or targets.shares is not None
        for loss, targets in targets_of(record, losses) or ()
    )


def accuracy(record: Record, prefix: str = "") -> np.ndarray | None:
    """The accuracy by epoch, `None` where none was logged."""
    logged = [name for name in ACCURACIES if np.isfinite(record.log(prefix + name)).any()]
    return share_correct(record, logged[0], prefix) if logged else None


def share_correct(record: Record, name: str, prefix: str = "") -> np.ndarray:
    """An accuracy by epoch, from 0 to 1: some are logged in percent."""
    both = np.concatenate([record.log(name), record.log(f"val_{name}")])
    percent = np.isfinite(both).any() and np.nanmax(both) > PERCENT
    return record.log(prefix + name) / (100.0 if percent else 1.0)


def beats_majority(record: Record, *prefixes: str) -> bool:
    """Whether an accuracy shows that the network names classes better than by their frequency."""
    majority = majority_share(record)
    curves = [curve for prefix in prefixes if (curve := accuracy(record, prefix)) is not None]
    return majority is not None and any(np.nanmax(curve) > majority + 0.2 * (1 - majority) for curve in curves)


def trained_before(record: Record) -> bool:
    """Whether the fit went on with a network that had been trained already."""
    steps = (record.facts.get("fit") or {}).get("steps")
    began_late = len(record.samples) and record.steps[0] > 0
    return bool(began_late or (steps and record.logs and record.logs[0]["step"] >= steps))


def mismatch(record: Record) -> float | None:
    """How many times the training loss the validation loss is, at least, where that is so in every epoch.

    In the first epoch every row is new to the network: its training loss is that of rows not seen before, as the
    validation loss is. Moving averages of a batch normalization that have not settled by then make both differ, too;
    one epoch without a difference refutes that the sets differ.
    """
    return difference(record) if settled(record)[:2].all() else None


def difference(record: Record) -> float | None:
    """The same, whether it is the sets that differ or the averages that have not settled."""
    training, validation = record.log("loss"), record.log("val_loss")
    if len(training) < 3 or not (training > 0).all() or not (validation > 0).all() or trained_before(record):
        return None
    if not comparable(record):
        return None
    ratio = validation / training
    agrees = _metric_agrees(record) or ((ratio[:2] >= FAR).all() and not weighted(record))
    far = (validation - training)[:2].min() >= MISMATCH_SHARE * (constant_loss(record) or 0.0)
    told = (ratio >= MISMATCH).all() and agrees and far
    return float(ratio.min()) if told else None


def comparable(record: Record) -> bool:
    """Whether training and validation are measured alike: weights change the training loss, and leave accuracy."""
    measured = accuracy(record) is not None and accuracy(record, "val_") is not None
    return measured or not weighted(record)


def _metric_agrees(record: Record) -> bool:
    """Whether accuracy, where there is one, is worse in validation as well: class weights change the loss alone."""
    training, validation = accuracy(record), accuracy(record, "val_")
    return training is None or validation is None or bool((training - validation)[:2].min() > 0.05)
