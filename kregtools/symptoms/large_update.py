"""Steps that change a kernel by a large part of its norm."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.curves import lowest, validation_data_loss, will_reach
from kregtools.symptoms.evidence import (
    consumers,
    data_loss,
    first_step,
    intact,
    layer_facts,
    require_details,
    require_samples,
)
from kregtools.symptoms.slow_convergence import LEAST_EPOCHS, LEVEL
from kregtools.symptoms.symptom import CannotCheckError, Shown, Symptom, SymptomRule
from kregtools.symptoms.yardstick import yardstick
from kregtools.symptoms.zero_kernels import started_at_zero

RATIO = 0.1
SCALE_FREE_RATIO = 1.0
# A single step five times as large as is healthy replaces half of a kernel.
REPLACING = 5.0
# The norm of a unit's weights is about 1 where they keep the scale.
FAINT = 0.1
FIRST_STEPS = 10
LEAST_SAMPLES = 3
TINY = 32
LINEAR = (None, "linear")
NORMALIZING = ("BatchNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization")
PLAIN: dict[str, Any] = {"name": "dense", "class": "Dense", "activation": "relu", "parameters": 4160}


def _ratios(*ratios: float) -> dict[tuple[str, str, str], list[float]]:
    return {("dense", "kernel", "update_ratio"): [0.3] * FIRST_STEPS + list(ratios)}


def _facts(*layers: dict[str, Any]) -> dict[str, Any]:
    return {"layers": list(layers)}


class LargeUpdate(SymptomRule):
    """Single steps change a kernel by more than a tenth and keep doing so, or one of them replaces half of it.

    How it is detected: the norm of a step over that of the kernel is above 0.1 in at least half of the sampled steps
    after the tenth, and in half of the last third of them. Or it is above 0.5 in any sampled step, and five epochs or
    more have left the loss above 40 % of what the best constant prediction costs (below, it is mentioned). Left out are
    kernels that started at zero, whose first steps are all there is of them, and those of layers with fewer than 32
    parameters; of a single step also those drawn at less than a tenth of what keeps the scale. A kernel before a
    normalization has no scale: its norm grows with every step until the ratio is small, and ten times as much is
    healthy.

    Why it matters: a kernel that is replaced every ten steps cannot keep what it learned, and one that is replaced at
    once is no longer what its initializer made it: the rest of the run trains a network nobody would start from.

    What to do: a lower learning rate, or `global_clipnorm=1.0` where few steps are that large.

    Threshold: a healthy step changes a kernel by about 0.001 (CS231n); DeepDiagnosis and TheDeepChecker call more than
    0.1 too large. The 0.5 of a single step is judgement, as Adam's first steps may reach 0.2 in healthy runs; the 40 %
    are those of `slow_convergence`.
    """

    name = "large_update"
    shown = Shown("kernel", "update_ratio", "update / norm")
    SICK: ClassVar = (
        example(series=_ratios(0.3, 0.4, 0.2, 0.3, 0.5, 0.2), facts=_facts(PLAIN)),
        example(
            series=_ratios(2.0, 3.0, 2.0, 2.5, 2.0, 2.0),
            facts=_facts({**PLAIN, "activation": "linear"}, {"name": "bn", "class": "BatchNormalization"}),
        ),
        example(
            logs={"loss": [0.9, 0.6, 0.5, 0.5, 0.5]},
            series={("dense", "kernel", "update_ratio"): [0.8, 0.1, 0.02, 0.01, 0.01]},
            facts={**_facts(PLAIN), "losses": [{"name": "binary_crossentropy"}]},
        ),
    )
    HEALTHY: ClassVar = (
        example(series=_ratios(0.08, 0.05, 0.02, 0.01, 0.01, 0.01), facts=_facts(PLAIN)),
        example(series=_ratios(0.3, 0.2, 0.15, 0.12, 0.05, 0.04, 0.03), facts=_facts(PLAIN)),
        example(series=_ratios(0.01, 0.9, 0.01, 0.01, 0.8, 0.01), facts=_facts(PLAIN)),
        example(series=_ratios(0.3, 0.3, 0.3, 0.3), facts=_facts({**PLAIN, "parameters": 9})),
        example(
            series=_ratios(0.3, 0.3, 0.3, 0.3),
            facts=_facts({**PLAIN, "kernel_initializer": {"class": "Zeros"}}),
        ),
        example(
            series=_ratios(0.3, 0.3, 0.3, 0.3),
            facts=_facts({**PLAIN, "activation": "linear"}, {"name": "bn", "class": "BatchNormalization"}),
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record, least=2)
        layers, every = record.matrix("kernel", "update_ratio")
        require_details(record)
        chosen, most = self._thresholds(record, layers)
        if not chosen:
            return None
        judged = (record.steps >= FIRST_STEPS) & (intact(record) if (every > RATIO).any() else True)
        late = np.where(judged[:, None], every[:, chosen], np.nan)
        known = np.isfinite(late).any(axis=1)
        names = [layers[index] for index in chosen]
        if np.count_nonzero(known) < LEAST_SAMPLES:
            replaced = self._replaced(record, names, every[:, chosen], most)
            if replaced:
                return replaced
            raise CannotCheckError(
                f"the steps were measured fewer than {LEAST_SAMPLES} times after step 10: train longer"
            )
        above, tail = late[known] > most, np.count_nonzero(known) // 3
        large = (above.mean(axis=0) >= 0.5) & (above[-tail:].mean(axis=0) >= 0.5)
        if not large.any():
            return self._replaced(record, names, every[:, chosen], most)
        typical = np.where(large, np.median(np.nan_to_num(late[known]), axis=0), 0.0)
        worst = int(np.argmax(typical / most))
        return Symptom(
            self.name,
            "warning",
            f"A step changes the kernel of {layers[chosen[worst]]} by {typical[worst]:.2g} times its norm, time and "
            f"again; healthy is below {most[worst]:g}.",
            tuple(layers[index] for index, shown in zip(chosen, large, strict=True) if shown),
            first_step(record, np.any(late[:, large] > most[large], axis=1)),
            {"update_ratio": float(typical[worst]), "threshold": float(most[worst])},
        )

    def _replaced(self, record: Record, layers: list[str], ratios: np.ndarray, most: np.ndarray) -> Symptom | None:
        """Kernels that a single step has replaced by half, in a network that has not got over it."""
        drawn = np.array([not _faint(record, name) for name in layers])
        times = np.where(intact(record)[:, None] & drawn, np.nan_to_num(ratios), 0.0) / most
        judged = yardstick(record)
        far = times > REPLACING
        if not np.any(far) or judged is None or len(record.logs) < LEAST_EPOCHS:
            return None
        training = data_loss(record)
        if not np.isfinite(training).all():
            return None
        best, level = lowest(training, validation_data_loss(record)), judged.at(LEVEL)
        sample, worst = np.unravel_index(np.argmax(times), times.shape)
        ratio = float(ratios[sample, worst])
        return Symptom(
            self.name,
            "warning" if judged.above(best, LEVEL) and not will_reach(training, level) else "info",
            f"A single step changed the kernel of {layers[worst]} by {ratio:.2g} times its norm; healthy is below "
            f"{most[worst]:g}. Little is left of what its initializer drew, and the loss got no lower than {best:.3g}, "
            f"{judged.told(best)}.",
            tuple(layer for layer, replaced in zip(layers, np.any(far, axis=0), strict=True) if replaced),
            first_step(record, np.any(far, axis=1)),
            {"update_ratio": ratio, "threshold": float(most[worst] * REPLACING)},
        )

    def _thresholds(self, record: Record, layers: list[str]) -> tuple[list[int], np.ndarray]:
        """Which of the kernels are judged, and the largest healthy ratio of each."""
        facts, fed = layer_facts(record), consumers(record)
        exempt = started_at_zero(record) | {name for name, layer in facts.items() if _tiny(layer)}
        chosen = [index for index, name in enumerate(layers) if name not in exempt]
        scale_free = [_scale_free(facts.get(layers[index], {}), fed.get(layers[index], []), facts) for index in chosen]
        return chosen, np.where(scale_free, SCALE_FREE_RATIO, RATIO)


def _faint(record: Record, name: str) -> bool:
    """Whether a kernel was drawn so small, on purpose as a rule, that its first steps are most of it."""
    units, norms = layer_facts(record).get(name, {}).get("units"), record.series(name, "kernel", "weight_norm")
    return bool(units and len(norms) and norms[0] < FAINT * math.sqrt(units))


def _tiny(layer: dict[str, Any]) -> bool:
    parameters = layer.get("parameters")
    return parameters is not None and parameters < TINY


def _scale_free(layer: dict[str, Any], fed: list[str], facts: dict[str, dict[str, Any]]) -> bool:
    classes = [facts[name].get("class") or "" for name in fed]
    return layer.get("activation") in LINEAR and bool(classes) and all(name.endswith(NORMALIZING) for name in classes)
