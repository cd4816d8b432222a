"""A loss that ends far above where it began."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, constant_loss, example
from kregtools.symptoms.curves import trend
from kregtools.symptoms.evidence import data_loss, require_epochs
from kregtools.symptoms.negative_loss import never_negative
from kregtools.symptoms.symptom import Symptom, SymptomRule

GROWTH = 2.0
UNKNOWN_GROWTH = 10.0
COLLAPSE = 5.0
RISE = 1.25
STEADY = 0.8
LEAST_RISING = 5
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _began_at(value: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "loss", "value"): [value], ("", "loss", "penalty"): [0.0]}


class DivergingLoss(SymptomRule):
    """The training loss grows, and ends far above where it began.

    How it is detected: penalties left out, the last loss is finite and more than twice both what the run began with
    and what the best constant prediction costs; where the latter is not known, more than ten times the former. Also
    a loss that has become NaN after it was finite, and one that had fallen and went back to the constant's, to five
    times its lowest value or more, in two epochs running. And one that has risen steadily (rank correlation with time
    above 0.8) over five epochs or more, to a quarter above its lowest value and its first: a crossentropy, a squared
    or an absolute error, or where only the logs are known, one whose validation loss rises as well. A loss that starts
    high and falls does not diverge, however high it is: that is a question of scale.

    Why it matters: every step makes the network worse; it ends worse than it was before training.

    What to do: see the cause; a lower learning rate, `global_clipnorm=1.0`, inputs and targets of unit scale.

    Threshold: twice the start, measured against the run itself, as dropout lifts the training loss of a healthy run
    above the constant's. The factors are judgement.
    """

    name = "diverging_loss"
    SICK: ClassVar = (
        example(logs={"loss": [0.9, 1.4, 2.6, 8.0, 40.0]}, facts=BINARY),
        example(logs={"loss": [900.0, 700.0, 650.0, 600.0]}, series=_began_at(0.8), facts=BINARY),
        example(logs={"loss": [0.7, 0.5, float("nan"), float("nan")]}),
        example(logs={"loss": [0.6, 0.3, 0.1, 0.6, 0.694, 0.693]}, facts=BINARY),
        example(logs={"loss": [3.0, 9.0, 80.0, 4e3]}),
        example(logs={"loss": [0.5, 0.6, 0.65, 0.7, 0.8, 0.9]}, facts=BINARY),
        example(logs={"loss": [1.5, 2.0, 3.0, 5.0, 9.0], "val_loss": [1.6, 2.2, 3.1, 4.8, 9.5]}),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [2e4, 1e4, 6e3, 4e3]}, series=_began_at(3e4), facts=BINARY),
        example(logs={"loss": [0.74, 0.72, 0.75, 0.71]}, facts=BINARY),
        example(logs={"loss": [0.01, 0.009, 0.03, 0.012]}, facts=BINARY),
        example(logs={"loss": [0.7, 0.5, 0.4, 0.3]}),
        example(logs={"loss": [-1.0, -5.0, -20.0, -90.0]}),
        example(logs={"loss": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}),
        example(logs={"loss": [0.50, 0.52, 0.54, 0.56, 0.58, 0.60]}, facts=BINARY),
        example(logs={"loss": [float("nan")] * 4}, facts=BINARY),
        example(logs={"loss": [12.0]}, series=_began_at(0.8), facts=BINARY),
    )

    def check(self, record: Record) -> Symptom | None:
        losses, constant = data_loss(record), constant_loss(record)
        finite = np.isfinite(losses)
        if finite.any() and not finite[int(np.argmax(finite)) :].all():
            return self._became_nan(record, losses)
        require_epochs(record, 2)
        if not finite.all():
            return None
        last, start = float(losses[-1]), self._start(record, losses)
        if start > 0 and last > (GROWTH if constant else UNKNOWN_GROWTH) * max(start, constant or 0.0):
            return self._found(record, losses > start, last, start, "what it was at the start")
        lowest = float(losses.min())
        returned = constant is not None and bool((losses[-2:] >= 0.95 * constant).all())
        if returned and 0 < lowest <= losses[-2:].min() / COLLAPSE:
            after = np.arange(len(losses)) > np.argmin(losses)
            return self._found(record, after, last, lowest, "the lowest it had reached")
        since = losses[np.argmin(losses) :]
        rising = len(since) >= LEAST_RISING and trend(since) > STEADY and last > RISE * max(lowest, losses[0]) > 0
        if rising and _should_fall(record):
            after = np.arange(len(losses)) > np.argmin(losses)
            return self._found(record, after, last, lowest, "the lowest it had reached", RISE)
        return None

    def _start(self, record: Record, losses: np.ndarray) -> float:
        """What the run began with: the first step's loss, or the first epoch's if that is lower or all there is."""
        value, penalty = record.series("", "loss", "value"), record.series("", "loss", "penalty")
        sampled = value - np.nan_to_num(penalty)
        return float(np.nanmin([*sampled[:1], losses[0]]))

    def _found(
        self, record: Record, shown: np.ndarray, last: float, before: float, what: str, threshold: float = GROWTH
    ) -> Symptom:
        return Symptom(
            self.name,
            "critical",
            f"The training loss ends at {last:.3g}, {last / before:.3g} times {what} ({before:.3g}); it should have "
            "fallen.",
            (),
            int(record.logs[int(np.argmax(shown))]["step"]),
            {"loss": last, "before": before, "times": last / before, "threshold": threshold},
        )

    def _became_nan(self, record: Record, losses: np.ndarray) -> Symptom:
        known = np.flatnonzero(np.isfinite(losses))
        first = int(np.argmax(~np.isfinite(losses[known[0] :]))) + int(known[0])
        return Symptom(
            self.name,
            "critical",
            f"The training loss was {losses[first - 1]:.3g} in epoch {record.epochs[first - 1] + 1} and is NaN or "
            f"infinite in epoch {record.epochs[first] + 1}; it should be finite throughout.",
            (),
            int(record.logs[first]["step"]),
            {"before": float(losses[first - 1]), "epoch": float(record.epochs[first] + 1)},
        )


def _should_fall(record: Record) -> bool:
    """Whether it is a loss that training is to lower: that of one network in a contest with another may rise."""
    losses, validation = record.facts.get("losses") or [], record.log("val_loss")
    if losses:
        return all(never_negative(loss) for loss in losses)
    return bool(np.isfinite(validation).all()) and trend(validation) > STEADY
