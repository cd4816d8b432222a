"""Gradients that grow without bound, over time or over depth."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.curves import steadily_falling
from kregtools.symptoms.evidence import data_loss, first_step, kernel_gradients, require_samples, still_learning
from kregtools.symptoms.symptom import Shown, Symptom, SymptomRule

GROWTH = 100.0
OUT_OF_PROPORTION = 1000.0
LEAST_NORM = 10.0


def _norms(*norms: float) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("dense", "kernel", "gradient_norm"): list(norms),
        ("dense", "kernel", "gradient_rms"): [norm / 10 for norm in norms],
    }


class ExplodingGradient(SymptomRule):
    """The gradient grows out of proportion.

    How it is detected: at a sampled step the norm of all kernels' gradients is above 10 and either more than 100
    times what it was at the first one, or more than 1000 times the norm of the kernels themselves, or the RMS
    gradient of the first kernel is more than 1000 times that of the last (it grows on its way down). A loss that
    falls steadily all the same has large gradients because it is large, and one that ended below half of what it was
    before training got over them: a regression on targets in the thousands begins with gradients in the thousands.

    Why it matters: one such step throws the weights away from everything learned so far.

    What to do: see the cause; a lower learning rate, an initializer that keeps the variance over depth, or
    `global_clipnorm=1.0` in the optimizer.

    Threshold: three orders of magnitude between tensors, as for the vanishing gradient; two over time, where a
    gradient shrinks as training goes well.
    """

    name = "exploding_gradient"
    shown = Shown("kernel", "gradient_norm", "gradient norm", limited=False)
    SICK: ClassVar = (
        example(series=_norms(0.5, 2.0, 80.0, 4e5)),
        example(logs={"loss": [4e6, 4e6, 2.5e6]}, series=_norms(5.0, 4e6, 1e5)),
        example(series={**_norms(2e4, 2e4), ("top", "kernel", "gradient_rms"): [1e-2, 1e-2]}),
        example(series={**_norms(2e6, 2e6), ("dense", "kernel", "weight_norm"): [20.0, 20.0]}),
    )
    HEALTHY: ClassVar = (
        example(series=_norms(0.5, 2.0, 8.0, 0.1)),
        example(series=_norms(0.01, 0.02, 5.0, 0.1)),
        example(series={**_norms(300.0, 200.0), ("dense", "kernel", "weight_norm"): [20.0, 20.0]}),
        example(series=_norms(300.0, 200.0, 100.0, 50.0)),
        example(logs={"loss": [4e6, 3e5, 2.5e5, 2.4e5, 2.4e5]}, series=_norms(5.0, 4e6, 1e5)),
        example(logs={"loss": [2.65e7, 2.64e7, 2.63e7, 2.62e7]}, series=_norms(1e5, 2e6, 3e7, 8e7)),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        layers, rms = kernel_gradients(record)
        if not layers:
            return None
        norm, weights = _norm(record, "gradient_norm"), _norm(record, "weight_norm")
        compared = {
            "that of the first step": (_over(norm, norm[0]), GROWTH),
            "the norm of the kernels themselves": (_over(norm, weights), OUT_OF_PROPORTION),
            f"as large in {layers[0]} as in {layers[-1]}": (_over(rms[:, 0], rms[:, -1]), OUT_OF_PROPORTION),
        }
        shown = (norm > LEAST_NORM) & np.any([times > most for times, most in compared.values()], axis=0)
        if not shown.any() or steadily_falling(data_loss(record)) or not still_learning(record):
            return None
        worst = int(np.argmax(np.where(shown, norm, 0)))
        what, (times, most) = max(compared.items(), key=lambda item: np.nan_to_num(item[1][0][worst] / item[1][1]))
        largest = np.nanmax(rms[worst])
        return Symptom(
            self.name,
            "critical",
            f"The gradient norm reaches {norm[worst]:.3g} at step {record.steps[worst]}, {times[worst]:.3g} times "
            f"{what}; healthy is below {most:g} times.",
            tuple(layer for layer, value in zip(layers, rms[worst], strict=True) if value >= largest / 10),
            first_step(record, shown),
            {"norm": float(norm[worst]), "times": float(times[worst]), "threshold": most},
        )


def _norm(record: Record, statistic: str) -> np.ndarray:
    """The norm of all kernels together, by sample."""
    return np.sqrt(np.nansum(record.matrix("kernel", statistic)[1] ** 2, axis=1))


def _over(numerator: np.ndarray, denominator: np.ndarray | float) -> np.ndarray:
    known = np.broadcast_to(np.asarray(denominator) > 0, numerator.shape)
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=known)
