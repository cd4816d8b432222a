"""What the metrics of one trial say: what held it back, and which way to go."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# The thresholds are from the curves of three grids (`benchmarks/tuning.py`): on either side of each, the mean change of
# the score by one notch has another sign.
OVERFIT_GAP, BY_HEART = 0.02, 0.06
OVERREGULARIZED_GAP = -0.05
# Share of the fall of the validation loss that is in the last quarter of the epochs; 0.25 is a straight line.
FLAT, SLOW, VERY_SLOW, LINEAR = 0.03, 0.06, 0.15, 0.19
STUCK, LEARNED = 0.01, 0.02
EARLY = 2


@dataclass(frozen=True)
class Reading:
    """What held a trial back.

    Attributes:
        verdict: In one word: `"diverged"`, `"stuck"`, `"slow"`, `"hasty"`, `"overfit"`, `"overregularized"`,
            `"balanced"` or `"unknown"`.
        reason: Why, in words, with the numbers.
        speed: Notches that the learning rate should go up, negative for down.
        regularization: Notches that dropout or L2 should go up, negative for down.
    """

    verdict: str
    reason: str
    speed: float = 0.0
    regularization: float = 0.0


def read(metrics: Mapping[str, Mapping[int, float]], objective: str, longest: int, direction: str = "max") -> Reading:
    """Reads a trial.

    Args:
        metrics: By name, the values by epoch, counted from 0; one epoch alone will do. `diag/speed` and
            `diag/regularization`, where they are given, are taken as they are.
        objective: The name of the metric that is searched for.
        longest: The last epoch that any trial of the search reported.
        direction: `"max"` or `"min"`: which values of the objective are better.
    """
    if "diag/speed" in metrics and "diag/regularization" in metrics:
        return _told(*(next(iter(metrics[f"diag/{name}"].values())) for name in ("speed", "regularization")))
    loss, validation = _values(metrics.get("loss")), _values(metrics.get("val_loss"))
    if not (np.isfinite(loss).all() and np.isfinite(validation).all()):
        return Reading("diverged", "the loss is not finite", speed=-2.0)
    epochs = sorted(metrics.get("val_loss") or metrics.get(objective, {}))
    judged = validation if validation.size else (1 if direction == "min" else -1) * _values(metrics.get(objective))
    if not judged.size:
        return Reading("unknown", "no metrics")
    best = int(np.argmin(judged))
    if len(judged) <= 2:
        pace, why = _pace_of_one(epochs[best], longest)
        return _combined(pace, why, _gap(metrics, objective, epochs[best], direction), epochs[best] + 1)
    if judged[0] - judged[best] < STUCK * abs(judged[0]) and (np.diff(judged) > 0).any():
        return _unmoved(judged, best, loss, _gap(metrics, objective, epochs[-1], direction))
    # Validation may not be in every epoch.
    pace, why = _pace(judged, best, round(longest * len(judged) / (epochs[-1] + 1)))
    # A run that is best so early shows its gap later.
    seen = epochs[-1] if pace <= -1 else epochs[best]
    gap = _gap(metrics, objective, seen, direction)
    return _combined(-2.0 if best < EARLY and pace < 0 and gap > BY_HEART else pace, why, gap, seen + 1)


def _told(speed: float, regularization: float) -> Reading:
    """What a trial said of itself."""
    way = {1: "up", 0: "as it is", -1: "down"}
    told = f"learning rate {way[int(np.sign(speed))]}, regularization {way[int(np.sign(regularization))]}"
    verdict = "slow" if speed > 0 else "hasty" if speed < 0 else _by_regularization(regularization)
    return Reading(verdict, f"its diagnosis asks for: {told}", speed, regularization)


def _unmoved(losses: np.ndarray, best: int, training: np.ndarray, gap: float) -> Reading:
    if best == 0 and losses[-1] >= 1.2 * losses[0]:
        return Reading("hasty", "the validation loss rises from the first epoch on", speed=-2.0)
    if gap > OVERFIT_GAP and training.size and training[0] - training[-1] > LEARNED * abs(training[0]):
        why = f"the training loss falls and the validation loss does not; validation is {gap:.3f} behind at the end"
        return Reading("hasty", why, speed=-2.0 if gap > BY_HEART else -1.0, regularization=1.0)
    fall = (losses[0] - losses[best]) / abs(losses[0])
    return Reading("stuck", f"the validation loss fell by {fall:.1%} only", regularization=-2.0)


def _combined(pace: float, why: str, gap: float, epoch: int) -> Reading:
    regularization = 0.0
    if gap > OVERFIT_GAP:
        regularization = 1.0
    elif gap < OVERREGULARIZED_GAP:
        regularization = -2.0 if gap < 2 * OVERREGULARIZED_GAP else -1.0
    if pace == 0.5:  # it falls a little since it learns the training data by heart, or it is slow indeed
        pace = 0.0 if regularization > 0 else 1.0
    if pace == -0.5:  # a lower rate would find a finer optimum in the epochs that are left
        pace = 0.0 if regularization else -1.0
    reasons = [why] if pace else []
    if regularization:
        side = "behind" if gap > 0 else "ahead of"
        reasons.append(f"validation is {abs(gap):.3f} {side} training at epoch {epoch}")
    verdict = "slow" if pace > 0 else "hasty" if pace < 0 else _by_regularization(regularization)
    reason = "; ".join(reasons) or f"no gap at epoch {epoch}, and the loss has ceased to fall"
    return Reading(verdict, reason, pace, regularization)


def _by_regularization(notches: float) -> str:
    return "overfit" if notches > 0 else "overregularized" if notches < 0 else "balanced"


def _pace(losses: np.ndarray, best: int, longest: int) -> tuple[float, str]:
    last = len(losses) - 1
    if best == last:
        quarter = max(1, len(losses) // 4)
        share = (losses[last - quarter] - losses[last]) / (losses[0] - losses[best])
        steps = ((LINEAR, 3.0), (VERY_SLOW, 2.0), (SLOW, 1.0), (FLAT, 0.5), (-math.inf, 0.0))
        notches = next(notches for least, notches in steps if share > least)
        return notches, f"the validation loss still falls: {share:.0%} of its fall in the last {quarter} epochs"
    if best < max(EARLY, (longest + 1) / 4):
        return (-2.0 if best == 0 else -1.0), f"the validation loss is lowest in epoch {best + 1} already"
    if best < (longest + 1) / 2:
        return -0.5, f"the validation loss is lowest in epoch {best + 1} of {longest + 1}"
    return 0.0, ""


def _pace_of_one(epoch: int, longest: int) -> tuple[float, str]:
    if epoch == longest and longest >= EARLY:
        return 1.0, f"the best epoch is the last one, {epoch + 1}"
    if 0 < epoch < EARLY <= longest:
        return -1.0, f"the best epoch is epoch {epoch + 1}"
    return 0.0, ""


def _gap(metrics: Mapping[str, Mapping[int, float]], objective: str, epoch: int, direction: str) -> float:
    """How far validation is behind training: of an accuracy as it is, of a loss or an error a fifth of its share."""

    def at(*names: str) -> list[float]:
        return [metrics.get(name, {}).get(epoch, math.nan) for name in names]

    own = at(objective.removeprefix("val_"), objective) if objective.startswith("val_") else [math.nan]
    if direction == "max" and "loss" not in objective and all(0 <= value <= 1 for value in own):
        return own[0] - own[1]
    train, validation = own if direction == "min" and np.isfinite(own).all() else at("loss", "val_loss")
    gap = (validation - train) / abs(validation) / 5 if validation else 0.0
    return gap if math.isfinite(gap) else 0.0


def _values(curve: Mapping[int, float] | None) -> np.ndarray:
    return np.array([curve[step] for step in sorted(curve)] if curve else [], float)
