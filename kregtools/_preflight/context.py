"""What the checks look at, and what they find."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from keras import tree

from kregtools._preflight.rows import Rows
from kregtools.capture import model_facts
from kregtools.capture.firing import FiringUnits
from kregtools.capture.forward import call, forward, targets, tensors
from kregtools.causes import CAUSES, Cause, CauseRule, Remedy
from kregtools.record import Key, Record
from kregtools.symptoms import CannotCheckError, Severity, Symptom

LEAST_BATCHES = 4
BATCH = 128
# More targets than that are taken evenly.
MOST_TARGETS = 65_536


class Finding(NamedTuple):
    """A symptom with what explains it."""

    symptom: Symptom
    causes: tuple[Cause, ...]


class Check(NamedTuple):
    """One check.

    Attributes:
        name: The name of what it looks for.
        find: Finds it, or returns `None`.
    """

    name: str
    find: Callable[[Context], Finding | None]


@dataclass(frozen=True)
class Context:
    """A model, its data, and what a forward pass showed.

    Attributes:
        model: The model.
        train: All rows of the training data, or the first ones of a dataset.
        validation: The same of the validation data, `None` where there is none.
        record: Statistics of some batches, as of a run that learns nothing.
        loss_error: Why the loss could not be computed, `None` if it could.
        missed: What could not be measured, in words.
        expected_loss: What the loss is expected to be at first, `None` where that is to be computed.
        steps: How many steps a batch is fitted with at most.
    """

    model: Any
    train: Rows
    validation: Rows | None
    record: Record
    loss_error: str | None
    missed: tuple[str, ...]
    expected_loss: float | None
    steps: int


def look(
    model: Any,
    train: Rows,
    validation: Rows | None,
    samples: int,
    expected_loss: float | None = None,
    steps: int = 200,
) -> Context:
    """Runs the model on some of the rows in inference mode, and fills a record with what shows."""
    sample, counts = train.evenly(samples), FiringUnits()
    call(model, tensors(sample.take(slice(0, 1)).x))  # builds it as `fit` would
    record = Record({**model_facts(model), "watching": {"taps": True}})
    error: str | None = None
    missed: dict[str, None] = {}
    seen: Any = None
    batches = sample.batches(max(1, min(BATCH, len(sample) // LEAST_BATCHES)))
    for step, batch in enumerate(batches):
        seen = forward(model, batch.x, batch.y)
        error = error or seen.error
        missed.update(dict.fromkeys(seen.missed))
        record.add_sample(step, 0, {**_but_targets(seen.values), **_dead(counts, seen.firing, len(batch))})
    record.add_sample(len(batches), 0, targets(model, train.evenly(MOST_TARGETS).y, seen.outputs))
    if not record.facts["outputs"]:
        record.add_facts({"outputs": _outputs(seen.outputs)})
    return Context(model, train, validation, record, error, tuple(missed), expected_loss, steps)


def symptom(name: str, severity: Severity, message: str, layers: Iterable[str] = (), **evidence: float) -> Symptom:
    """A symptom seen before the first step."""
    return Symptom(name, severity, message, tuple(layers), 0, evidence)


def explained(found: Symptom, *own: Cause, record: Record | None = None, rules: Iterable[CauseRule] = ()) -> Finding:
    """A symptom with its causes: those that the rules name, and where they name none, those of the check itself."""
    named = tuple(cause for rule in rules for cause in asked(rule, record, found)) if record is not None else ()
    return Finding(found, named or own)


def explaining(name: str) -> tuple[CauseRule, ...]:
    """The cause rules that may explain a symptom of a run."""
    return tuple(rule for rule in CAUSES if name in rule.explains)


def asked(rule: CauseRule, record: Record | None, found: Symptom) -> tuple[Cause, ...]:
    """The cause, if the rule names it."""
    try:
        cause = rule.check(record, {found.name: found}) if record is not None else None
    except CannotCheckError:
        return ()
    return () if cause is None else (replace(cause, explains=(found.name,)),)


def cause(name: str, confidence: float, explains: str, reason: str, text: str, code: str) -> Cause:
    """A cause that a check names by itself."""
    return Cause(name, confidence, (explains,), reason, Remedy(text, code))


def leaves(structure: Any) -> list[tuple[str, np.ndarray]]:
    """The arrays of a structure, each with its place in it: `""` where there is one alone."""
    found = [(path, leaf) for path, leaf in tree.flatten_with_path(structure) if leaf is not None]
    return [("" if len(found) == 1 else ":".join(str(part) for part in path), leaf) for path, leaf in found]


def named(kind: str, place: str) -> str:
    """How an array is called in a sentence."""
    return f"{kind} {place}" if place else kind


def _but_targets(values: dict[Key, float]) -> dict[Key, float]:
    return {key: value for key, value in values.items() if key[1].split(":")[0] != "target"}


def _dead(counts: FiringUnits, firing: dict[str, np.ndarray], rows: int) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for layer, units in firing.items():
        found[layer, "activation", "dead_units"] = counts.dead(layer, rows, units)
        found[layer, "activation", "units"] = float(len(units))
    return found


def _outputs(outputs: Any) -> list[dict[str, Any]]:
    """The facts of a single output that the model does not tell."""
    flat = tree.flatten(outputs)
    if len(flat) != 1:
        return []
    shape = [None, *(int(size) for size in flat[0].shape[1:])]
    return [{"name": "output", "shape": shape, "tensor": "output", "target": "target", "activation": None}]
