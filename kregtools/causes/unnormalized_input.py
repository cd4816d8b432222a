"""Inputs at a scale the weights are not made for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import BLOWN_UP, CUT_OFF, STALLED, kernel_updates, largest, optimizer
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.evidence import consumers, layer_facts, sources

LARGE = 10.0
RATIO = 100.0
SMALL = 0.01
# How much smaller a layer's output may be than its input before something must have scaled it down between.
SCALED = 0.02
NORMALIZED = ("Normalization", "Rescaling")
TOKENS = ("Embedding", "Encoding", "Lookup", "Hashing", "Vectorization", "Discretization")
KEEPING = (
    "Flatten",
    "Reshape",
    "Permute",
    "Dropout",
    "Noise",
    "Random",
    "ShiftAndFlip",
    "Resizing",
    "Masking",
    "Padding",
    "Cropping",
)
NOT_ADAPTIVE = ("SGD", "Adagrad", "Ftrl")
NAN_AFTER = {("", "loss", "nonfinite"): [0, 1, 1, 1]}


def _input(**statistics: float) -> dict[tuple[str, str, str], list[float]]:
    known = {"integer": 0.0, **statistics}
    return {("", "input", name): [value] * 4 for name, value in known.items()}


def _numbers(**statistics: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "input:1", name): values for (_, _, name), values in _input(**statistics).items()}


def _output(layer: str, **statistics: float) -> dict[tuple[str, str, str], list[float]]:
    return {(layer, "activation", name): [value] * 4 for name, value in statistics.items()}


def _layers(*classes: str) -> dict[str, list[dict[str, str]]]:
    return {"layers": [{"name": name, "class": name} for name in classes]}


PIXELS = _input(rms=85.0, min=0.0, max=255.0, feature_mean_max=139.0, feature_std_max=114.0, feature_std_min=0.2)
UNIT = _input(rms=0.33, min=0.0, max=1.0, feature_mean_max=0.55, feature_std_max=0.45, feature_std_min=0.0004)
WORDS = _input(integer=1.0, rms=4000.0, min=0.0, max=9999.0)
UPDATES = {("dense", "kernel", "update_ratio"): [3.0, 9.0, 9.0, 9.0]}


class UnnormalizedInput(CauseRule):
    """The inputs are not scaled.

    How it is told: the inputs' rms, or the mean or std of a feature, is above 10, or the std of one feature is more
    than 100 times that of another and above 3, or no value is above 0.01. Token numbers are no such input, nor is one
    that goes through a normalization or a rescaling first, or that was scaled by a function on its way to the first
    kernel, which shows in the size of what that gives. A normalization or rescaling that hands on values as large or
    as small as that was not adapted, or is not made for these inputs.

    What to do: scale pixels to 0 to 1 and standardize columns, within the model, so that it is not forgotten later.

    Threshold: initializers assume inputs of unit variance (LeCun et al., 1998; Glorot & Bengio, 2010); the factor of
    10 either way is judgement. With an adaptive optimizer a large step is the learning rate's doing first.
    """

    name = "unnormalized_input"
    explains = (*STALLED, *BLOWN_UP, *CUT_OFF, "noisy_validation")
    SICK: ClassVar = (
        example(series={**PIXELS, **NAN_AFTER}, facts=_layers("Dense")),
        example(series={**PIXELS, **NAN_AFTER, **UPDATES}, facts={"optimizer": {"class": "SGD"}}),
        example(series={**_input(integer=1.0, rms=85.0, min=0.0, max=255.0), **NAN_AFTER}),
        example(
            series={**_input(rms=900.0, max=4e4, feature_std_max=8e3), **NAN_AFTER}, facts=_layers("Flatten", "Dense")
        ),
        example(
            series={**_input(rms=900.0, max=4e4), **_output("Normalization", rms=900.0, min=0.0, max=4e4), **NAN_AFTER},
            facts=_layers("Normalization", "Dense"),
        ),
        example(
            series={**UNIT, **_output("Rescaling", rms=0.002, min=0.0, max=0.0039), **NAN_AFTER},
            facts=_layers("Rescaling", "Dense"),
        ),
        example(
            series={**WORDS, **_numbers(rms=3e4, max=1e5, feature_std_max=2e4), **NAN_AFTER},
            facts={
                "layers": [
                    {"name": "words", "class": "Embedding", "inbound": [], "takes_input": True},
                    {"name": "both", "class": "Concatenate", "inbound": ["words"], "takes_input": True},
                ]
            },
        ),
    )
    HEALTHY: ClassVar = (
        example(series={**UNIT, **NAN_AFTER}),
        example(series={**_input(rms=1.0, max=30.0, feature_std_max=1.0, feature_std_min=0.9), **NAN_AFTER}),
        example(series={**WORDS, **NAN_AFTER}, facts=_layers("Embedding")),
        example(series={**PIXELS, **NAN_AFTER}, facts=_layers("Rescaling")),
        example(
            series={**PIXELS, **_output("Rescaling", rms=0.33, min=0.0, max=1.0), **NAN_AFTER},
            facts=_layers("Rescaling", "Dense"),
        ),
        example(series={**PIXELS, **NAN_AFTER}, facts=_layers("Flatten", "BatchNormalization")),
        example(series={**PIXELS, **NAN_AFTER, ("Dense", "activation", "rms"): [0.3] * 4}, facts=_layers("Dense")),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        first = _first_layers(record)
        inputs = [tensor for layer, tensor in record.tensors("integer") if not layer and tensor.startswith("input")]
        unfit = [found for layer in first if _is(layer, NORMALIZED) and (found := _unfit(record, layer)) is not None]
        if unfit:
            return self.found(symptoms, *unfit[0])
        if first and all(_is(layer, (*NORMALIZED, *TOKENS)) for layer in first):
            return None
        tokens = any(_is(layer, TOKENS) for layer in first)
        faults = [
            found
            for name in inputs
            if not (tokens and (len(inputs) == 1 or _measured(record, name, "integer") == 1))
            and (found := _fault(record, name, first)) is not None
        ]
        if not faults:
            return None
        confidence, reason, image = max(faults)
        if optimizer(record).get("class", "SGD") not in NOT_ADAPTIVE and largest(kernel_updates(record)[1][:1]) > 0.5:
            confidence = min(confidence, 0.7)
        return self.found(symptoms, confidence, reason, _remedy(image))


def _fault(record: Record, name: str, first: list[dict[str, object]]) -> tuple[float, str, bool] | None:
    rms, low, high = (_measured(record, name, statistic) for statistic in ("rms", "min", "max"))
    by_feature = [_measured(record, name, f"feature_{which}") for which in ("mean_min", "mean_max", "std_max")]
    scale = float(np.nanmax([0.0, rms, *np.abs(by_feature)]))
    spread, least = by_feature[2], _measured(record, name, "feature_std_min")
    given = f"The {name} ranges from {low:.3g} to {high:.3g}"
    if _scaled_inside(record, first, rms):
        return None
    if scale > LARGE:
        reason = f"{given}, with values of about {scale:.3g}; the weights are made for values of about 1."
        return min(0.97, 0.75 + 0.15 * math.log10(scale / LARGE)), reason, low >= 0 and 200 < high <= 256
    if spread > 3 and least > 0 and spread / least > RATIO:
        reason = f"The std of the features of the {name} goes from {least:.2g} to {spread:.2g}; 1 is healthy for all."
        return 0.6, reason, False
    if max(abs(low), abs(high)) < SMALL:
        return 0.6, f"{given}; the weights are made for values of about 1.", False
    return None


def _unfit(record: Record, layer: dict[str, object]) -> tuple[float, str, Remedy] | None:
    """Of a normalization or rescaling at whose output values are far from 1 nevertheless."""
    name = str(layer["name"])
    size, low, high = (_measured(record, "activation", which, name) for which in ("rms", "min", "max"))
    if not (size > LARGE or max(abs(low), abs(high)) < SMALL):
        return None
    reason = f"{name} hands on values from {low:.3g} to {high:.3g}; the weights are made for values of about 1."
    if _is(layer, ("Rescaling",)):
        text = f"Choose the scale of {name} for these inputs, or leave it out where they are scaled already"
        return (
            0.9,
            reason,
            Remedy(f"{text}. The loss should then fall from the first epoch on.", "print(x.min(), x.max())"),
        )
    text = f"Adapt {name} to the training inputs before `fit`. The loss should then fall from the first epoch on."
    return 0.9, reason, Remedy(text, f'model.get_layer("{name}").adapt(x_train)')


def _first_layers(record: Record) -> list[dict[str, object]]:
    """The first layers that do more with an input than to arrange its values."""
    facts, after = layer_facts(record), consumers(record)
    fed_by = sources(record)
    pending, seen, found = [name for name in facts if not fed_by[name] or facts[name].get("takes_input")], set(), []
    while pending:
        name = pending.pop()
        if name in seen or name not in facts:
            continue
        seen.add(name)
        if _is(facts[name], KEEPING):
            pending += after.get(name, [])
        else:
            found.append(facts[name])
    return found


def _scaled_inside(record: Record, first: list[dict[str, object]], rms: float) -> bool:
    open_ended = [layer for layer in first if layer.get("activation") in (None, "linear", "relu", "elu", "gelu")]
    sizes = [record.series(str(layer["name"]), "activation", "rms")[:1] for layer in open_ended]
    known = [float(size[0]) for size in sizes if len(size) and np.isfinite(size[0])]
    return bool(known) and max(known) < SCALED * rms


def _measured(record: Record, tensor: str, statistic: str, layer: str = "") -> float:
    values = record.series(layer, tensor, statistic)
    values = values[np.isfinite(values)]
    pooled = {"min": np.min, "max": np.max}.get(statistic, np.median)
    return float(pooled(values)) if len(values) else math.nan


def _is(layer: Mapping[str, object], classes: tuple[str, ...]) -> bool:
    return any(name in str(layer.get("class")) for name in classes)


def _remedy(image: bool) -> Remedy:
    what = "Divide the pixels by 255" if image else "Standardize the inputs, each column by its own mean and std"
    code = (
        "x = keras.layers.Rescaling(1 / 255)(inputs)"
        if image
        else "normalization = keras.layers.Normalization()\nnormalization.adapt(x_train)\nx = normalization(inputs)"
    )
    return Remedy(f"{what}, in a first layer. The loss should then fall from the first epoch on.", code)
