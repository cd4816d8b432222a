"""A loss that does not fit the targets."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import (
    BINARY,
    BLOWN_UP,
    CATEGORICAL,
    CUT_OFF,
    REGRESSION,
    SPARSE,
    STALLED,
    Head,
    accuracy,
    fitting,
    head_code,
    heads,
)
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.capacity import FEW_CLASSES

BROKEN = {("", "loss", "nonfinite"): [0, 1]}
# The targets for which a loss is defined.
RANGES = {
    **dict.fromkeys(BINARY, (0.0, 1.0)),
    **dict.fromkeys(CATEGORICAL, (0.0, 1.0)),
    "kl_divergence": (0.0, 1.0),
    "poisson": (0.0, math.inf),
    "mean_squared_logarithmic_error": (-1.0, math.inf),
    **dict.fromkeys(("hinge", "squared_hinge", "categorical_hinge"), (-1.0, 1.0)),
}
ROUNDING = 1e-3


def _facts(loss: str, activation: str, units: int) -> dict[str, Any]:
    output = {"tensor": "output", "target": "target", "shape": [None, units], "activation": activation}
    return {"losses": [{"name": loss, "target": "target"}], "outputs": [output]}


def _targets(mean: float, std: float, low: float, high: float, **more: float) -> dict[tuple[str, str, str], list[Any]]:
    known = {"mean": mean, "std": std, "min": low, "max": high, "integer_fraction": 1.0, **more}
    return {**{("", "target", name): [value] * 2 for name, value in known.items()}, **BROKEN}


ONE_HOT = _targets(0.1, 0.3, 0.0, 1.0, count=320.0, rows=32.0, **{f"count_{i}": 3.2 for i in range(10)})
MANY_HOT = _targets(
    0.3, 0.3 * 0.7 / 0.4582576, 0.0, 1.0, count=320.0, rows=32.0, **{f"count_{i}": 9.6 for i in range(10)}
)
LABELS = _targets(4.5, 2.9, 0.0, 9.0, labels_out_of_range=0.0, rows=320.0, **{f"count_{i}": 32.0 for i in range(10)})
COIN = _targets(0.5, 0.5, 0.0, 1.0)


class WrongLoss(CauseRule):
    """The loss does not measure what the targets ask for.

    How it is told: by the targets that were seen. A loss is wrong for certain where it is not defined for them
    (crossentropy of targets outside 0 to 1), where it is the same for every prediction (categorical crossentropy of
    one unit), or where it compares other things (a squared error of class numbers with one output a class). A squared
    error of probabilities, and a binary crossentropy of a softmax, can be learned, but slowly: there the confidence
    is moderate. Where the targets are integers within a range of 30, an accuracy among the metrics tells classes from
    counts.

    What to do: labels ask for sparse categorical crossentropy, one-hot targets for categorical, several labels a row
    and two classes for binary crossentropy, numbers for a squared or absolute error.

    Threshold: the alphabet has 26 letters; whole numbers that reach further are regressed on at least as often.
    """

    name = "wrong_loss"
    explains = (*STALLED, *BLOWN_UP, *CUT_OFF, "negative_loss", "no_generalization")
    SICK: ClassVar = (
        example(series=ONE_HOT, facts=_facts("mean_squared_error", "softmax", 10)),
        example(series=ONE_HOT, facts=_facts("binary_crossentropy", "softmax", 10)),
        example(series=LABELS, facts=_facts("mean_squared_error", "linear", 10)),
        example(series=COIN, facts=_facts("categorical_crossentropy", "sigmoid", 1)),
        example(series=COIN, facts=_facts("mean_absolute_error", "sigmoid", 1)),
        example(series=_targets(0.0, 1.0, -1.0, 1.0), facts=_facts("binary_crossentropy", "sigmoid", 1)),
    )
    HEALTHY: ClassVar = (
        example(series=ONE_HOT, facts=_facts("categorical_crossentropy", "softmax", 10)),
        example(series=LABELS, facts=_facts("sparse_categorical_crossentropy", "softmax", 10)),
        example(series=MANY_HOT, facts=_facts("binary_crossentropy", "sigmoid", 10)),
        example(series=MANY_HOT, facts=_facts("mean_squared_error", "sigmoid", 10)),
        example(series=COIN, facts=_facts("binary_crossentropy", "sigmoid", 1)),
        example(series=_targets(30.0, 9.0, 3.0, 60.0), facts=_facts("mean_squared_error", "linear", 1)),
        example(series=_targets(0.0, 1.0, -1.0, 1.0), facts=_facts("hinge", "tanh", 1)),
        example(series=BROKEN, facts=_facts("my_loss", "linear", 1)),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        classifies = accuracy(record) is not None or any("acc" in name for name in record.facts.get("metrics") or [])
        found = [(*fault, head) for head in heads(record) if (fault := _fault(head, classifies)) is not None]
        if not found:
            return None
        confidence, reason, head = max(found, key=lambda item: item[0])
        units, activation, loss = fitting(head)
        low = head.targets.low
        relabelled = head.kind == "binary" and (low, head.targets.high) != (0, 1)
        same = " Label the two classes 0 and 1." if relabelled else ""
        labels = f"y = (y - {low:g}) / {head.targets.high - low:g}\n".replace("- -", "+ ") if relabelled else ""
        return self.found(
            symptoms,
            confidence,
            reason,
            Remedy(
                f"For these targets use {loss} with {units} output unit{'s' if units > 1 else ''} and the activation "
                f"{activation}.{same} The loss should then fall below the best constant prediction's within an epoch.",
                labels + head_code(units, activation, loss),
            ),
        )


def _fault(head: Head, classifies: bool) -> tuple[float, str] | None:
    loss, kind, targets = head.loss, head.kind, head.targets
    low, high = RANGES.get(loss, (-math.inf, math.inf))
    if loss in CATEGORICAL and head.units == 1:
        return 0.98, f"{loss} of a single unit is the same for every prediction: it needs one unit a class."
    if loss in (*REGRESSION, *CATEGORICAL, *BINARY) and kind == "labels":
        return 0.97, f"The targets are class numbers, which {loss} compares with each of the {head.units} outputs."
    if loss in SPARSE and kind in ("one_hot", "multi_label"):
        return 0.95, f"The targets have one column a class, and {loss} is made for class numbers."
    if targets.low < low - ROUNDING or targets.high > high + ROUNDING:
        return (
            0.95,
            f"The targets range from {targets.low:.3g} to {targets.high:.3g}; {loss} asks for {low:g} to {high:g}.",
        )
    return _doubtful(head, classifies)


def _doubtful(head: Head, classifies: bool) -> tuple[float, str] | None:
    """What can be learned with, but not well."""
    loss, kind, targets = head.loss, head.kind, head.targets
    squashed = head.activation in ("softmax", "sigmoid")
    if loss in CATEGORICAL and kind == "multi_label":
        return 0.8, f"Rows have several labels or none, and {loss} is made for exactly one."
    if loss in REGRESSION and kind == "one_hot" and (squashed or classifies):
        return (
            0.8,
            f"The targets are one-hot classes and the loss is {loss}; its gradient fades where it is most wrong.",
        )
    if loss in REGRESSION and kind == "binary" and (head.activation == "sigmoid" or classifies):
        return 0.7, f"The targets are two classes and the loss is {loss}; its gradient fades where it is most wrong."
    if loss in REGRESSION and kind == "integers" and classifies and targets.high - targets.low < FEW_CLASSES:
        return 0.8, f"The targets are whole numbers, an accuracy is asked for, and the loss is {loss}."
    if loss in BINARY and kind == "one_hot" and head.activation == "softmax":
        confidence = 0.75 if (head.units or 0) > 2 else 0.4
        return confidence, f"The targets are one-hot and the output is a softmax, but {loss} takes each unit by itself."
    return None
