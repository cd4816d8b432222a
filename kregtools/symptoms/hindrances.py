"""What may keep a network from fitting its training data, as far as a record tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kregtools.record import Record
from kregtools.symptoms.evidence import layer_facts, output_layers

# A relu layer of three units bends at three places at most.
FEW_UNITS = 4
# Of ten inputs fewer than three are left.
MOST_DROPPED = 0.7
# The penalty weighs more than the data.
MOST_PENALTY = 0.5
# Ten times what is usual.
MOST_DECAY = 0.1
# At an update ratio of 1e-5 a kernel takes 100,000 steps to change by its own size.
LEAST_UPDATE = 1e-5
MOST_FROZEN = 0.5
# Dropout of any kind, DropConnect, DropPath, DropBlock; StochasticDepth.
DROPPING = ("Drop", "StochasticDepth")
STRAIGHT = (
    *("Dense", "Conv1D", "Conv2D", "Conv3D", "Dropout", "Flatten", "Reshape", "Permute", "InputLayer"),
    *("Concatenate", "Add", "Subtract", "Average", "AveragePooling1D", "AveragePooling2D", "AveragePooling3D"),
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D", "ZeroPadding1D", "ZeroPadding2D"),
)


def hindrance(record: Record) -> str | None:
    """Says what may keep the network from fitting, besides steps at rest, if the record shows something."""
    looked_for = (_few_units, _linear, _dropped, _penalized, _decayed, _frozen)
    return next((reason for look in looked_for if (reason := look(record))), None)


def shows_all(record: Record) -> bool:
    """Whether the layers are all there is in the model: no function is called between them, as far as is known."""
    model = record.facts.get("model") or {}
    return model.get("functions", [] if model.get("class") == "Sequential" else None) == []


def drop_rates(record: Record) -> dict[str, float]:
    """The largest rate at which a layer drops inputs, weights, states or itself, for every layer that does."""
    rates = {str(layer.get("name")): list(_rates(layer)) for layer in record.facts.get("layers") or []}
    return {name: max(found) for name, found in rates.items() if any(found)}


def _rates(layer: Mapping[str, Any]) -> Iterator[float]:
    drops = any(kind in str(layer.get("class")) for kind in DROPPING)
    for setting in ("dropout", "recurrent_dropout", *(["rate"] if drops else [])):
        rate = layer.get(setting)
        if isinstance(rate, (int, float)):
            yield float(rate)


def _hidden(record: Record) -> list[dict[str, Any]]:
    last = output_layers(record)
    return [layer for name, layer in layer_facts(record).items() if name not in last]


def _few_units(record: Record) -> str | None:
    narrow = [layer for layer in _hidden(record) if 0 < (layer.get("units") or 0) < FEW_UNITS]
    if not narrow:
        return None
    units = narrow[0]["units"]
    return f"{narrow[0]['name']} has {units} unit{'s' if units > 1 else ''}"


def _linear(record: Record) -> str | None:
    # A model without hidden layers may be linear on purpose.
    hidden = _hidden(record)
    if not shows_all(record) or not any(layer.get("units") for layer in hidden):
        return None
    straight = [layer.get("class") in STRAIGHT and layer.get("activation") in (None, "linear") for layer in hidden]
    return "its hidden layers are linear" if all(straight) else None


def _dropped(record: Record) -> str | None:
    name, rate = max(drop_rates(record).items(), key=lambda item: item[1], default=("", 0.0))
    return f"{name} drops {rate:.0%} of what it is given" if rate > MOST_DROPPED else None


def _penalized(record: Record) -> str | None:
    value, penalty = record.series("", "loss", "value"), record.series("", "loss", "penalty")
    shares = (penalty / np.where(value > 0, value, np.nan))[np.isfinite(penalty)]
    # A penalty that is too strong is gone with the weights at the end.
    largest = float(shares[np.isfinite(shares)].max(initial=0.0))
    return f"penalties are up to {largest:.0%} of the loss that is minimized" if largest > MOST_PENALTY else None


def _decayed(record: Record) -> str | None:
    decay = (record.facts.get("optimizer") or {}).get("weight_decay") or 0.0
    return f"the optimizer decays the weights by {decay:g}" if decay >= MOST_DECAY else None


def at_rest(record: Record) -> str | None:
    """Steps too small over the second half of the run: all of a low rate's, and those after a schedule has ended."""
    ratios = record.matrix("kernel", "update_ratio")[1]
    late = np.isfinite(ratios).any(axis=1) & (record.steps > record.steps[-1:].sum() / 2)
    if not late.any() or (usual := float(np.median(np.nanmax(ratios[late], axis=1)))) >= LEAST_UPDATE:
        return None
    return f"in its second half a step changes kernels by {usual:.1g} of their size at most"


def _frozen(record: Record) -> str | None:
    kernels = [layer for layer in layer_facts(record).values() if "kernel" in (layer.get("weights") or ())]
    frozen = [layer for layer in kernels if layer.get("trainable") is False]
    if len(frozen) <= MOST_FROZEN * len(kernels):
        return None
    return f"{len(frozen)} of {len(kernels)} layers with a kernel are frozen"
