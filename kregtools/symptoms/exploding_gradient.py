"""Gradients that grow without bound, over time or over depth."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.evidence import first_step, kernel_gradients, require_samples
from kregtools.symptoms.symptom import Symptom, SymptomRule

GROWTH = 100.0
DEPTH_RATIO = 1000.0
LEAST_NORM = 10.0


def _norms(*norms: float) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("dense", "kernel", "gradient_norm"): list(norms),
        ("dense", "kernel", "gradient_rms"): [norm / 10 for norm in norms],
    }


class ExplodingGradient(SymptomRule):
    """The gradient grows out of proportion.

    How it is detected: at a sampled step the norm of all kernels' gradients is above 10 and either more than 100
    times what it was at the first one, or the RMS gradient of the first kernel is more than 1000 times that of the
    last (the gradient grows from layer to layer on its way down).

    Why it matters: one such step throws the weights away from everything learned so far.

    What to do: see the cause; a lower learning rate, an initializer that keeps the variance over depth, or
    `global_clipnorm=1.0` in the optimizer.

    Threshold: a norm that grows 100 times is two orders of magnitude beyond the change from an untrained to a trained
    network; the ratio over depth mirrors that of the vanishing gradient.
    """

    name = "exploding_gradient"
    SICK: ClassVar = (
        example(series=_norms(0.5, 2.0, 80.0, 4e5)),
        example(series={**_norms(2e4, 2e4), ("top", "kernel", "gradient_rms"): [1e-2, 1e-2]}),
    )
    HEALTHY: ClassVar = (
        example(series=_norms(0.5, 2.0, 8.0, 0.1)),
        example(series=_norms(0.01, 0.02, 5.0, 0.1)),
        example(series=_norms(300.0, 200.0, 100.0, 50.0)),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        norms = record.matrix("kernel", "gradient_norm")[1]
        layers, rms = kernel_gradients(record)
        if not layers:
            return None
        norm = np.sqrt(np.nansum(norms**2, axis=1))
        growth = norm / norm[0] if norm[0] > 0 else np.ones_like(norm)
        over_depth = rms[:, 0] / np.where(rms[:, -1] > 0, rms[:, -1], np.nan)
        shown = (norm > LEAST_NORM) & ((growth > GROWTH) | (over_depth > DEPTH_RATIO))
        if not shown.any():
            return None
        worst = int(np.argmax(np.where(shown, norm, 0)))
        steepest = tuple(layer for layer, value in zip(layers, rms[worst], strict=True) if value >= rms[worst].max() / 10)
        return Symptom(
            self.name,
            "critical",
            f"The gradient norm reaches {norm[worst]:.3g} at step {record.steps[worst]}, {growth[worst]:.3g} times "
            f"that of the first step; a healthy run stays below {GROWTH:g} times.",
            steepest,
            first_step(record, shown),
            {"norm": float(norm[worst]), "growth": float(growth[worst]), "threshold": GROWTH},
        )
