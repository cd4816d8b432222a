"""Gradients that shrink on their way to the first layers."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.evidence import first_step, intact, kernel_gradients, require_samples, still_learning
from kregtools.symptoms.symptom import Shown, Symptom, SymptomRule

RATIO = 1e-3
FLOOR = 1e-7


def _gradients(*rms: float, steps: int = 6) -> dict[tuple[str, str, str], list[float]]:
    return {(f"dense_{index}", "kernel", "gradient_rms"): [value] * steps for index, value in enumerate(rms)}


class VanishingGradient(SymptomRule):
    """Layers near the input receive next to no gradient.

    How it is detected: in at least half of the sampled steps the RMS gradient of the first kernel is below 1/1000
    of that of the last one, or every kernel's is below 1e-7, while the loss is still above half of what it was
    before training: a run that has converged has small gradients, too. Steps with NaN in the weights are left out:
    TensorFlow's relu on a CPU turns NaN into 0, and the gradient with it.

    Why it matters: those layers stay as they were initialized; the network is as deep as the few that move.

    What to do: see the cause; initialize for the activation in use, or use relu in place of sigmoid and tanh, or
    normalize between layers.

    Threshold: the ratio 1e-3 is AutoTrainer's (Zhang et al., ICSE 2021), the floor SageMaker Debugger's.
    """

    name = "vanishing_gradient"
    shown = Shown("kernel", "gradient_rms", "RMS gradient", limited=False)
    SICK: ClassVar = (
        example(logs={"loss": [0.7, 0.69]}, series=_gradients(1e-8, 1e-5, 1e-2)),
        example(logs={"loss": [2.3, 2.3]}, series=_gradients(1e-9, 2e-9)),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.7, 0.69]}, series=_gradients(2e-4, 5e-3, 1e-2)),
        example(logs={"loss": [0.7, 0.01]}, series=_gradients(1e-9, 1e-9)),
        example(
            logs={"loss": [0.7, 0.69]},
            series={**_gradients(0.0, 0.0), ("dense_0", "kernel", "weight_nonfinite"): [16] * 6},
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        layers, gradients = kernel_gradients(record)
        if len(layers) < 2 or not still_learning(record):
            return None
        sound = intact(record)
        gradients = np.where(sound[:, None], gradients, np.nan)
        ratio = gradients[:, 0] / np.where(gradients[:, -1] > 0, gradients[:, -1], np.nan)
        shown = (ratio < RATIO) | (gradients < FLOOR).all(axis=1)
        if np.count_nonzero(shown) < max(2, np.count_nonzero(sound) / 2):
            return None
        typical = np.median(np.nan_to_num(gradients[shown]), axis=0)
        weak = tuple(layer for layer, value in zip(layers, typical, strict=True) if value < RATIO * typical.max())
        seen = float(typical[0] / typical[-1]) if typical[-1] > 0 else 1.0
        return Symptom(
            self.name,
            "critical",
            f"The RMS gradient of {layers[0]} is {typical[0]:.1e}, {seen:.1e} of that of {layers[-1]}; a healthy ratio "
            f"is above {RATIO:g}."
            if seen < RATIO
            else f"The RMS gradient of every kernel is below {FLOOR:g}, although nothing has been learned yet.",
            weak or tuple(layers),
            first_step(record, shown),
            {
                "first_rms": float(typical[0]),
                "last_rms": float(typical[-1]),
                "ratio": seen,
                "threshold": RATIO,
            },
        )
