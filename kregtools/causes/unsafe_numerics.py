"""A function that overflows, or is not defined where it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import BINARY, CATEGORICAL, REGRESSION, SPARSE, layers, optimizer, sizes
from kregtools.record import Record, example
from kregtools.symptoms import Symptom

SANE = 0.1
LARGEST = 1e4
SAFE = (*BINARY, *CATEGORICAL, *SPARSE, *REGRESSION, "hinge", "squared_hinge", "categorical_hinge", "kl_divergence")
OWN = {"losses": [{"name": "my_log_loss"}]}


def _run(update: float = 1e-3, size: float = 1.0, **nonfinite: list[float]) -> dict[tuple[str, str, str], list[Any]]:
    """A run that breaks at its third sample, where `nonfinite` says."""
    return {
        ("dense", "activation", "rms"): [size, size, size],
        ("dense", "activation", "nonfinite"): nonfinite.get("activation", [0, 0, 0]),
        ("dense", "kernel", "weight_norm"): [4.0, 4.0, 4.0],
        ("dense", "kernel", "update_ratio"): [update, update, float("nan")],
        ("dense", "kernel", "weight_nonfinite"): nonfinite.get("weight", [0, 0, 9]),
        ("", "loss", "nonfinite"): nonfinite.get("loss", [0, 0, 1]),
        ("", "input", "nonfinite"): nonfinite.get("data", [0, 0, 0]),
    }


class UnsafeNumerics(CauseRule):
    """A logarithm, an exponential, a division, half precision or the data give NaN or infinity.

    How it is told: inputs or targets hold such values. Or the first NaN or infinity is in the loss, in an activation
    or in a gradient, while inputs and targets are finite, no step before changed a kernel by more than a tenth, no
    activation was large before, and none is at that step so large that its square overflows. It is most probable
    under float16 without a loss scale, for a loss of one's own and for a layer of one's own; a loss of Keras guards
    itself.

    What to do: drop or fill in what is missing in the data; keep arguments away from 0 (`ops.log(x + 1e-7)`,
    `ops.maximum`), compute from logits (`from_logits=True`, `ops.logsumexp`), use `mixed_bfloat16`, or wrap the
    optimizer in a `LossScaleOptimizer`.

    Threshold: the tenth is that of `large_update`; 10,000 is near the largest float16, 65,504.
    """

    name = "unsafe_numerics"
    explains = ("nonfinite", "diverging_loss", "no_learning", "underfit", "constant_output")
    SICK: ClassVar = (
        example(series=_run(data=[0, 0, 2])),
        example(series=_run(), facts=OWN),
        example(series=_run(activation=[0, 0, 7]), facts={"layers": [{"name": "dense", "class": "LogSpace"}]}),
        example(series=_run(), facts={"compile": {"dtype_policy": "mixed_float16"}}),
    )
    HEALTHY: ClassVar = (
        example(series=_run(update=3.0), facts=OWN),
        example(series=_run(size=1e8), facts=OWN),
        example(series={**_run(), ("dense", "activation", "rms"): [1.0, 1.0, float("nan")]}, facts=OWN),
        example(series=_run(weight=[0, 9, 9]), facts=OWN),
        example(logs={"loss": [0.7, float("nan")]}, facts=OWN),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        in_data = _in_data(record)
        if in_data:
            return self.found(symptoms, 0.95, *in_data)
        began = symptoms["nonfinite"].first_step if "nonfinite" in symptoms else None
        sample = int(np.searchsorted(record.steps, -1 if began is None else began))
        if began is None or sample == len(record.samples) or record.steps[sample] != began:
            return None
        places = [place for place, counts in _counts(record, sample).items() if counts > 0]
        if not places or not _sound(record, sample):
            return None
        # In the order of the step: what comes first has broken the rest.
        place = min(places, key=lambda place: (not place.startswith("the output"), place != "the loss"))
        confidence, why, text, code = _suspect(record, place)
        reason = f"At step {began} {place} is NaN or infinite, while data, weights and steps before were sound{why}."
        return self.found(symptoms, confidence, reason, Remedy(text, code))


def _counts(record: Record, sample: int) -> dict[str, float]:
    """How many values are not finite at the sample, by place; in forward order, the gradients backwards."""
    outputs = {f"the output of {layer}": (layer, tensor, "nonfinite") for layer, tensor in record.tensors("nonfinite")}
    gradients = [(layer, tensor, "gradient_nonfinite") for layer, tensor in record.tensors("gradient_nonfinite")]
    keys = {
        "the loss": ("", "loss", "nonfinite"),
        **{place: key for place, key in outputs.items() if key[0]},
        **{f"the gradient of {key[0]}": key for key in reversed(gradients)},
    }
    return {place: float(record.series(*key, start=sample)[0]) for place, key in keys.items()}


def _sound(record: Record, sample: int) -> bool:
    """Whether weights, steps and activations give no reason for what happens at the sample."""
    damaged = any(
        (record.series(layer, tensor, "weight_nonfinite")[:sample] > 0).any()
        for layer, tensor in record.tensors("weight_nonfinite")
    )
    norms = record.matrix("kernel", "weight_norm")[1][sample : sample + 1]
    updates = record.matrix("kernel", "update_ratio")[1][:sample]
    rms = sizes(record, "rms")[1]
    known = norms.size > 0 and bool(np.isfinite(norms).all())
    large = (rms[:sample] > LARGEST).any() or np.isinf(rms[sample : sample + 1]).any()
    return known and not damaged and not (updates > SANE).any() and not large


def _in_data(record: Record) -> tuple[str, Remedy] | None:
    """Which of inputs and targets hold NaN or infinity."""
    data = [
        tensor for layer, tensor in record.tensors("nonfinite") if not layer and tensor.startswith(("input", "target"))
    ]
    counts = {tensor: float(np.nansum(record.series("", tensor, "nonfinite"))) for tensor in data}
    broken = [tensor for tensor, count in counts.items() if count > 0]
    if not broken:
        return None
    return (
        f"Of the values of the {broken[0]} that were looked at, NaN or infinite: {counts[broken[0]]:.0f}.",
        Remedy(
            f"Drop the rows in which the {broken[0]} holds such values, or fill them in, with the mean of their "
            "feature for instance. The run should then stay finite.",
            "x = np.where(np.isfinite(x), x, np.nanmean(x, axis=0, where=np.isfinite(x)))",
        ),
    )


def _suspect(record: Record, place: str) -> tuple[float, str, str, str]:
    policy = str((record.facts.get("compile") or {}).get("dtype_policy") or "")
    if "float16" in policy and "bfloat16" not in policy and not optimizer(record).get("loss_scale"):
        text = "Use bfloat16, which has the range of float32, or a loss scale. The run should then stay finite."
        code = 'keras.mixed_precision.set_global_policy("mixed_bfloat16")'
        return 0.9, f"; {policy} without a loss scale overflows at 65,504", text, code
    text = f"Keep what {place} is computed from away from 0 and from large exponents. The run should then stay finite."
    code = "value = keras.ops.log(keras.ops.maximum(x, 1e-7))"
    own = [loss["name"] for loss in record.facts.get("losses") or [] if loss.get("name") not in SAFE]
    if place == "the loss" and own:
        return 0.85, f"; the loss {own[0]} does not guard itself", text, code
    classes = {f"the output of {layer.get('name')}": layer.get("class") for layer in layers(record)}
    if place in classes:
        return 0.8, f"; a layer of the class {classes[place]} is where it begins", text, code
    return 0.5, "", text, code
