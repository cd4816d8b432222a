"""A deep network that nothing keeps at one scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import BLOWN_UP, CUT_OFF, STALLED, layer_code, plain_layers, scale_kept
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

DEEP = 6
TIMES = 10.0
STUCK = {"loss": [0.7, 0.69]}


def _stack(factor: float, depth: int = 9, *more: str) -> dict[str, Any]:
    facts = [
        {"name": f"dense_{index}", "class": "Dense", "units": 16, "activation": "relu", "weights": ["kernel"]}
        for index in range(depth)
    ]
    series = {
        **{(f"dense_{index}", "activation", "std"): [factor**index] * 4 for index in range(depth)},
        ("dense_0", "kernel", "gradient_rms"): [1e-9] * 4,
        (f"dense_{depth - 1}", "kernel", "gradient_rms"): [1e-2] * 4,
    }
    return {"logs": STUCK, "series": series, "facts": {"layers": [*({"name": m, "class": m} for m in more), *facts]}}


class MissingNormalizationLayer(CauseRule):
    """The signal shrinks or grows from layer to layer, and nothing sets it right.

    How it is told: at least 6 hidden dense or convolutional layers, no normalization and no skip connection, and at
    the first sampled step a std of the outputs that falls or rises steadily over the layers, by more than 10 in all.
    It says the same as `bad_init` with another remedy: an initializer that keeps the variance is as good, and
    cheaper; a normalization keeps it while the weights change, too.

    What to do: `BatchNormalization` between each kernel and its activation, or `LayerNormalization` for small batches.

    Threshold: the factor of 10 is that of `bad_init`. Ioffe & Szegedy, 2015, for the remedy.
    """

    name = "missing_normalization_layer"
    explains = (*STALLED, *CUT_OFF, *BLOWN_UP)
    SICK: ClassVar = (example(**_stack(0.4)), example(**_stack(3.0)))
    HEALTHY: ClassVar = (
        example(**_stack(0.97)),
        example(**_stack(0.4, 4)),
        example(**_stack(0.4, 9, "BatchNormalization")),
        example(**_stack(0.4, 9, "Add")),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        if scale_kept(record):
            return None
        hidden = plain_layers(record)
        names, every = record.matrix("activation", "std")
        first = dict(zip(names, every[0], strict=True)) if len(every) else {}
        stds = np.array([first.get(layer["name"], np.nan) for layer in hidden])
        known = stds[np.isfinite(stds) & (stds > 0)]
        if len(known) < DEEP:
            return None
        slope = float(np.polyfit(np.arange(len(known)), np.log10(known), 1)[0])
        decades = abs(slope) * (len(known) - 1)
        if decades < math.log10(TIMES):
            return None
        return self.found(
            symptoms,
            min(0.8, 0.5 + 0.08 * decades),
            f"Over {len(known)} hidden layers without normalization the std of the outputs is multiplied by "
            f"{10**slope:.2g} from layer to layer, {10 ** (slope * (len(known) - 1)):.1e} in all; a healthy network "
            "keeps it.",
            Remedy(
                "Put a BatchNormalization between each hidden kernel and its activation; a better initializer does the "
                "same. Every layer's output then starts with the same std, and the first one gets a gradient.",
                layer_code({**hidden[-1], "activation": "linear"}, use_bias="False")
                + "\nx = keras.layers.BatchNormalization()(x)"
                + f'\nx = keras.layers.Activation("{hidden[-1].get("activation") or "relu"}")(x)',
            ),
        )
