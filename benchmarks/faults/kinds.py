"""What a program is, and the kinds there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from data import Split
from networks import compiled


@dataclass(frozen=True)
class Program:
    """A model, the data it is trained on, and what is true of it.

    Attributes:
        kind: `"faulty"`, `"overfit"`, `"underfit"` or `"healthy"`.
        data: Makes the data from a seed.
        model: Makes the model, not compiled.
        compile: What `compile` is given.
        fit: What `fit` is given beside the data.
        symptoms: The symptoms that are right to report.
        causes: The causes that would explain it.
        validated: Whether `fit` gets validation data.
    """

    kind: str
    data: Callable[[int], Split]
    model: Callable[[], keras.Model]
    compile: Callable[[], dict[str, Any]]
    fit: dict[str, Any] = field(default_factory=dict)
    symptoms: frozenset[str] = frozenset()
    causes: frozenset[str] = frozenset()
    validated: bool = True


def names(*each: str) -> frozenset[str]:
    """The names of symptoms or causes."""
    return frozenset(each)


def healthy(data: Any, model: Any, compile_with: Any = None, validated: bool = True, **fit: Any) -> Program:
    """A program in which nothing is wrong."""
    return Program("healthy", data, model, compile_with or compiled(), {"epochs": 15, **fit}, validated=validated)


def fitted(
    kind: str, data: Any, model: Any, compile_with: Any, causes: frozenset[str], consequences: str = "", **fit: Any
) -> Program:
    """A program that overfits or underfits."""
    # A network that fits nothing at all is at the loss of a constant, and may do no more than predict one.
    true = "no_learning constant_output " + consequences if kind == "underfit" else consequences
    return Program(kind, data, model, compile_with, {"epochs": 30, **fit}, names(kind, *true.split()), causes)


def faulty(data: Any, model: Any, compile_with: Any, symptoms: str, causes: str, **fit: Any) -> Program:
    """A program with a fault."""
    return Program(
        "faulty", data, model, compile_with, {"epochs": 15, **fit}, names(*symptoms.split()), names(*causes.split())
    )
