"""What several symptoms need to know of a record."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from kregtools.record import Record, derived
from kregtools.symptoms.symptom import CannotCheckError
from kregtools.symptoms.yardstick import yardstick

LEAST_EPOCHS = 3


def require_samples(record: Record, least: int = 1) -> None:
    """Refuses a record that holds fewer sampled steps than that."""
    reason = record.facts.get("watching", {}).get("reason")
    if reason:
        raise CannotCheckError(f"the training steps were not looked into: {reason}")
    sampled = sampled_steps(record)
    if not sampled and not record.facts.get("watching", {}).get("taps"):
        raise CannotCheckError("the training steps were not looked into: use HealthMonitor in place of FitDiagnosis")
    if sampled < least:
        raise CannotCheckError(
            f"{sampled} training steps were sampled and {least} are needed: train longer, or lower `sample_every`"
        )


def sampled_steps(record: Record) -> int:
    """How many steps were sampled; what was measured of BatchNormalization beside them says nothing of a step."""
    beside = np.zeros(len(record.samples), dtype=bool)
    for statistic in ("recalibrated", "lag"):
        beside |= np.isfinite(record.matrix("moving_variance", statistic)[1]).any(axis=1)
    return len(record.samples) - int(beside.sum())


def require_epochs(record: Record, least: int = LEAST_EPOCHS) -> None:
    """Refuses a record that holds fewer epochs than that."""
    if len(record.logs) < least:
        raise CannotCheckError(f"{len(record.logs)} epochs were run and {least} are needed: raise `epochs`")


def intact(record: Record) -> np.ndarray:
    """The sampled steps, booleans, at which every weight was finite; what comes after says nothing of its own."""
    sound = np.ones(len(record.samples), dtype=bool)
    for tensor in dict.fromkeys(tensor for _, tensor in record.tensors("weight_nonfinite")):
        # Not every sample looks at the weights, and they do not recover.
        sound &= ~np.logical_or.accumulate((record.matrix(tensor, "weight_nonfinite")[1] > 0).any(axis=1))
    return sound


def validation_loss(record: Record) -> np.ndarray:
    """The validation loss by epoch, or a refusal where there is none."""
    losses = record.log("val_loss")
    if not np.isfinite(losses).any():
        if any("val_loss" in entry for entry in record.logs):
            raise CannotCheckError("the validation loss is NaN or infinite in every epoch")
        raise CannotCheckError("there is no validation loss: pass `validation_data` or `validation_split` to `fit`")
    return losses


def kernel_gradients(record: Record) -> tuple[list[str], np.ndarray]:
    """RMS gradient of every kernel: the layers in forward order, values `(samples, layers)`."""
    return record.matrix("kernel", "gradient_rms")


@derived
def data_loss(record: Record) -> np.ndarray:
    """The training loss by epoch without the regularization penalties that Keras adds to it."""
    losses, values, penalty = (
        record.log("loss"),
        record.series("", "loss", "value"),
        record.series("", "loss", "penalty"),
    )
    if len(losses) and not losses.any() and (values > 0).any():
        raise CannotCheckError(
            f"the logged loss is 0 throughout, and that of the sampled steps {_first(values[::-1]):.3g}: return it "
            "from `train_step`, or call `self._loss_tracker.update_state(loss)` there"
        )
    known = np.isfinite(penalty) & (values > 0)
    if not known.any():
        return losses
    # Few steps are sampled, more of them early: a mean of the penalties themselves would exceed the mean loss.
    share = np.clip(penalty[known] / values[known], 0.0, 1.0)
    ends = [int(record.steps[0]) - 1, *(int(entry["step"]) for entry in record.logs)]
    means = [
        np.interp(np.arange(start + 1, max(end, start + 1) + 1), record.steps[known], share).mean()
        for start, end in pairwise(ends)
    ]
    return losses * (1.0 - np.array(means))


def initial_loss(record: Record) -> float:
    """The loss that a run has before it learned anything: the best constant's, else what it began with."""
    judged = yardstick(record)
    if judged is not None:
        return judged.constant
    sampled = record.series("", "loss", "value")
    return float(sampled[0]) if len(sampled) and np.isfinite(sampled[0]) else _first(record.log("loss"))


def still_learning(record: Record) -> bool:
    """Whether the last loss known is above half of the initial one; a run that converged has small gradients."""
    losses = data_loss(record)
    last = _first(losses[::-1]) if len(losses) else _first(record.series("", "loss", "value")[::-1])
    return not last <= halfway(record)


def halfway(record: Record) -> float:
    """The middle between the initial loss and that of a perfect prediction, which soft targets keep above 0."""
    judged = yardstick(record)
    perfect = judged.perfect or 0.0 if judged else 0.0
    return perfect + 0.5 * (initial_loss(record) - perfect)


def first_step(record: Record, shown: np.ndarray) -> int:
    """The first sampled step for which `shown`, booleans of shape `(samples,)`, holds."""
    return int(record.steps[np.argmax(shown)])


def _first(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite[0]) if len(finite) else float("nan")


def require_details(record: Record) -> None:
    """Refuses a record that holds the gradients of kernels, but nothing of the kernels themselves."""
    measured = ("weight_norm", "update_ratio", "unit_spread")
    kernels = record.matrix("kernel", "gradient_rms")[0]
    if kernels and not any(record.matrix("kernel", statistic)[0] for statistic in measured):
        raise CannotCheckError("the weights were not measured: leave `details` of HealthMonitor on")


CONTAINERS = ("Sequential", "Functional")
# Layers that hand on every value they are given.
PASSING = ("Dropout", "Flatten", "Reshape", "Permute")


@derived
def layer_facts(record: Record) -> dict[str, dict[str, Any]]:
    """The facts of every layer that is no model by itself, by name."""
    facts = record.facts.get("layers") or []
    return {layer["name"]: layer for layer in facts if layer.get("class") not in CONTAINERS and layer.get("name")}


@derived
def sources(record: Record) -> dict[str, list[str]]:
    """The layers that feed each layer; where the graph is not known, the one before it."""
    found: dict[str, list[str]] = {}
    before: list[str] = []
    for name, layer in layer_facts(record).items():
        inbound = layer.get("inbound")
        found[name], before = before if inbound is None else inbound, [name]
    return found


def consumers(record: Record) -> dict[str, list[str]]:
    """The layers that each layer feeds, past those that only hand on what they are given."""
    facts, fed_by = layer_facts(record), sources(record)
    found: dict[str, list[str]] = {name: [] for name in fed_by}
    for name in reversed(fed_by):
        onward = found[name] if facts[name].get("class") in PASSING else [name]
        for source in fed_by[name]:
            found.setdefault(source, []).extend(onward)
    return found


def output_layers(record: Record) -> set[str]:
    """The layers that the outputs come from, with what only shapes them; the last one where that is not known."""
    facts, fed_by = layer_facts(record), sources(record)
    named = [output.get("layer") for output in record.facts.get("outputs") or []]
    pending, found = [name for name in named if name in facts] or list(facts)[-1:], set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [] if facts.get(name, {}).get("weights") else fed_by.get(name, [])
    return found
