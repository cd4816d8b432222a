"""Batches too small to agree, or too large to learn from often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.steps import batch_rows, rounded, steps_of, steps_per_epoch, training_rows
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

TINY = 4
USUAL = 32
BATCHNORM = ("BatchNormalization", "DropoutAwareBatchNormalization")
FEW_STEPS = 5
LARGE = 256
SHORT = 500
NOISY = ("oscillating_loss", "noisy_validation", "large_update")
SLOW = ("slow_convergence", "no_learning", "underfit")
# Of one row the normalized value is the offset, whatever the row.
OF_BATCHNORM = ("vanishing_gradient", "constant_output", "train_val_mismatch", "no_generalization")
SWINGING = {"loss": [0.69, 0.45, 0.66, 0.41, 0.70, 0.43, 0.64, 0.48]}
NORM = {"name": "norm", "class": "BatchNormalization"}
CRAWLING = {"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]}


def _batches(steps: int) -> dict[str, Any]:
    return {"losses": [{"name": "binary_crossentropy"}], "fit": {"steps": steps}}


def _rows(rows: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "output", "rows"): [rows] * 3}


class WrongBatchSize(CauseRule):
    """The batches are far too small, or far too large.

    How it is told: the loss goes up and down, and a batch has 4 rows or fewer: each step follows the noise of so few.
    Or the loss is slow to fall, a batch has 256 rows or more and an epoch 5 steps or fewer, below 500 in all: there
    were too few steps. A lower learning rate does the same for the first, more epochs for the second. Or a batch
    normalization has a single row to take its mean and variance of, which leaves nothing of its inputs.

    What to do: batches of 32; for large data up to 512, with the learning rate raised.

    Reference: Masters & Luschi, 2018, for 32 as a size that is rarely wrong.
    """

    name = "wrong_batch_size"
    explains = (*NOISY, *SLOW, *OF_BATCHNORM)
    SICK: ClassVar = (
        example(logs=SWINGING, series=_rows(1), facts=_batches(1000)),
        example(logs=CRAWLING, series=_rows(4096), facts=_batches(2)),
        example(logs=CRAWLING, series=_rows(1), facts={**_batches(1000), "layers": [NORM]}),
    )
    HEALTHY: ClassVar = (
        example(logs=SWINGING, series=_rows(32), facts=_batches(100)),
        example(logs=CRAWLING, series=_rows(1), facts=_batches(1000)),
        example(logs=CRAWLING, series=_rows(4096), facts=_batches(100)),
        example(logs=CRAWLING, series=_rows(30), facts=_batches(1)),
        example(logs=SWINGING, facts=_batches(100)),
        example(logs=CRAWLING, series=_rows(8), facts={**_batches(1000), "layers": [NORM]}),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        rows, steps = batch_rows(record), steps_per_epoch(record)
        normalized = [layer["name"] for layer in record.facts.get("layers") or [] if layer.get("class") in BATCHNORM]
        if rows == 1 and normalized:
            reason = f"A batch has one row, and {normalized[0]} subtracts the mean of the batch: nothing is left of it."
            return self.found(symptoms, 0.9, reason, _remedy(USUAL, "The loss should fall from the first epoch on"))
        if rows <= TINY and any(name in symptoms for name in NOISY):
            shown = {name: symptom for name, symptom in symptoms.items() if name in NOISY}
            reason = f"A batch has {rows:.0f} rows: each step follows their noise; {USUAL} is usual."
            return self.found(shown, 0.6, reason, _remedy(USUAL, "The loss should fall smoothly"))
        few = steps is not None and steps <= FEW_STEPS and steps_of(record) < SHORT
        if rows >= LARGE and few and any(name in symptoms for name in SLOW):
            shown = {name: symptom for name, symptom in symptoms.items() if name in SLOW}
            smaller = int(max(USUAL, min(rows / 8, rounded(training_rows(record) / 100))))
            reason = f"A batch has {rows:.0f} rows, so that an epoch has {steps} steps and the run {steps_of(record)}."
            return self.found(
                shown, 0.6, reason, _remedy(smaller, "With more steps an epoch the loss should fall faster")
            )
        return None


def _remedy(size: int, expected: str) -> Remedy:
    return Remedy(
        f"Set `batch_size={size}`. {expected}, at the same learning rate.", f"model.fit(x, y, batch_size={size})"
    )
