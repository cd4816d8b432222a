"""What a network cannot do whatever its weights are, told from its shape."""

from __future__ import annotations

import math

from kregtools.record import Record
from kregtools.record.targets import Targets
from kregtools.symptoms.evidence import layer_facts, output_layers

# What an activation can give.
RANGES = {
    **dict.fromkeys(("sigmoid", "hard_sigmoid", "softmax"), (0.0, 1.0)),
    **dict.fromkeys(("tanh", "hard_tanh", "softsign"), (-1.0, 1.0)),
    **dict.fromkeys(("relu", "softplus", "exponential"), (0.0, math.inf)),
    "relu6": (0.0, 6.0),
}
BEYOND = 0.5
REGRESSION = (
    *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"),
    *("mean_squared_logarithmic_error", "huber", "log_cosh"),
)
HINGES = ("hinge", "squared_hinge")
# Losses that compare the output with the targets as it is; of a hinge they are -1 and 1, given as 0 and 1 or not.
DIRECT = (*REGRESSION, *HINGES)
# Digits, months and letters have fewer values; whole numbers that reach further are counts as often as classes.
FEW_CLASSES = 30
CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")


def out_of_reach(activation: str | None, targets: Targets, loss: str | None = None) -> str | None:
    """Says that targets lie more than half a standard deviation beyond what an activation can give, if they do."""
    low, high = RANGES.get(activation or "", (-math.inf, math.inf))
    least = min(targets.low, -1.0) if loss in HINGES else targets.low
    beyond = max(low - least, targets.high - high, 0.0)
    if not beyond > BEYOND * math.sqrt(targets.variance):
        return None
    reach = f"{low:g} to {high:g}" if high < math.inf else f"nothing below {low:g}"
    return f"the targets range from {least:.3g} to {targets.high:.3g}, and {activation} gives {reach}"


def too_narrow(record: Record) -> str | None:
    """Says that a hidden layer has fewer units than it takes bits to tell the classes apart, if one does."""
    losses, outputs = record.facts.get("losses") or [], record.facts.get("outputs") or []
    classes = [(output.get("shape") or [None])[-1] for output in outputs]
    if len(losses) != 1 or len(classes) != 1 or losses[0].get("name") not in CLASSES or not classes[0]:
        return None
    last = output_layers(record)
    hidden = [layer for name, layer in layer_facts(record).items() if name not in last and layer.get("units")]
    if not hidden:
        return None
    narrowest = min(hidden, key=lambda layer: layer["units"])
    if narrowest["units"] >= math.log2(classes[0]):
        return None
    units = f"{narrowest['units']} unit{'s' if narrowest['units'] > 1 else ''}"
    return f"{narrowest['name']} has {units} for {classes[0]} classes"
