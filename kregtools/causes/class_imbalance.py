"""Classes of which some hardly occur."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import STALLED, Head, accuracy, heads
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

TIMES = 10.0
NEAR = 0.1
ENOUGH = 20
LISTED = 10


def _case(share: float, *accuracies: float, size: float = 512.0) -> dict[str, Any]:
    std = float(np.sqrt(share * (1 - share)))
    known = {"mean": share, "std": std, "min": 0.0, "max": 1.0, "integer_fraction": 1.0, "count": size}
    entropy = -(share * np.log(share) + (1 - share) * np.log(1 - share))
    losses = [{"name": "binary_crossentropy", "target": "target"}]
    outputs = [{"tensor": "output", "target": "target", "shape": [None, 1], "activation": "sigmoid"}]
    return {
        "logs": {"loss": [entropy] * len(accuracies), "accuracy": list(accuracies)},
        "series": {("", "target", name): [value] * 4 for name, value in known.items()},
        "facts": {"losses": losses, "outputs": outputs},
    }


class ClassImbalance(CauseRule):
    """The network has learned to name the largest class.

    How it is told: the most frequent class occurs more than 10 times as often as the rarest, and the training
    accuracy is that of naming the most frequent one: no more than a tenth of the way from there to 1.

    What to do: weigh the classes (`class_weight`), or show the rare ones more often, and watch the recall or the area
    under the precision-recall curve in place of the accuracy.

    Threshold: 10 is SageMaker Debugger's ratio; the tenth is judgement.
    """

    name = "class_imbalance"
    explains = (*STALLED, "no_generalization")
    SICK: ClassVar = (example(**_case(0.04, *[0.96] * 6)), example(**_case(0.95, *[0.95] * 6)))
    HEALTHY: ClassVar = (
        example(**_case(0.4, *[0.6] * 6)),
        example(**_case(0.04, *[0.985] * 6)),
        example(**_case(0.04, *[0.96] * 6, size=4.0)),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        reached, found = accuracy(record), heads(record)
        counts = _counts(record, found[0]) if len(found) == 1 else np.zeros(0)
        present = counts[counts > 0]
        if reached is None or len(present) < 2 or counts.sum() < ENOUGH * len(counts):
            return None
        share, ratio = float(present.max() / present.sum()), float(present.max() / present.min())
        if ratio <= TIMES or not share - NEAR * share <= reached <= share + NEAR * (1 - share):
            return None
        weights = {int(label): _weight(present, float(counts[label])) for label in np.flatnonzero(counts)[:LISTED]}
        return self.found(
            symptoms,
            0.7,
            f"The most frequent class is {ratio:.3g} times as frequent as the rarest and makes up {share:.1%} of the "
            f"labels; the accuracy of {reached:.1%} is that of always naming it.",
            Remedy(
                "Weigh the classes by how rare they are, and judge by the recall of the rare ones. The accuracy may "
                "fall at first; the recall should rise.",
                f"class_weight = {weights!r}\nmodel.fit(x_train, y_train, class_weight=class_weight)",
            ),
        )


def _counts(record: Record, head: Head) -> np.ndarray:
    """How often each class was seen."""
    if head.kind in ("labels", "one_hot"):
        return head.targets.counts
    shares, seen = head.targets.shares, record.series("", head.target, "count")
    if head.kind != "binary" or shares is None:
        return np.zeros(0)
    return np.array([1 - shares[0], shares[0]]) * np.nansum(seen)


def _weight(present: np.ndarray, count: float) -> float:
    """The weight that gives every class the same sum."""
    return round(float(present.sum() / (len(present) * count)), 3)
