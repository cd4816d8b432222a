"""Units of a layer that are copies of each other."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.evidence import intact, layer_facts, output_layers, require_details, require_samples
from kregtools.symptoms.symptom import CannotCheckError, Shown, Symptom, SymptomRule

SPREAD = 0.01
LEAST_SAMPLES = 3
NAN = float("nan")
HIDDEN = {
    "layers": [
        {"name": "dense", "class": "Dense", "units": 16, "weights": ["bias", "kernel"]},
        {"name": "output", "class": "Dense", "units": 10, "weights": ["bias", "kernel"]},
    ],
    "outputs": [{"layer": "output", "tensor": "output", "target": "target"}],
}
ONE_UNIT = {"layers": [{**HIDDEN["layers"][0], "units": 1}, HIDDEN["layers"][1]], "outputs": HIDDEN["outputs"]}


def _kernel(spread: list[float], norm: list[float], layer: str = "dense") -> dict[tuple[str, str, str], list[float]]:
    return {(layer, "kernel", "unit_spread"): spread, (layer, "kernel", "weight_norm"): norm}


class SymmetricUnits(SymptomRule):
    """The units of a hidden layer compute the same.

    How it is detected: in every sample that looked at the weights the units of a hidden kernel deviate from their
    mean by less than 1 % of the rms of the kernel, or all of its weights are zero. An output layer may start at
    zero, and so may the last layer of a residual branch: it has moved apart by the next sample, so one in which the
    units are apart is enough to clear a kernel.

    Why it matters: units that start the same receive the same gradient and stay the same: a layer of any width is
    worth a single unit, and one of zeros passes on nothing at all.

    What to do: initialize the kernel at random (`"glorot_uniform"`, `"he_normal"`); zeros are for biases.

    Threshold: kernels of healthy runs were seen at 0.77 and above; copies are at 1e-6. The 1 % between is judgement.
    """

    name = "symmetric_units"
    shown = Shown("kernel", "unit_spread", "spread of units")
    SICK: ClassVar = (
        example(series=_kernel([1e-7, 2e-7, 1e-7, 1e-6], [4.0] * 4), facts=HIDDEN),
        example(series=_kernel([NAN] * 4, [0.0] * 4), facts=HIDDEN),
        example(series=_kernel([NAN, 1e-7, NAN, 1e-7, 1e-6], [0.0, 0.1, NAN, 0.2, 0.3]), facts=HIDDEN),
    )
    HEALTHY: ClassVar = (
        example(series=_kernel([0.97, 0.97, 0.96, 0.96], [4.0] * 4), facts=HIDDEN),
        example(series=_kernel([NAN, 0.8, 0.9, 0.9], [0.0, 0.01, 0.02, 0.1]), facts=HIDDEN),
        example(series=_kernel([NAN, NAN, NAN, 0.9], [0.0, 0.0, NAN, 0.1]), facts=HIDDEN),
        example(series=_kernel([1e-7] * 4, [1.0] * 4, layer="output"), facts=HIDDEN),
        example(series=_kernel([1e-7] * 4, [1.0] * 4), facts=ONE_UNIT),
        example(series={("dense", "kernel", "weight_norm"): [0.0] * 4}, facts=HIDDEN),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        require_details(record)
        layers, spread = record.matrix("kernel", "unit_spread")
        chosen = self._hidden(record, layers)
        if not chosen:
            return None
        spread = spread[:, chosen]
        if (np.isfinite(spread).sum(axis=0) >= LEAST_SAMPLES).all() and (spread >= SPREAD).any(axis=0).all():
            return None
        sound = intact(record)
        spread, zero = spread[sound], self._zero(record, [layers[index] for index in chosen])[sound]
        measured = (np.isfinite(spread) | zero).sum(axis=0)
        if measured.max() < LEAST_SAMPLES:
            raise CannotCheckError(f"the weights were looked at in fewer than {LEAST_SAMPLES} steps: train longer")
        same = ((spread < SPREAD) | zero).sum(axis=0)
        symmetric = (same == measured) & (measured >= LEAST_SAMPLES)
        if not symmetric.any():
            return None
        names = tuple(layers[index] for index, shown in zip(chosen, symmetric, strict=True) if shown)
        seen = spread[:, symmetric]
        largest = float(np.nanmax(seen)) if np.isfinite(seen).any() else 0.0
        return Symptom(
            self.name,
            "critical",
            f"All weights of {names[0]} are zero, and stay so; they have to start at random."
            if not np.isfinite(spread[:, int(np.argmax(symmetric))]).any()
            else f"The units of {names[0]} differ by {largest:.1e} of its weights' rms; in a healthy kernel that is "
            "about 1.",
            names,
            int(record.steps[0]),
            {"unit_spread": largest, "threshold": SPREAD},
        )

    def _hidden(self, record: Record, layers: list[str]) -> list[int]:
        facts, outputs = layer_facts(record), output_layers(record)
        hidden: list[dict[str, Any]] = [facts.get(name, {}) if name not in outputs else {} for name in layers]
        return [index for index, layer in enumerate(hidden) if layer and layer.get("units") != 1]

    def _zero(self, record: Record, layers: list[str]) -> np.ndarray:
        known, norms = record.matrix("kernel", "weight_norm")
        columns = {name: norms[:, index] == 0 for index, name in enumerate(known)}
        return np.stack([columns.get(name, np.zeros(len(norms), dtype=bool)) for name in layers], axis=1)
