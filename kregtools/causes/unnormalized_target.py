"""Targets at a scale the output does not start at."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import BLOWN_UP, CUT_OFF, REGRESSION, STALLED, STANDARDIZE_TARGET, Head, heads
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

FAR = 10.0
BROKEN = {("", "loss", "nonfinite"): [0, 1]}
SQUARED = {
    "losses": [{"name": "mean_squared_error", "target": "target"}],
    "outputs": [{"tensor": "output", "target": "target", "shape": [None, 1], "activation": "linear"}],
}
LABELLED = {**SQUARED, "losses": [{"name": "binary_crossentropy", "target": "target"}]}


def _series(target: tuple[float, float], output: tuple[float, float]) -> dict[tuple[str, str, str], list[Any]]:
    mean, std = target
    return {
        ("", "target", "mean"): [mean] * 2,
        ("", "target", "std"): [std] * 2,
        ("", "target", "min"): [mean - 2 * std] * 2,
        ("", "target", "max"): [mean + 2 * std] * 2,
        ("", "target", "integer_fraction"): [0.0] * 2,
        ("", "output", "mean"): [output[0]] * 2,
        ("", "output", "std"): [output[1]] * 2,
        **BROKEN,
    }


class UnnormalizedTarget(CauseRule):
    """The targets of a regression are far from what the output starts with.

    How it is told: the rms distance of the targets from the first prediction's mean is more than 10 times the larger
    of 1 and the rms of the first predictions. An output bias that starts at the targets' mean mends their mean.

    What to do: standardize the targets, and turn the predictions back: `prediction * std + mean`.

    Threshold: judgement. The gradient of the squared error grows with the distance, and with Adam it takes about
    distance / learning rate steps to get there.
    """

    name = "unnormalized_target"
    explains = (*STALLED, *BLOWN_UP, *CUT_OFF)
    SICK: ClassVar = (
        example(series=_series((200.0, 80.0), (0.1, 0.5)), facts=SQUARED),
        example(series=_series((0.0, 40.0), (0.1, 0.5)), facts=SQUARED),
        example(series=_series((2000.0, 1.0), (0.0, 1.0)), facts=SQUARED),
    )
    HEALTHY: ClassVar = (
        example(series=_series((0.0, 1.0), (0.1, 0.5)), facts=SQUARED),
        example(series=_series((200.0, 5.0), (199.0, 1.0)), facts=SQUARED),
        example(series=_series((50.0, 80.0), (10.0, 90.0)), facts=SQUARED),
        example(series=_series((200.0, 80.0), (0.1, 0.5)), facts=LABELLED),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        found = [(ratio, head) for head in heads(record) if (ratio := _distance(record, head)) > FAR]
        if not found:
            return None
        ratio, head = max(found, key=lambda item: item[0])
        mean, std = head.targets.mean, math.sqrt(head.targets.variance)
        of = f" of output {head.target.partition(':')[2]}" if ":" in head.target else ""
        return self.found(
            symptoms,
            min(0.9, 0.75 + 0.1 * math.log10(ratio / FAR)),
            f"The targets{of} have a mean of {mean:.3g} and a std of {std:.3g}, {ratio:.3g} times as far from the "
            f"first predictions as those are large; within {FAR:g} times is healthy.",
            Remedy(
                f"Standardize the targets{of}: take off {mean:.3g}, divide by {std:.3g}, and turn the predictions back "
                "with the same two numbers. The loss should then start at about 1, for the squared error.",
                STANDARDIZE_TARGET,
            ),
        )


def _distance(record: Record, head: Head) -> float:
    """How far the targets are from the first predictions, in units of those; NaN where that is not known."""
    if head.loss not in REGRESSION or head.kind not in ("numbers", "integers"):
        return math.nan
    first = [_first(record.series("", head.output, statistic)) for statistic in ("mean", "std")]
    mean, std = np.nan_to_num(first)
    distance = math.hypot(head.targets.mean - mean, math.sqrt(head.targets.variance))
    return distance / max(1.0, math.hypot(mean, std))


def _first(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[0]) if len(finite) else math.nan
