"""Weights that start at the wrong scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import joined, layer_code, layers
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

SPREAD = 10.0


def _depth(*stds: float, step: float = 1e-9) -> dict[tuple[str, str, str], list[float]]:
    """Kernels whose gradient vanishes and whose outputs have these stds, before and after a few steps."""
    series = {}
    for index, std in enumerate(stds):
        series[f"dense_{index}", "activation", "std"] = [std] * 4
        series[f"dense_{index}", "kernel", "gradient_rms"] = [step if index < len(stds) - 1 else 1e-2] * 4
        series[f"dense_{index}", "kernel", "update_ratio"] = [1e-3] * 4
    return series


class BadInit(CauseRule):
    """The initial weights let the signal die out or blow up over the layers.

    How it is told: at the first sampled step the standard deviation of the layers' outputs differs by more than a
    factor of 10 between the first and the last hidden layer with a kernel, or a hidden layer's output does not vary.

    What to do: an initializer that knows the activation and the dropout before each kernel:
    `kregtools.initializers.DropoutAware` keeps the variance from layer to layer (Hendrycks & Gimpel, 2016).
    """

    name = "bad_init"
    explains = ("vanishing_gradient", "exploding_gradient", "dead_relu", "nonfinite", "underfit")
    SICK: ClassVar = (example(logs={"loss": [0.7, 0.7]}, series=_depth(1e-1, 1e-3, 1e-5, 0.1)),)
    HEALTHY: ClassVar = (example(logs={"loss": [0.7, 0.7]}, series=_depth(0.6, 0.5, 0.55, 0.1)),)

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        names, stds = self._hidden(record)
        if len(names) == 0:
            return None
        flat = [name for name, std in zip(names, stds, strict=True) if std == 0]
        ratio = 0.0 if flat else float(stds[-1] / stds[0])
        if not flat and 1 / SPREAD <= ratio <= SPREAD:
            return None
        decades = 3.0 if flat else abs(math.log10(ratio))
        reason = (
            f"Before the first update the output of {joined(flat)} does not vary at all."
            if flat
            else f"Before the first update the output std goes from {stds[0]:.2g} in {names[0]} to {stds[-1]:.2g} in "
            f"{names[-1]}, a factor of {ratio:.1e}; within {SPREAD:g} either way is healthy."
        )
        return self.found(symptoms, min(0.95, 0.6 + 0.1 * decades), reason, self._remedy(record, names))

    def _hidden(self, record: Record) -> tuple[list[str], np.ndarray]:
        names, stds = record.matrix("activation", "std")
        kernels = set(record.matrix("kernel", "update_ratio")[0])
        chosen = [index for index, name in enumerate(names) if name in kernels][:-1]
        if not chosen or not len(stds):
            return [], np.zeros(0)
        first = stds[0, chosen]
        known = np.isfinite(first)
        return [names[index] for index, ok in zip(chosen, known, strict=True) if ok], first[known]

    def _remedy(self, record: Record, names: list[str]) -> Remedy:
        facts = {layer["name"]: layer for layer in layers(record)}
        last = facts.get(names[-1], {"class": "Dense"})
        activation = last.get("activation") or "relu"
        rate = max((layer["rate"] or 0.0 for layer in facts.values() if layer["class"] == "Dropout"), default=0.0)
        current = (last.get("kernel_initializer") or {}).get("class")
        return Remedy(
            f"Initialize {joined(names)} for {activation}"
            + (f" after dropout {rate:g}" if rate else "")
            + (f" in place of {current}" if current else "")
            + ". The output std then stays the same from layer to layer, and every layer gets a gradient.",
            f'initializer = kregtools.initializers.DropoutAware("{activation}", rate={rate:g})\n'
            + layer_code(last, kernel_initializer="initializer"),
        )
