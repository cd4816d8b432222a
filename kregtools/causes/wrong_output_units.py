"""An output that does not have one unit for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import BINARY, BLOWN_UP, CATEGORICAL, SPARSE, STALLED, Head, head_code, heads
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

BROKEN = {("", "loss", "nonfinite"): [0, 1]}
TOO_MANY = 10
ENOUGH = 20


def _facts(loss: str, units: int, **settings: Any) -> dict[str, Any]:
    output = {"tensor": "output", "target": "target", "shape": [None, units], "activation": "softmax"}
    return {"losses": [{"name": loss, "target": "target", **settings}], "outputs": [output]}


def _labels(low: float, high: float, wrong: float | None = None, **more: float) -> dict[tuple[str, str, str], Any]:
    known = {
        "mean": (low + high) / 2,
        "std": (high - low) / 3,
        "min": low,
        "max": high,
        "integer_fraction": 1.0,
        **more,
    }
    known.update({} if wrong is None else {"labels_out_of_range": wrong})
    return {**{("", "target", name): [value] * 2 for name, value in known.items()}, **BROKEN}


class WrongOutputUnits(CauseRule):
    """The output has too few units for the classes, or far too many.

    How it is told: labels were seen that are negative or not below the number of units, or a single unit is trained
    with a crossentropy on labels above 1. More than 10 times as many units as classes were seen is only a hint: such
    an output can be learned.

    What to do: one unit for each class, and labels from 0 to the number of classes less one. A class to be left out
    of the loss is named by `ignore_class`.
    """

    name = "wrong_output_units"
    explains = (*STALLED, *BLOWN_UP, "negative_loss", "no_generalization")
    SICK: ClassVar = (
        example(series=_labels(0, 10, wrong=3), facts=_facts("sparse_categorical_crossentropy", 10)),
        example(series=_labels(-1, 1, wrong=16), facts=_facts("sparse_categorical_crossentropy", 2)),
        example(series=_labels(0, 9), facts=_facts("sparse_categorical_crossentropy", 1)),
        example(series=_labels(0, 2), facts=_facts("binary_crossentropy", 1)),
        example(
            series=_labels(0, 4, wrong=0, rows=2000.0, **{f"count_{i}": 400.0 if i < 5 else 0.0 for i in range(100)}),
            facts=_facts("sparse_categorical_crossentropy", 100),
        ),
    )
    HEALTHY: ClassVar = (
        example(series=_labels(0, 9, wrong=0), facts=_facts("sparse_categorical_crossentropy", 10)),
        example(series=_labels(-1, 9, wrong=5), facts=_facts("sparse_categorical_crossentropy", 10, ignore_class=-1)),
        example(series=_labels(0, 1), facts=_facts("binary_crossentropy", 1)),
        example(series=_labels(0, 60), facts=_facts("mean_squared_error", 1)),
        example(
            series=_labels(0, 4, wrong=0, rows=32.0, **{f"count_{i}": 6.4 if i < 5 else 0.0 for i in range(100)}),
            facts=_facts("sparse_categorical_crossentropy", 100),
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        found = [(*fault, head) for head in heads(record) if (fault := _fault(record, head)) is not None]
        if not found:
            return None
        confidence, reason, units, head = max(found, key=lambda item: item[0])
        added = max(0, -int(head.targets.low))
        below = f" Add {added} to the labels, which have to start at 0." if added else ""
        labels = f"y = y + {added}\n" if added else ""
        return self.found(
            symptoms,
            confidence,
            reason,
            Remedy(
                f"Give the output {units} units, one for each class.{below} The loss should then start near "
                f"ln {units} = {np.log(units):.3g}, and fall.",
                labels + head_code(units, "softmax", "sparse_categorical_crossentropy"),
            ),
        )


def _fault(record: Record, head: Head) -> tuple[float, str, int] | None:
    low, high = head.targets.low, head.targets.high
    if head.loss not in (*BINARY, *CATEGORICAL, *SPARSE) or not np.isfinite([low, high]).all():
        return None
    classes, seen = int(high - min(low, 0)) + 1, f"Labels from {low:g} to {high:g} were seen"
    if head.kind == "labels" and head.settings.get("ignore_class") is None:
        wrong = float(np.nansum(record.series("", head.target, "labels_out_of_range")))
        if wrong > 0:
            reason = f"{seen}, {wrong:.0f} of them not among the {head.units} classes of the output."
            return 0.98, reason, max(classes, 2)
    if head.units == 1 and head.kind == "integers" and classes > 2:
        return 0.97, f"{seen}, and the output has a single unit.", classes
    used = int(np.count_nonzero(head.targets.counts))
    if head.kind == "labels" and 1 < used * TOO_MANY < (head.units or 0) and _enough(head):
        return 0.35, f"The output has {head.units} units, and labels of {used} classes were seen.", classes
    return None


def _enough(head: Head) -> bool:
    return float(head.targets.counts.sum()) >= ENOUGH * (head.units or 0)
