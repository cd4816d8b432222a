"""More layers than their width can carry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import CUT_OFF, STALLED, joined, layer_code, plain_layers, scale_kept
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

DEEP = 8
BORN_DEAD = 0.2
FEWER = 3
STUCK = {"loss": [0.7, 0.69]}
FAILING = {("dense_0", "kernel", "gradient_rms"): [0.0] * 4, ("top", "kernel", "gradient_rms"): [1e-2] * 4}


def _stack(depth: int, units: int, activation: str = "relu", *more: str) -> dict[str, Any]:
    facts = [
        {"name": f"dense_{index}", "class": "Dense", "units": units, "activation": activation, "weights": ["kernel"]}
        for index in range(depth)
    ]
    top = {"name": "top", "class": "Dense", "units": 1, "activation": "sigmoid", "weights": ["kernel"]}
    return {"layers": [*({"name": name, "class": name} for name in more), *facts, top]}


class TooDeepForWidth(CauseRule):
    """A narrow relu network of that depth is likely to be dead before it is trained.

    How it is told: a layer of n relu units is off for a given input with probability 2^-n, if weights are drawn
    evenly around 0, and nothing comes back after it. At least 8 hidden layers without normalization and without skip
    connections are reported where that happens in one of them with a probability above 20 %.

    What to do: fewer layers, or wider ones; or leaky_relu, which cannot be off.

    Threshold: the probability is that of Lu et al., "Dying ReLU and Initialization" (2019); the 20 % are judgement.
    """

    name = "too_deep_for_width"
    explains = (*STALLED, *CUT_OFF)
    SICK: ClassVar = (
        example(logs=STUCK, series=FAILING, facts=_stack(12, 3)),
        example(logs=STUCK, series=FAILING, facts=_stack(20, 4)),
    )
    HEALTHY: ClassVar = (
        example(logs=STUCK, series=FAILING, facts=_stack(20, 64)),
        example(logs=STUCK, series=FAILING, facts=_stack(3, 3)),
        example(logs=STUCK, series=FAILING, facts=_stack(12, 3, "tanh")),
        example(logs=STUCK, series=FAILING, facts=_stack(12, 3, "relu", "BatchNormalization")),
        example(logs=STUCK, series=FAILING, facts=_stack(12, 3, "relu", "Add")),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        if scale_kept(record):
            return None
        hidden = plain_layers(record)
        relu = [layer for layer in hidden if layer.get("activation") == "relu" and layer.get("units")]
        widths = np.array([layer["units"] for layer in relu if layer["class"] == "Dense"], dtype=float)
        dead = 1.0 - float(np.prod(1.0 - 0.5**widths))
        if len(widths) < DEEP or dead < BORN_DEAD:
            return None
        narrow = int(widths.min())
        wider = max(32, 4 * narrow)
        return self.found(
            symptoms,
            min(0.9, 0.5 + 0.4 * dead),
            f"{len(widths)} hidden relu layers have as few as {narrow} units: with a probability of {dead:.0%} one of "
            f"them is off for a given input from the start; below {BORN_DEAD:.0%} is healthy.",
            Remedy(
                f"Use {FEWER} hidden layers of {wider} units in place of {joined([layer['name'] for layer in relu])}. "
                "The output should then depend on the input from the first step on.",
                "\n".join([layer_code(relu[0], wider)] * FEWER),
            ),
        )
