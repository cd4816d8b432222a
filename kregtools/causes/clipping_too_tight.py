"""Gradients that are clipped at every step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import compile_with, optimizer
from kregtools.causes.steps import rounded, typical_update
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

TIMES = 10.0
ALWAYS = 0.9
MOVING = 1e-3
# Of these the size of a step does not depend on that of the gradient, as long as that does not change.
SCALE_FREE = ("Adam", "AdamW", "Adamax", "Nadam", "RMSprop", "Adagrad", "Adadelta", "Adafactor", "Lion", "Lamb", "Muon")
SLOW = {"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _sgd(**clipping: float) -> dict[str, Any]:
    return {**BINARY, "optimizer": {"class": "SGD", "learning_rate": 0.01, **clipping}}


def _gradients(norm: float, update: float = 1e-5) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("dense", "kernel", "gradient_norm"): [norm] * 4,
        ("dense", "kernel", "gradient_rms"): [norm / 10] * 4,
        ("dense", "kernel", "update_ratio"): [update] * 4,
    }


class ClippingTooTight(CauseRule):
    """Clipping cuts every gradient to a fraction of its size.

    How it is told: in nine of ten sampled steps the gradient is more than ten times what `clipnorm`,
    `global_clipnorm` or `clipvalue` lets pass, while a step changes the kernels by less than a thousandth. Optimizers
    that divide by the gradient's own size (Adam, RMSprop, …) do not mind, and are left out. A higher learning rate
    does the same.

    What to do: clip at ten times the usual norm or more: clipping is there for the rare step, not for every one.
    """

    name = "clipping_too_tight"
    explains = ("slow_convergence", "no_learning", "underfit")
    SICK: ClassVar = (
        example(logs=SLOW, series=_gradients(2.0), facts=_sgd(global_clipnorm=0.001)),
        example(logs=SLOW, series=_gradients(2.0), facts=_sgd(clipnorm=0.01)),
        example(logs=SLOW, series=_gradients(2.0), facts=_sgd(clipvalue=1e-4)),
    )
    HEALTHY: ClassVar = (
        example(logs=SLOW, series=_gradients(2.0), facts=_sgd(global_clipnorm=1.0)),
        example(logs=SLOW, series=_gradients(2.0), facts=_sgd()),
        example(logs=SLOW, series=_gradients(2.0, update=0.01), facts=_sgd(clipnorm=0.01)),
        example(
            logs=SLOW,
            series=_gradients(2.0),
            facts={**BINARY, "optimizer": {"class": "Adam", "global_clipnorm": 0.001}},
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        settings = optimizer(record)
        if settings.get("class") in SCALE_FREE or typical_update(record) >= MOVING:
            return None
        for name, sizes in _sizes(record).items():
            limit, sizes = settings.get(name), sizes[np.isfinite(sizes)]
            if limit and len(sizes) and (sizes > TIMES * limit).mean() >= ALWAYS:
                return self._cut(record, symptoms, name, float(limit), float(np.median(sizes)))
        return None

    def _cut(self, record: Record, symptoms: Mapping[str, Symptom], name: str, limit: float, usual: float) -> Cause:
        higher = rounded(TIMES * usual)
        return self.found(
            symptoms,
            0.9,
            f"`{name}={limit:g}` lets {limit / usual:.1e} of the usual gradient ({usual:.3g}) pass, at every step; "
            "clipping should be rare.",
            Remedy(
                f"Set `{name}` to {higher:g}, or leave it out. Steps become {usual / limit:.0f} times as large: if "
                "the loss then jumps, lower the learning rate.",
                compile_with(record, learning_rate=_rate(record), **{name: higher}),
            ),
        )


def _rate(record: Record) -> float:
    """The learning rate that the model was compiled with."""
    return optimizer(record).get("learning_rate") or 0.01


def _sizes(record: Record) -> dict[str, np.ndarray]:
    """By sample, what each way of clipping compares with its limit: for those by tensor, the middle one of all."""
    norms, rms = record.matrix("kernel", "gradient_norm")[1], record.matrix("kernel", "gradient_rms")[1]
    norms, rms = (values[np.isfinite(values).any(axis=1)] if values.size else values for values in (norms, rms))
    return {
        "global_clipnorm": np.sqrt(np.nansum(norms**2, axis=1)),
        "clipnorm": np.nanmedian(norms, axis=1) if norms.size else np.zeros(0),
        "clipvalue": np.nanmedian(rms, axis=1) if rms.size else np.zeros(0),
    }
