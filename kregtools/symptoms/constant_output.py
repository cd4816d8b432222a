"""The same prediction for every row."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.record.targets import Targets
from kregtools.symptoms.evidence import data_loss, intact, require_samples
from kregtools.symptoms.symptom import CannotCheckError, Shown, Symptom, SymptomRule
from kregtools.symptoms.yardstick import yardstick

SHARE = 0.01
SAME = 1e-5
LEARNED = 0.9
FIRST_STEPS = 10
BINARY = {"losses": [{"name": "binary_crossentropy", "target": "target"}]}
FLAT, FALLS = {"loss": [0.70, 0.69, 0.69]}, {"loss": [0.70, 0.69, 0.40]}
LABELS = {
    **{("", "target", f"count_{label}"): [8.0] * 20 for label in range(4)},
    ("", "target", "labels_out_of_range"): [0.0] * 20,
}


def _rows(*row_std: float, rows: float = 32) -> dict[tuple[str, str, str], list[float]]:
    return {("", "output", "row_std"): list(row_std), ("", "output", "rows"): [rows] * len(row_std)}


def _output(*row_std: float, rows: float = 32) -> dict[tuple[str, str, str], list[float]]:
    targets = {"mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0}
    known = {("", "target", name): [value] * len(row_std) for name, value in targets.items()}
    return {**_rows(*row_std, rows=rows), **known}


class ConstantOutput(SymptomRule):
    """The network predicts the same whatever it is shown.

    How it is detected: over the last half of the sampled steps, the first ten steps left out, the predictions for
    the rows of a batch differ by less than 1 % of the spread of the targets: their std within columns, and for labels
    that of their one-hot code. If the loss is below 90 % of the best constant prediction's, the predictions have to
    be equal to 1e-5: a loss can fall past a broken activation, but a small spread alone is no constant then.

    Why it matters: whatever the loss says, nothing of the input arrives at the output.

    What to do: see the cause; units that are all off, an output activation with a single value (softmax over one
    unit), inputs or steps of the wrong scale.

    Threshold: 1 % is judgement; a network that has learned anything at all is far above it.
    """

    name = "constant_output"
    shown = Shown("output", "row_std", "spread of predictions", limited=False)
    SICK: ClassVar = (
        example(logs=FLAT, series=_output(*[0.1, 0.05] + [0.001] * 18), facts=BINARY),
        example(logs={"loss": [0.7, 0.1, 0.0]}, series=_output(*[0.0] * 20), facts=BINARY),
        example(series={**_rows(*[1e-4] * 20), **LABELS}),
    )
    HEALTHY: ClassVar = (
        example(logs=FALLS, series=_output(*[0.001] * 10 + [0.1, 0.2] * 5), facts=BINARY),
        example(logs=FLAT, series=_output(*[0.02] * 20), facts=BINARY),
        example(logs=FALLS, series=_output(*[0.004] * 20), facts=BINARY),
        example(logs=FLAT, series=_output(*[0.0] * 20, rows=1), facts=BINARY),
        example(series={**_output(*[0.0] * 20), ("", "target", "std"): [0.0] * 20}),
        example(series={**_rows(*[0.05] * 20), **LABELS}),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        outputs = [tensor for layer, tensor in record.tensors("row_std") if not layer]
        if not outputs:
            raise CannotCheckError("the outputs were not measured: leave `details` of HealthMonitor on")
        shares = {tensor: found for tensor in outputs if (found := self._shares(record, tensor)) is not None}
        if not shares:
            return None
        judged = {tensor: share[np.isfinite(share)] for tensor, share in shares.items()}
        if all(len(share) < 2 for share in judged.values()):
            raise CannotCheckError("fewer than two batches of several rows were sampled after step 10: train longer")
        most = SAME if self._learned(record) else SHARE
        seen = {tensor: float(share[len(share) // 2 :].max()) for tensor, share in judged.items() if len(share) > 1}
        constant = {tensor: share for tensor, share in seen.items() if share < most}
        if not constant:
            return None
        tensor, share = next(iter(constant.items()))
        whose = "The predictions" if len(outputs) == 1 else f"The predictions of {tensor.partition(':')[2]}"
        flat = np.nan_to_num(shares[tensor], nan=math.inf) < most
        return Symptom(
            self.name,
            "critical",
            f"{whose} for different rows differ by {share:.1e} of the spread of the targets; healthy is above "
            f"{SHARE:.0%}.",
            (),
            int(record.steps[np.argmax(flat)]),
            {"share": share, "threshold": most},
        )

    def _shares(self, record: Record, tensor: str) -> np.ndarray | None:
        """The spread of an output as a share of its targets' by sample; `None` where there is nothing to tell apart."""
        target = tensor.replace("output", "target", 1)
        spread = _spread(Targets(record, target), set(record.statistics("", target)), _width(record, tensor))
        if not spread > 0:
            return None
        rows = record.series("", tensor, "rows")
        judged = (rows > 1) & (record.steps >= FIRST_STEPS) & intact(record)
        return np.where(judged, record.series("", tensor, "row_std"), np.nan) / spread

    def _learned(self, record: Record) -> bool:
        judged, losses = yardstick(record), data_loss(record)
        known = losses[np.isfinite(losses)]
        return judged is not None and len(known) > 0 and bool(known[-1] < judged.at(LEARNED))


def _spread(targets: Targets, recorded: set[str], width: int | None) -> float:
    """The std of the targets within columns, that of a one-hot code where they are labels."""
    if "labels_out_of_range" not in recorded:
        between = float(np.var(targets.columns))
        return math.sqrt(max(targets.variance - between, 0.0)) if targets.known else math.nan
    if len(targets.counts):
        share = targets.counts / max(float(targets.counts.sum()), 1.0)
    else:
        share = np.array([1 / (width or 1)])  # so many classes are not counted
    return float(np.sqrt(share * (1 - share)).mean())


def _width(record: Record, tensor: str) -> int | None:
    shapes = [o.get("shape") for o in record.facts.get("outputs") or [] if o.get("tensor") in (tensor, None)]
    return shapes[0][-1] if len(shapes) == 1 and shapes[0] else None
