"""Weights that start at the wrong scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

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


def _dense(index: int, activation: str) -> dict[str, Any]:
    return {"name": f"dense_{index}", "class": "Dense", "units": 8, "activation": activation, "weights": ["kernel"]}


class BadInit(CauseRule):
    """The initial weights let the signal die out or blow up over the layers, or make all units the same.

    How it is told: at the first sampled step the standard deviation of the layers' outputs differs by more than a
    factor of 10 between the first and the last hidden layer with a kernel, or a hidden layer's output does not vary;
    or the units of a kernel are the same from the start; or most outputs of a layer are saturated before any update.

    What to do: an initializer that knows the activation and the dropout before each kernel:
    `kregtools.initializers.DropoutAware` keeps the variance from layer to layer (Hendrycks & Gimpel, 2016).
    """

    name = "bad_init"
    explains = (
        *("vanishing_gradient", "exploding_gradient", "dead_relu", "nonfinite", "underfit"),
        *("diverging_loss", "no_learning", "slow_convergence", "symmetric_units", "saturated_activation"),
        "constant_output",
    )
    SICK: ClassVar = (
        example(logs={"loss": [0.7, 0.7]}, series=_depth(1e-1, 1e-3, 1e-5, 0.1)),
        example(
            logs={"loss": [0.7, 0.7]},
            series={
                **_depth(0.5, 0.5, 0.5),
                **{(f"dense_{index}", "kernel", "unit_spread"): [0.0] * 4 for index in range(2)},
            },
            facts={"layers": [_dense(index, "relu") for index in range(3)]},
        ),
        example(
            logs={"loss": [2.3, 2.3]},
            series={**_depth(0.9, 0.9, 0.1), ("dense_0", "activation", "saturated_fraction"): [0.8] * 4},
            facts={"layers": [_dense(index, "tanh") for index in range(3)]},
        ),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.7, 0.7]}, series=_depth(0.6, 0.5, 0.55, 0.1)),
        example(
            logs={"loss": [2.3, 2.3]},
            series={**_depth(0.6, 0.6, 0.1), ("dense_0", "activation", "saturated_fraction"): [0.1, 0.8, 0.8, 0.8]},
            facts={"layers": [_dense(index, "tanh") for index in range(3)]},
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        seen = [found for found in (_same(symptoms), _saturated(record, symptoms), _scale(record)) if found]
        if not seen:
            return None
        confidence, names, reason = max(seen)
        return self.found(symptoms, confidence, reason, self._remedy(record, names))

    def _remedy(self, record: Record, names: list[str]) -> Remedy:
        facts = {layer["name"]: layer for layer in layers(record)}
        last = facts.get(names[-1], {"class": "Dense"})
        activation = last.get("activation") or "relu"
        rate = max(
            (layer.get("rate") or 0.0 for layer in facts.values() if layer.get("class") == "Dropout"), default=0.0
        )
        current = (last.get("kernel_initializer") or {}).get("class")
        return Remedy(
            f"Initialize {joined(names)} for {activation}"
            + (f" after dropout {rate:g}" if rate else "")
            + (f" in place of {current}" if current else "")
            + ". The output std then stays the same from layer to layer, and every layer gets a gradient.",
            f'initializer = kregtools.initializers.DropoutAware("{activation}", rate={rate:g})\n'
            + layer_code(last, kernel_initializer="initializer"),
        )


def _scale(record: Record) -> tuple[float, list[str], str] | None:
    """Whether the spread of the outputs changes over the layers before the first update."""
    names, stds = _hidden(record)
    if not names:
        return None
    flat = [name for name, std in zip(names, stds, strict=True) if std == 0]
    if flat:
        return 0.9, names, f"Before the first update the output of {joined(flat)} does not vary at all."
    ratio = float(stds[-1] / stds[0])
    if 1 / SPREAD <= ratio <= SPREAD:
        return None
    reason = (
        f"Before the first update the output std goes from {stds[0]:.2g} in {names[0]} to {stds[-1]:.2g} in "
        f"{names[-1]}, a factor of {ratio:.1e}; within {SPREAD:g} either way is healthy."
    )
    return min(0.95, 0.6 + 0.1 * abs(math.log10(ratio))), names, reason


def _same(symptoms: Mapping[str, Symptom]) -> tuple[float, list[str], str] | None:
    """Whether units are the same, which no training parts."""
    found = symptoms.get("symmetric_units")
    if found is None:
        return None
    return 0.95, list(found.layers), f"The units of {joined(list(found.layers))} start from the same weights."


def _saturated(record: Record, symptoms: Mapping[str, Symptom]) -> tuple[float, list[str], str] | None:
    """Whether layers that are saturated were so before the first update."""
    found = symptoms.get("saturated_activation")
    names, shares = record.matrix("activation", "saturated_fraction")
    if found is None or not len(shares):
        return None
    first = {name: share for name, share in zip(names, shares[0], strict=True) if name in found.layers and share > 0.5}
    if not first:
        return None
    worst = max(first.values())
    return (
        0.85,
        list(first),
        f"Before the first update {worst:.0%} of the outputs of {joined(list(first))} are saturated.",
    )


def _hidden(record: Record) -> tuple[list[str], np.ndarray]:
    """The hidden layers with a kernel, and the std of their outputs at the first sample."""
    names, stds = record.matrix("activation", "std")
    kernels = set(record.matrix("kernel", "update_ratio")[0])
    chosen = [index for index, name in enumerate(names) if name in kernels][:-1]
    if not chosen or not len(stds):
        return [], np.zeros(0)
    first = stds[0, chosen]
    known = np.isfinite(first)
    return [names[index] for index, ok in zip(chosen, known, strict=True) if ok], first[known]
