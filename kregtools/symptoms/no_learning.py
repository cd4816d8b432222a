"""The training loss is no better than that of a constant."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.comparison import accuracy, beats_majority, majority_share
from kregtools.symptoms.curves import (
    lowest,
    require_seen_penalty,
    steadily_falling,
    validation_data_loss,
)
from kregtools.symptoms.evidence import LEAST_EPOCHS, data_loss
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule
from kregtools.symptoms.yardstick import require_yardstick, yardstick

LEVEL = 0.95
MOVED = 0.02
LEAST_STEPS = 30
MASKED = {"name": "words", "class": "Embedding", "mask_zero": True}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}

AT_REST = {"loss": [2.0, 1.99, 2.0, 1.99], "accuracy": [0.5, 0.51, 0.49, 0.5]}
COIN = {("", "target", name): [value] * 4 for name, value in (("mean", 0.5), ("std", 0.5), ("min", 0.0), ("max", 1.0))}


def _sampled(*losses: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "loss", "value"): list(losses), ("", "loss", "penalty"): [0.0] * len(losses)}


class NoLearning(SymptomRule):
    """The network has learned nothing from its inputs.

    How it is detected: after three epochs and 30 steps or more, the best training loss, penalties left out, is above
    95 % of what the best constant prediction costs, or of the way there from a perfect prediction, where soft targets
    or smoothed labels make that cost something. The best validation loss, which is measured without dropout and
    class weights, is not below that either, and no accuracy is above the share of the most frequent class. A loss
    that falls steadily, by more than 2 % of the constant's, is slow instead. Where the constant's is not known, as
    with weights of rows or classes, the loss has stayed within 2 % of where it was in the first epoch, and an accuracy
    is there to be compared.

    Why it matters: the network ignores its inputs; the biases alone would do as well.

    What to do: see the cause; it can be anything from a learning rate to labels that do not belong to their rows.

    Threshold: 95 % is judgement: below it something was learned, however little.
    """

    name = "no_learning"
    SICK: ClassVar = (
        example(logs={"loss": [0.71, 0.694, 0.693, 0.693, 0.693]}, facts=BINARY),
        example(logs={"loss": [0.69] * 5, "val_loss": [0.70] * 5}, facts=BINARY),
        example(logs={"loss": [8.0, 5.0, 2.0, 1.0, 0.7]}, facts=BINARY),
        example(logs=AT_REST, facts={**BINARY, "weighted": True}, series=COIN),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.68, 0.6, 0.5, 0.4, 0.3]}, facts=BINARY),
        example(logs={"loss": [0.8, 0.75, 0.72, 0.7], "val_loss": [0.68, 0.6, 0.55, 0.5]}, facts=BINARY),
        example(logs={"loss": [9.0, 7.0, 5.0, 4.0], "accuracy": [0.6, 0.7, 0.8, 0.85]}, facts=BINARY, series=COIN),
        example(logs={"loss": [0.694, 0.693]}, facts=BINARY, series=_sampled(0.7, 0.69, 0.69)),
        example(logs={"loss": [0.693] * 5}, facts={**BINARY, "layers": [MASKED]}),
        example(logs={"loss": [0.7, 0.693, 0.693]}, facts={"losses": [{"name": "loss_of_my_own"}]}),
        example(logs={**AT_REST, "accuracy": [0.8] * 4}, facts={**BINARY, "weighted": True}, series=COIN),
        example(logs={**AT_REST, "loss": [2.0, 1.9, 1.9, 1.9]}, facts={**BINARY, "weighted": True}, series=COIN),
    )

    def check(self, record: Record) -> Symptom | None:
        if beats_majority(record, "", "val_"):
            return None
        training, validation = data_loss(record), validation_data_loss(record)
        steps = int(record.logs[-1]["step"]) + 1 if record.logs else 0
        enough = np.isfinite(training).sum() >= LEAST_EPOCHS and steps >= LEAST_STEPS
        if yardstick(record) is None and enough and (unmoved := _unmoved(record, training)) is not None:
            return unmoved
        judged = require_yardstick(record)
        best = lowest(training, validation)
        if not judged.above(best, LEVEL):
            return None
        if steadily_falling(training) and training[0] - training[-1] > judged.at(MOVED) - judged.at(0.0):
            return None
        if not enough and len(training) >= LEAST_EPOCHS and steps >= LEAST_STEPS:
            raise CannotCheckError(
                f"the loss is finite in {np.isfinite(training).sum()} of {len(training)} epochs, and {LEAST_EPOCHS} "
                "are needed"
            )
        if not enough:
            raise CannotCheckError(
                f"{len(record.logs)} epochs of {steps} steps in all were run, and {LEAST_EPOCHS} epochs and "
                f"{LEAST_STEPS} steps are needed: raise `epochs`"
            )
        require_seen_penalty(record)
        if any(layer.get("mask_zero") for layer in record.facts.get("layers") or ()):
            raise CannotCheckError("inputs are masked, so that the loss of the best constant prediction is not known")
        return Symptom(
            self.name,
            "critical",
            f"The best loss is {best:.3g}, {judged.told(best)} ({judged.constant:.3g}); below {LEVEL:.0%} "
            "something would have been learned.",
            (),
            None,
            {"loss": best, **judged.evidence, "ratio": judged.share(best), "threshold": LEVEL},
        )


def _unmoved(record: Record, losses: np.ndarray) -> Symptom | None:
    """A loss that stays where it began, of a network that names no class better than by its frequency."""
    majority, curve = majority_share(record), accuracy(record)
    moved = float(np.ptp(losses)) / abs(losses[0]) if np.isfinite(losses).all() and losses[0] else np.inf
    if majority is None or curve is None or moved > MOVED:
        return None
    return Symptom(
        NoLearning.name,
        "critical",
        f"The loss stays at {losses[0]:.3g}, within {moved:.1%}, and the accuracy is at best {np.nanmax(curve):.1%}, "
        f"where always naming the most frequent class has {majority:.1%}; something would have been learned if the "
        f"loss had changed by more than {MOVED:.0%}.",
        (),
        None,
        {"loss": float(losses[-1]), "moved": moved, "majority_share": majority, "threshold": MOVED},
    )
