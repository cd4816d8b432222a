"""A loss below zero where there is no such thing."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule

LEAST = -1e-3
NEVER_NEGATIVE = frozenset(
    {
        "binary_crossentropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
        "binary_focal_crossentropy",
        "categorical_focal_crossentropy",
        "mean_squared_error",
        "mean_absolute_error",
        "mean_absolute_percentage_error",
        "mean_squared_logarithmic_error",
        "huber",
        "log_cosh",
        "hinge",
        "squared_hinge",
        "categorical_hinge",
    }
)
# Models without a train step, and so without losses, of their own.
PLAIN = ("Sequential", "Functional")
BINARY = {"losses": [{"name": "binary_crossentropy"}], "model": {"class": "Sequential"}}


def _sampled(value: float, penalty: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "loss", "value"): [value] * 3, ("", "loss", "penalty"): [penalty] * 3}


class NegativeLoss(SymptomRule):
    """The loss is negative although its formula cannot be.

    How it is detected: a crossentropy, a squared or absolute error or a hinge loss, penalties left out, is below
    -0.001 at a sampled step or in an epoch. Of a model with a train step of its own only the samples are judged;
    losses that may be negative (likelihoods, divergences, similarities, one's own, or of one's own `compute_loss`) are
    not.

    Why it matters: a crossentropy is negative when the targets are no probabilities. It then has no minimum: the
    network is rewarded for going ever further in one direction.

    What to do: see the cause; look at the range of the targets.

    Threshold: zero, less what rounding can do.
    """

    name = "negative_loss"
    SICK: ClassVar = (
        example(logs={"loss": [0.5, -3.0, -40.0]}, facts=BINARY),
        example(series=_sampled(-0.3, 0.1), facts={"losses": [{"name": "binary_crossentropy"}]}),
        example(logs={"val_loss": [-0.5], "loss": [0.1]}, facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.5, 0.1, 1e-9]}, facts=BINARY),
        example(logs={"loss": [0.5, -3.0, -40.0]}, facts={"losses": [{"name": "cosine_similarity"}]}),
        example(logs={"loss": [0.5, -3.0, -40.0]}, facts={"losses": [{"name": "my_likelihood"}]}),
        example(logs={"loss": [0.2, -0.3]}, series=_sampled(-0.3, -0.5), facts=BINARY),
        example(
            logs={"loss": [0.5, -3.0]}, facts={"losses": [{"name": "mean_squared_error"}], "model": {"class": "Gan"}}
        ),
        example(
            logs={"loss": [-0.5, -0.6]},
            facts={"losses": [{"name": "mean_squared_error", "weight": -1.0}], "model": {"class": "Functional"}},
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        values = _values(record)
        if not (values < LEAST).any():
            return None
        if not impossible(record):
            raise CannotCheckError("the loss is negative, and whether it may be is not known of a loss of this name")
        lowest, index = float(np.nanmin(values)), int(np.argmax(values < LEAST))
        sampled, losses = len(_sampled_values(record)), record.facts["losses"]
        step = record.steps[index] if sampled else record.logs[index % len(record.logs)]["step"]
        return Symptom(
            self.name,
            "critical",
            f"The loss is {lowest:.3g} at its lowest; {losses[0]['name']} cannot be below 0.",
            (),
            int(step),
            {"loss": lowest, "threshold": LEAST},
        )


def impossible(record: Record) -> bool:
    """Whether the loss is negative, and of a kind that cannot be."""
    losses = record.facts.get("losses") or []
    known = bool(losses) and not record.facts.get("own_loss") and all(map(never_negative, losses))
    return known and bool((_values(record) < LEAST).any())


def _values(record: Record) -> np.ndarray:
    sampled = _sampled_values(record)
    return sampled if len(sampled) else _reported(record)


def _sampled_values(record: Record) -> np.ndarray:
    values = record.series("", "loss", "value") - record.series("", "loss", "penalty")
    return values if np.isfinite(values).any() else np.empty(0)


def _reported(record: Record) -> np.ndarray:
    plain = (record.facts.get("model") or {}).get("class") in PLAIN
    regularized = any(layer.get("regularized") for layer in record.facts.get("layers") or ())
    logged = np.concatenate([record.log("loss"), record.log("val_loss")])
    return logged if plain and not regularized else np.empty(0)


def never_negative(loss: dict[str, Any]) -> bool:
    weight = loss.get("weight", 1.0)
    return loss.get("name") in NEVER_NEGATIVE and weight is not None and weight >= 0
