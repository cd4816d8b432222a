"""The loss has stopped falling far above what would be possible."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.record.targets import targets_of
from kregtools.symptoms.capacity import DIRECT, RANGES, out_of_reach, too_narrow
from kregtools.symptoms.curves import (
    lowest,
    require_seen_penalty,
    steadily_falling,
    validation_data_loss,
    will_reach,
)
from kregtools.symptoms.evidence import data_loss, require_epochs
from kregtools.symptoms.hindrances import at_rest, hindrance
from kregtools.symptoms.symptom import CannotCheckError, Symptom, SymptomRule
from kregtools.symptoms.yardstick import require_yardstick

LEVEL = 0.6
UNREACHED = 0.3
HIGH = 0.8
NOTHING = 0.95
LEAST_EPOCHS = 5
BINARY = {"losses": [{"name": "binary_crossentropy"}]}


TEN_LABELS = {
    ("", "target", "count"): [100] * 2,
    **{("", "target", f"count_{label}"): [10] * 2 for label in range(10)},
}


def _through(units: int, rate: float = 0.0) -> dict[str, Any]:
    """The facts of a classifier of ten classes with one hidden layer and dropout before it."""
    return {
        "losses": [{"name": "sparse_categorical_crossentropy", "target": "target"}],
        "outputs": [{"tensor": "output", "target": "target", "shape": [None, 10], "layer": "last"}],
        "layers": [
            {"name": "drop", "class": "Dropout", "rate": rate, "inbound": []},
            {"name": "hidden", "class": "Dense", "units": units, "weights": ["kernel"], "inbound": ["drop"]},
            {"name": "last", "class": "Dense", "units": 10, "weights": ["kernel"], "inbound": ["hidden"]},
        ],
    }


class Underfit(SymptomRule):
    """The network cannot even fit the training data.

    How it is detected: the training loss, penalties left out, stands above 95 % of what the best constant prediction
    costs, and so does the validation loss, measured without dropout; the run never gets to where it could overfit. A
    loss that is still falling is no underfit yet: at the pace of its last fifth, as many epochs again would bring it
    below 60 %, or it falls in a straight line, which is slow and wants more epochs. One that is not even below the
    constant's counts all the same. A weighted loss is not judged. Between 60 % and 95 % the loss alone does not tell a
    network that is too small from labels that are noise; that is said, not reported, unless the record shows why the
    network cannot do better: a hidden layer with fewer units than it takes bits to tell the classes apart, steps below
    1/100,000 of the kernels over the second half, or a last activation that cannot give the targets, which counts from
    30 % on where a std about their mean is beyond it. Above 80 % what may hold it back is enough: a hidden layer of
    fewer than four units, hidden layers that are all linear, more than 70 % dropped, a penalty that is more than half
    of the loss, weights decayed by 0.1 or more, most kernels frozen.

    Why it matters: no amount of data and no regularization mends a network that cannot represent the training set.

    What to do: see the cause; a wider or deeper network, less regularization, better inputs. Where the labels are
    noise to that extent, there is nothing to mend.

    Threshold: a share of the entropy of the labels (crossentropy) or of their variance (squared error), which makes
    it independent of the problem's scale; what soft targets and smoothed labels cost a perfect prediction is taken off
    both. 95 % is that of a network that has learned nothing (`no_learning`): where the inputs tell little of the
    targets, a sound network stands not far below. 60 % and 80 % are judgement: no paper gives them.
    """

    name = "underfit"
    SICK: ClassVar = (
        example(logs={"loss": [0.70, 0.68, 0.67, 0.67, 0.67, 0.67]}, facts=BINARY),
        example(logs={"loss": [2.3, 2.1, 2.0, 2.0, 2.0, 2.0]}, facts=_through(3), series=TEN_LABELS),
        example(logs={"loss": [2.3, 2.1, 2.0, 2.0, 2.0, 2.0]}, facts=_through(64, rate=0.9), series=TEN_LABELS),
        example(logs={"loss": [0.7] * 6, "val_loss": [0.69] * 6}, facts=BINARY),
        example(logs={"loss": [9.0, 6.0, 4.0, 3.0, 2.0, 1.3]}, facts=BINARY),
        example(logs={"loss": [0.699, 0.698, 0.697, 0.696, 0.695, 0.694]}, facts=BINARY),
        example(logs={"loss": [2.3, 1.9, 1.7, 1.65, 1.64, 1.64]}, facts=_through(1), series=TEN_LABELS),
        example(
            logs={"loss": [1.2, 0.9, 0.75, 0.72, 0.71, 0.71]},
            facts={
                "losses": [{"name": "mean_squared_error", "target": "target"}],
                "outputs": [{"tensor": "output", "target": "target", "shape": [None, 1], "activation": "sigmoid"}],
            },
            series={
                ("", "target", name): [value] * 2
                for name, value in {"count": 64, "mean": 0.0, "std": 1.0, "min": -3.0, "max": 3.0}.items()
            },
        ),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.70, 0.4, 0.3, 0.25, 0.24, 0.24]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.66, 0.65, 0.65, 0.65, 0.65]}, facts=BINARY),
        example(logs={"loss": [2.3, 2.1, 2.0, 2.0, 2.0, 2.0]}, facts=_through(64, rate=0.5), series=TEN_LABELS),
        example(logs={"loss": [0.690, 0.685, 0.680, 0.675, 0.670, 0.665]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.68, 0.65, 0.62, 0.58, 0.54]}, facts=BINARY),
        example(logs={"loss": [0.80, 0.64, 0.58, 0.54, 0.51, 0.48, 0.455, 0.43]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.5, 0.45, 0.45, 0.45, 0.45, 0.45]}, facts=BINARY),
        example(logs={"loss": [0.70, 0.6, 0.5, 0.5, 0.5, 0.5], "val_loss": [0.3] * 6}, facts=BINARY),
        example(logs={"loss": [2.3, 1.9, 1.5, 1.3, 1.2, 1.1]}, facts=_through(1), series=TEN_LABELS),
    )

    def check(self, record: Record) -> Symptom | None:
        require_epochs(record, LEAST_EPOCHS)
        yardstick, training = require_yardstick(record), data_loss(record)
        if not np.isfinite(training).all():
            return None
        last, best = float(training[-1]), lowest(training, validation_data_loss(record))
        unreached, mostly = _unreached(record)
        level = UNREACHED if mostly else LEVEL
        reaching = will_reach(training, yardstick.at(level)) or steadily_falling(training)
        if (best <= yardstick.constant and reaching) or not yardstick.above(best, level):
            return None
        require_seen_penalty(record)
        reason = unreached or too_narrow(record) or at_rest(record)
        reason = reason or (hindrance(record) if yardstick.above(best, HIGH) else None)
        if reason is None and not yardstick.above(best, NOTHING):
            raise CannotCheckError(
                f"the loss gets no lower than {best:.3g}, {yardstick.told(best)}: below {LEVEL:.0%} would be a fit and "
                f"above {NOTHING:.0%} none, and between them the network is too small, or the labels are noise. Train "
                "one with 4 times the units: if its training loss is no lower, it is noise"
            )
        return Symptom(
            self.name,
            "warning",
            f"The training loss ends at {last:.3g}, {yardstick.told(last)} ({yardstick.constant:.3g}); a network that "
            f"fits is below {level:.0%}." + (f" What may hold it back: {reason}." if reason else ""),
            (),
            int(record.logs[-1]["step"]),
            {"loss": last, **yardstick.evidence, "ratio": yardstick.share(last), "threshold": NOTHING},
        )


def _unreached(record: Record) -> tuple[str | None, bool]:
    """Why the last activation cannot give the targets, and whether that goes for more than a few of them."""
    paired = targets_of(record, record.facts.get("losses") or []) or []
    activations = [output.get("activation") for output in record.facts.get("outputs") or []]
    if len(activations) != len(paired):
        return None, False
    for activation, (loss, targets) in zip(activations, paired, strict=True):
        reason = out_of_reach(activation, targets, loss.get("name")) if loss.get("name") in DIRECT else None
        if reason is not None:
            low, high = RANGES[activation]
            spread = math.sqrt(targets.variance)
            return reason, not low <= targets.mean - spread <= targets.mean + spread <= high
    return None, False
