"""A network too small for the task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import heads, hidden_layers, joined, kernel_updates, layer_code
from kregtools.causes.regularization import too_strong
from kregtools.record import Record, constant_loss, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import data_loss

MOVING = 1e-5
CONSTANT = 1.1
PLATEAU = 0.15
THROWN = 3.0
WIDER = 4
UNDERFIT = {"loss": [0.70, 0.66, 0.65, 0.65, 0.65, 0.65], "val_loss": [0.66] * 6}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


class InsufficientCapacity(CauseRule):
    """The network is too small to fit the training data.

    How it is told: it underfits although nothing keeps it from learning: the gradients reach every layer, the
    steps are neither too large nor too small, the loss falls no more (its last fifth brought less than 15 % of the
    whole fall), and there is no strong regularization. A loss 10 % above the best constant prediction's speaks
    against it: the biases of the smallest network can do as well as that. So does a crossentropy that is in the
    first epoch three times that of equally frequent classes: something threw the weights far off. All this is evidence
    by exclusion, so the confidence is moderate; labels that are noise look the same.

    What to do: more units, then more layers, until the training loss falls.

    Threshold: the logits of fresh weights cost a crossentropy about a nat more than equal shares; three times their
    loss, ln n for n classes, is more than that for two classes and for many.
    """

    name = "insufficient_capacity"
    explains = ("underfit", "no_learning")
    SICK: ClassVar = (
        example(
            logs=UNDERFIT,
            facts={
                **BINARY,
                "layers": [
                    {"name": "dense", "class": "Dense", "units": 2, "weights": ["kernel"]},
                    {"name": "last", "class": "Dense", "units": 1, "weights": ["kernel"]},
                ],
            },
        ),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [2.1, 1.6, 1.4, 1.4, 1.4, 1.4]}, facts=BINARY),
        example(logs={"loss": [0.699, 0.697, 0.695, 0.693, 0.691, 0.689]}, facts=BINARY),
        example(
            logs=UNDERFIT,
            facts={**BINARY, "layers": [{"name": "drop", "class": "Dropout", "rate": 0.9, "weights": []}]},
        ),
        example(
            logs=UNDERFIT,
            series={("", "loss", "value"): [1.4, 0.7, 0.66], ("", "loss", "penalty"): [0.8, 0.1, 0.01]},
            facts=BINARY,
        ),
        example(logs={**UNDERFIT, "loss": [3870.0, 0.66, 0.65, 0.65, 0.65, 0.65]}, facts=BINARY),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        if "underfit" not in symptoms or set(symptoms) - set(self.explains) or too_strong(record):
            return None
        if symptoms["underfit"].evidence["ratio"] > CONSTANT or not _at_rest(data_loss(record)) or _thrown(record):
            return None
        moving = np.nan_to_num(kernel_updates(record)[1])
        if moving.size and np.median(moving.max(axis=1)) < MOVING:
            return None
        hidden = hidden_layers(record)
        parameters = (record.facts.get("model") or {}).get("parameters")
        size = f"{parameters:,} parameters" if parameters else "its size"
        return self.found(
            symptoms,
            0.4 if "no_learning" in symptoms else 0.6 if hidden else 0.75,
            f"{'Gradients and steps are sound, and nothing' if moving.size else 'Nothing that is known'} regularizes "
            f"strongly: with {size} the network fits no better.",
            self._remedy(record, hidden, symptoms["underfit"]),
        )

    def _remedy(self, record: Record, hidden: list[dict[str, Any]], underfit: Symptom) -> Remedy:
        sized = [layer for layer in hidden if layer.get("units")]
        if sized:
            # What is narrower than the output lets through less than the output could tell apart.
            least = 2 * max((head.units or 0 for head in heads(record)), default=0)
            units = [max(WIDER * layer["units"], least) for layer in sized]
            names = [str(layer.get("name")) for layer in sized]
            text = f"Widen {joined(names)} to {joined([str(count) for count in units])} units"
            lines = [layer_code(layer, count) for layer, count in zip(sized, units, strict=True)]
        else:
            text = "Add a hidden layer before the output"
            lines = [layer_code({"class": "Dense"}, 64)]
        return Remedy(
            f"{text}. The training loss should fall below {underfit.evidence['loss']:.3g}; where it does not, the "
            "inputs do not hold what the labels ask for, or the labels are noise.",
            "\n".join(dict.fromkeys(lines)),
        )


def _thrown(record: Record) -> bool:
    """Whether the first epoch's crossentropy shows that something threw the weights far off."""
    classifies = all("crossentropy" in str(loss.get("name")) for loss in record.facts.get("losses") or [{}])
    untold = constant_loss(Record(record.facts)) or math.inf  # how frequent the classes are has not been learned yet
    return classifies and bool(data_loss(record)[0] > THROWN * untold)


def _at_rest(losses: np.ndarray) -> bool:
    fifth = math.ceil((len(losses) - 1) / 5)
    return bool(losses[-1 - fifth] - losses[-1] <= PLATEAU * (losses[0] - losses.min()))
