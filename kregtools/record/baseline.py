"""The yardsticks of a loss: what the best constant prediction would cost, and what a perfect one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kregtools.record.derived import derived
from kregtools.record.record import Record
from kregtools.record.targets import Targets, targets_of

Loss = Mapping[str, Any]

# Frequencies of fewer labels a class say little: their entropy is too small by about (classes - 1) / (2 labels), which
# at five is a tenth of a nat.
LABELS_A_CLASS = 5
HINGE = ((0.0, 1.0), (-1.0, 1.0))


@derived
def constant_loss(record: Record) -> float | None:
    """The loss of the best constant predictor on the targets seen, or `None` where it cannot be told.

    - crossentropy: the entropy of the label frequencies, -Σ f ln f, smoothed as the loss smooths them;
    - binary crossentropy: that of the share of ones, the mean over the columns;
    - mean squared error: the variance of the targets, within columns where they are known;
    - mean absolute error: the mean distance from the median; it is recorded for outputs of width 1, a little too
      small for small batches, and follows from the mean for targets of two values;
    - huber with a delta of 1 and log-cosh: those of the distance from the median, for outputs of width 1; huber of
      another delta is half the variance, if no two targets are further apart;
    - mean absolute percentage error: 100, which is what 0 costs, an upper bound;
    - poisson: m - m ln m for a mean m, where that is positive: a yardstick below zero measures nothing;
    - Kullback-Leibler divergence: the crossentropy less the targets' own entropy;
    - hinge and squared hinge: 2 min(p, 1 - p) and 4 p (1 - p) for a share p of positive targets.

    Of several losses it is the sum, by their weights. "Constant" is one number for each unit of the output.

    It makes a loss comparable between problems: a network whose loss stays near it has learned nothing, whatever
    the number is. Where only the logs were recorded, or fewer than five labels a class, crossentropy is judged
    against equally frequent labels, which is an upper bound. Sample weights, class weights and masks are not known
    to it: with them it is an approximation. What a model computes by a `compute_loss` of its own is not known.
    """
    return _positive(_summed(record, CONSTANT))


@derived
def perfect_loss(record: Record) -> float | None:
    """The loss of a perfect predictor, or `None` where it cannot be told.

    It is 0 but for what no prediction can do without: the entropy of soft targets and of smoothed labels.
    """
    return _summed(record, PERFECT)


def _summed(record: Record, by_name: Mapping[str, Callable[[Record, Loss, Targets], float | None]]) -> float | None:
    losses = record.facts.get("losses") or []
    if record.facts.get("own_loss"):
        return None
    total = 0.0
    for loss, targets in targets_of(record, losses) or [(None, None)]:
        if loss is None or targets is None or loss.get("name") not in by_name:
            return None
        weight = loss.get("weight", 1.0)
        value = by_name[loss["name"]](record, loss, targets)
        if value is None or weight is None or loss.get("reduction", "mean") in (None, "none", "sum"):
            return None
        total += weight * value
    return total if math.isfinite(total) else None


# ---- of the best constant


def _crossentropy(record: Record, loss: Loss, targets: Targets) -> float | None:
    counts = targets.counts.copy()
    ignored = loss.get("ignore_class")
    if ignored is not None and 0 <= ignored < len(counts):
        counts[ignored] = 0.0
    if (counts > 0).sum() < 2 or counts.sum() < LABELS_A_CLASS * len(counts):
        units = _units(record, loss)
        return math.log(units) if units and units > 1 else None
    # Soft targets need not sum to one; label counts do as shares.
    total = targets.columns.sum() if targets.as_wide_as_output else 1.0
    share, smoothing = counts / counts.sum(), loss.get("label_smoothing") or 0.0
    mean = total * (1 - smoothing) * share + smoothing / len(share)
    return -float(_xlogy(mean, mean / mean.sum()).sum())


def _binary_crossentropy(record: Record, loss: Loss, targets: Targets) -> float | None:
    if math.isnan(targets.mean):
        return math.log(2)
    smoothing = loss.get("label_smoothing") or 0.0
    if not ((targets.columns >= 0) & (targets.columns <= 1)).all() or targets.low < 0 or targets.high > 1:
        return None
    if ((targets.columns == 0) | (targets.columns == 1)).all():
        return None
    return float(_binary_entropy(targets.columns * (1 - smoothing) + smoothing / 2).mean())


def _squared(record: Record, loss: Loss, targets: Targets) -> float | None:
    return None if math.isnan(targets.variance) else max(targets.variance - float(np.var(targets.columns)), 0.0)


def _absolute(record: Record, loss: Loss, targets: Targets) -> float | None:
    shares = targets.shares
    if shares is not None:
        return float(np.minimum(shares, 1 - shares).mean()) * (targets.high - targets.low)
    return None if math.isnan(targets.deviation) else targets.deviation


def _huber(record: Record, loss: Loss, targets: Targets) -> float | None:
    if (loss.get("delta") or 1.0) == 1.0 and not math.isnan(targets.huber):
        return targets.huber
    squared = _squared(record, loss, targets)
    near = targets.high - targets.low <= (loss.get("delta") or 1.0)
    return squared / 2 if near and squared is not None else None


def _percentage(record: Record, loss: Loss, targets: Targets) -> float | None:
    return 100.0


def _log_cosh(record: Record, loss: Loss, targets: Targets) -> float | None:
    return None if math.isnan(targets.log_cosh) else targets.log_cosh


def _poisson(record: Record, loss: Loss, targets: Targets) -> float | None:
    mean = targets.columns
    return float((mean - _xlogy(mean, mean)).mean()) if (mean >= 0).all() else None


def _divergence(record: Record, loss: Loss, targets: Targets) -> float | None:
    if not targets.as_wide_as_output or math.isnan(targets.entropy):
        return None
    mean = targets.columns
    return -float(_xlogy(mean, mean / mean.sum()).sum()) - targets.entropy


def _hinge(record: Record, loss: Loss, targets: Targets) -> float | None:
    shares = targets.shares if (targets.low, targets.high) in HINGE else None
    return None if shares is None else float(2 * np.minimum(shares, 1 - shares).mean())


def _squared_hinge(record: Record, loss: Loss, targets: Targets) -> float | None:
    shares = targets.shares if (targets.low, targets.high) in HINGE else None
    return None if shares is None else float(4 * (shares * (1 - shares)).mean())


CONSTANT: dict[str, Callable[[Record, Loss, Targets], float | None]] = {
    "categorical_crossentropy": _crossentropy,
    "sparse_categorical_crossentropy": _crossentropy,
    "binary_crossentropy": _binary_crossentropy,
    "mean_squared_error": _squared,
    "mean_absolute_error": _absolute,
    "mean_absolute_percentage_error": _percentage,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "poisson": _poisson,
    "kl_divergence": _divergence,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
}

# ---- of a perfect prediction


def _nothing(record: Record, loss: Loss, targets: Targets) -> float | None:
    return 0.0


def _own_entropy(record: Record, loss: Loss, targets: Targets) -> float | None:
    smoothing, units = loss.get("label_smoothing") or 0.0, _units(record, loss) or len(targets.counts)
    entropy = 0.0 if loss["name"].startswith("sparse") else targets.entropy
    if not smoothing or math.isnan(entropy):
        return None if math.isnan(entropy) else entropy
    if entropy > 0 or not units:
        return None
    smoothed = np.full(units, smoothing / units)
    smoothed[0] += 1 - smoothing
    return -float(_xlogy(smoothed, smoothed).sum())


def _own_binary_entropy(record: Record, loss: Loss, targets: Targets) -> float | None:
    smoothing = loss.get("label_smoothing") or 0.0
    if targets.shares is not None and (targets.low, targets.high) == (0.0, 1.0):
        return float(_binary_entropy(np.array([smoothing / 2]))[0])
    return None if smoothing or math.isnan(targets.binary_entropy) else targets.binary_entropy


PERFECT: dict[str, Callable[[Record, Loss, Targets], float | None]] = {
    **dict.fromkeys(CONSTANT, _nothing),
    "categorical_crossentropy": _own_entropy,
    "sparse_categorical_crossentropy": _own_entropy,
    "binary_crossentropy": _own_binary_entropy,
}
# The mean of y - y ln y was not recorded.
del PERFECT["poisson"]


def _units(record: Record, loss: Loss) -> int | None:
    outputs = record.facts.get("outputs") or []
    named = [output for output in outputs if loss.get("output") in (output.get("output"), output.get("name"))]
    shape = (named or outputs)[0].get("shape") if named or len(outputs) == 1 else None
    return shape[-1] if shape else None


def _binary_entropy(share: np.ndarray) -> np.ndarray:
    return -_xlogy(share, share) - _xlogy(1 - share, 1 - share)


def _xlogy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return x * np.log(np.where(x > 0, y, 1.0))


def _positive(loss: float | None) -> float | None:
    return loss if loss is not None and loss > 0 else None
