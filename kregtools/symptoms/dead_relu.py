"""ReLU units that never fire."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.curves import will_reach
from kregtools.symptoms.evidence import data_loss, first_step, intact, require_samples, still_learning
from kregtools.symptoms.symptom import CannotCheckError, Shown, Symptom, SymptomRule
from kregtools.symptoms.yardstick import yardstick

SHARE = 0.5
LEARNING = 0.8
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


def _dead(*dead: float) -> dict[tuple[str, str, str], list[float]]:
    return {
        ("dense", "activation", "dead_units"): list(dead),
        ("dense", "activation", "units"): [64.0] * len(dead),
        ("dense", "activation", "zero_fraction"): [0.75] * len(dead),
    }


class DeadRelu(SymptomRule):
    """At least half of a layer's ReLU units are off for every row.

    How it is detected: by units whose output is zero for all of the last 256 rows or more that were sampled, in the
    last two samples, while the loss is still above half of what it was before training. Zeros are not counted: a
    sparse unit is off for most rows, and works well. Nor is a network that learns with those that are left: its loss
    is below 80 % of what the best constant prediction costs, or will be in as many epochs again. Where the inputs are
    not centred, about half of the units are off from the start.

    Why it matters: a unit that is off for all data has no gradient and never comes back; the layer is as narrow as
    the units that are left.

    What to do: see the cause; a lower learning rate, an initializer for relu, or leaky_relu.

    Threshold: half of the units is SageMaker Debugger's rule for a layer. 80 % is where an underfit begins to count.
    """

    name = "dead_relu"
    shown = Shown("activation", "dead_units", "share of units off", whole="units")
    SICK: ClassVar = (
        example(series=_dead(float("nan"), 20, 40, 48)),
        example(series=_dead(64, 64)),
        example(logs={"loss": [1.0, 0.8, 0.7, 0.7]}, series=_dead(32, 36, 36, 36)),
        example(logs={"loss": [0.69, 0.64, 0.63, 0.63]}, series=_dead(32, 36, 36, 36), facts=BINARY),
    )
    HEALTHY: ClassVar = (
        example(series=_dead(float("nan"), 0, 2, 2)),
        example(series=_dead(10, 40, 20, 20)),
        example(series={**_dead(0, 2, 64, 64), ("dense", "kernel", "weight_nonfinite"): [0, 0, 9, 9]}),
        example(series={("dense", "kernel", "gradient_rms"): [0.1, 0.1]}),
        example(logs={"loss": [1.0, 0.5, 0.2, 0.1]}, series=_dead(32, 36, 36, 36)),
        example(logs={"loss": [0.69, 0.66, 0.62, 0.58]}, series=_dead(32, 36, 36, 36), facts=BINARY),
    )

    def check(self, record: Record) -> Symptom | None:
        require_samples(record)
        layers, dead = record.matrix("activation", "dead_units")
        if not layers:
            return None
        share = dead / record.matrix("activation", "units")[1]
        sound = intact(record)
        measured = np.isfinite(share).any(axis=1) & sound
        if not measured.any() and not sound.all():
            raise CannotCheckError(f"the weights are NaN or infinite from step {first_step(record, ~sound)} on")
        if not measured.any():
            raise CannotCheckError(
                "too few rows were sampled to tell dead units from sparse ones: train longer, or lower `sample_every`"
            )
        last = share[measured][-2:]
        dying = np.all(last >= SHARE, axis=0)
        if not dying.any() or not still_learning(record) or _gets_on(record):
            return None
        worst = int(np.argmax(np.where(dying, last[-1], 0)))
        names = tuple(layer for layer, shown in zip(layers, dying, strict=True) if shown)
        others = "another layer" if len(names) == 2 else f"{len(names) - 1} other layers"
        return Symptom(
            self.name,
            "critical",
            f"{last[-1, worst]:.0%} of the units of {layers[worst]} are off for every row"
            + (f", and at least half in {others}" if len(names) > 1 else "")
            + f"; healthy is below {SHARE:.0%}.",
            names,
            first_step(record, measured & np.any(share[:, dying] >= SHARE, axis=1)),
            {"dead_fraction": float(last[-1, worst]), "threshold": SHARE},
        )


def _gets_on(record: Record) -> bool:
    """Whether the network learns with the units that are left."""
    judged, losses = yardstick(record), data_loss(record)
    if judged is None or len(losses) < 2 or not np.isfinite(losses).all():
        return False
    return losses[-1] <= judged.at(LEARNING) or will_reach(losses, judged.at(LEARNING))
