"""Regularization that leaves nothing to learn with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import compile_with, joined, layer_code, layers, optimizer
from kregtools.causes.regularization import PENALTY, RATE, penalty_share
from kregtools.causes.steps import rounded
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import data_loss
from kregtools.symptoms.hindrances import drop_rates

USUAL_RATE = 0.3
DECAY = 0.1
TIMES = 10
MOST = 1e4
LEFT = 0.05
PLATEAU = {"loss": [1.4, 1.38, 1.37, 1.37, 1.37, 1.37]}
UNDERFIT = {"loss": [0.70, 0.66, 0.65, 0.65, 0.65, 0.65], "val_loss": [0.66] * 6}
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _penalty(penalty: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "loss", "value"): [1.37] * 6, ("", "loss", "penalty"): [penalty] * 6}


def _dropout(rate: float, name: str = "drop") -> dict[str, Any]:
    return {"name": name, "class": "Dropout", "rate": rate, "weights": []}


class OverRegularization(CauseRule):
    """A penalty or dropout is so strong that the network cannot fit.

    How it is told: at some step the penalties, no larger than twice what they began with, make up more than half of
    the loss, or a layer drops more than 70 % of its inputs, or the optimizer decays the weights by 0.1 or more.

    What to do: a penalty that costs a twentieth of what the data costs, at most a tenth of what it was; dropout of 0.3;
    one at a time. Regularization is for a network that overfits.
    """

    name = "over_regularization"
    explains = ("underfit", "no_learning", "slow_convergence", "constant_output", "large_update")
    SICK: ClassVar = (
        example(logs=PLATEAU, series=_penalty(0.72), facts=BINARY),
        example(logs=UNDERFIT, facts={**BINARY, "layers": [_dropout(0.9)]}),
        example(logs=UNDERFIT, facts={**BINARY, "layers": [{"name": "deep", "class": "StochasticDepth", "rate": 0.9}]}),
        example(logs=UNDERFIT, facts={**BINARY, "layers": [{"name": "gru", "class": "GRU", "dropout": 0.9}]}),
        example(logs=UNDERFIT, facts={**BINARY, "optimizer": {"class": "AdamW", "weight_decay": 0.5}}),
    )
    HEALTHY: ClassVar = (
        example(logs=UNDERFIT, facts={**BINARY, "layers": [_dropout(0.5)]}),
        example(logs={"loss": [0.72, 0.68, 0.66, 0.66, 0.66, 0.66]}, series=_penalty(0.05), facts=BINARY),
        example(logs=UNDERFIT, facts={**BINARY, "optimizer": {"class": "AdamW", "weight_decay": 0.004}}),
        example(
            logs={"loss": [50.0, 30.0, 20.0, 10.0, 9.0, 8.0]},
            series={("", "loss", "value"): [0.8, 60.0, 40.0], ("", "loss", "penalty"): [0.1, 59.0, 39.0]},
            facts=BINARY,
        ),
        example(logs={"loss": [0.6, 0.4, 0.3, 0.25, 0.2]}, facts={**BINARY, "layers": [_dropout(0.9)]}),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        share = penalty_share(record)
        if share > PENALTY:
            return self._penalized(record, symptoms, share)
        dropping = {name: rate for name, rate in drop_rates(record).items() if rate > RATE}
        if dropping:
            return self._dropped(record, symptoms, dropping)
        decay = optimizer(record).get("weight_decay") or 0.0
        return self._decayed(record, symptoms, float(decay)) if decay >= DECAY else None

    def _penalized(self, record: Record, symptoms: Mapping[str, Symptom], share: float) -> Cause:
        found = [layer for layer in layers(record) if layer.get("regularizers")]
        settings = [item for layer in found for item in layer["regularizers"].values()]
        strength = max((item.get(kind) or 0.0 for item in settings for kind in ("l1", "l2")), default=0.0)
        times = max(TIMES, share / (1 - share) / LEFT) if share < 1 else MOST
        lower = rounded((strength or 0.01) / min(times, MOST))
        kind = "L1" if any(item.get("l1") and not item.get("l2") for item in settings) else "L2"
        regularizer = f"keras.regularizers.{kind}({lower:g})"
        lines = [layer_code(layer, kernel_regularizer=regularizer) for layer in found or [{}]]
        where = f" of {joined([str(layer.get('name')) for layer in found])}" if found else ""
        return self.found(
            symptoms,
            0.85,
            f"Up to {share:.0%} of the loss are penalties; below {PENALTY:.0%} the data has the say.",
            Remedy(
                f"Lower the penalty{where} to {lower:g}."
                + (f" The data loss should fall below {np.nanmin(data_loss(record)):.3g}." if record.logs else ""),
                "\n".join(dict.fromkeys(lines)),
            ),
        )

    def _dropped(self, record: Record, symptoms: Mapping[str, Symptom], dropping: dict[str, float]) -> Cause:
        training, validation = record.log("loss"), record.log("val_loss")
        better = bool(len(training)) and bool(validation[-1] < 0.9 * training[-1])
        return self.found(
            symptoms,
            0.85 if better else 0.75,
            f"{joined(list(dropping))} drop{'s' if len(dropping) == 1 else ''} {max(dropping.values()):.0%} of the "
            f"inputs; above {RATE:.0%} hardly any signal is left"
            + (", and without dropout, in validation, the loss is much lower." if better else "."),
            Remedy(
                f"Set the rate of {joined(list(dropping))} to {USUAL_RATE:g}. The training loss should fall in the "
                "first epochs.",
                "\n".join(dict.fromkeys(_code(layer) for layer in layers(record) if layer.get("name") in dropping)),
            ),
        )

    def _decayed(self, record: Record, symptoms: Mapping[str, Symptom], decay: float) -> Cause:
        lower = decay / TIMES**2
        return self.found(
            symptoms,
            0.55,
            f"The optimizer decays the weights by {decay:g}; {DECAY / TIMES:g} is usual.",
            Remedy(
                f"Lower `weight_decay` to {lower:g}. The training loss should fall further.",
                compile_with(record, weight_decay=lower),
            ),
        )


def _code(layer: dict[str, Any]) -> str:
    kind = str(layer.get("class"))
    if "Dropout" in kind:
        return f"x = keras.layers.{kind}({USUAL_RATE:g})(x)"
    settings = [f"{name}={USUAL_RATE:g}" for name in ("rate", "dropout", "recurrent_dropout") if layer.get(name)]
    return f"{', '.join(settings)}  # where {layer['name']}, the {kind}, is made"
