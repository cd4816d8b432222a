"""A last activation that does not fit the loss or the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import (
    BINARY,
    BLOWN_UP,
    CATEGORICAL,
    CUT_OFF,
    REGRESSION,
    SPARSE,
    STALLED,
    STANDARDIZE_TARGET,
    Head,
    fitting,
    head_code,
    heads,
)
from kregtools.record import Record, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.capacity import DIRECT, RANGES, out_of_reach
from kregtools.symptoms.evidence import layer_facts, sources
from kregtools.symptoms.probabilities import are_probabilities, logits_are_taken, over_another_axis

BROKEN = {("", "loss", "nonfinite"): [0, 1]}
FAR = 10.0
STANDARDIZE = "Standardize the targets, too: they are far from 0, where such an output starts."
SHARES = {
    ("", "output", name): [value] * 2 for name, value in {"min": 0, "max": 0.9, "sum_mean": 1, "sum_std": 0}.items()
}
# What lets an output be negative.
SIGNED = ("linear", "tanh", "softsign", "elu", "selu", "leaky_relu", "gelu", "silu")
NO_PROBABILITY = (*SIGNED, "relu", "relu6", "softplus")


def _facts(loss: str, activation: str | None, units: int, **settings: Any) -> dict[str, Any]:
    output = {"tensor": "output", "target": "target", "shape": [None, units], "activation": activation}
    return {"losses": [{"name": loss, "target": "target", **settings}], "outputs": [output]}


def _targets(mean: float, std: float, low: float, high: float) -> dict[tuple[str, str, str], list[Any]]:
    known = {"mean": mean, "std": std, "min": low, "max": high, "integer_fraction": 0.0}
    return {**{("", "target", name): [value] * 2 for name, value in known.items()}, **BROKEN}


class WrongOutputActivation(CauseRule):
    """The last activation does not fit.

    How it is told: softmax over one unit is always 1, and rows that do not sum to 1 show one over another axis. A
    crossentropy of probabilities (`from_logits=False`) needs a sigmoid or a softmax before it, one of logits
    (`from_logits=True`) neither; whether outputs are probabilities is seen from their sums, too, whatever layer made
    them so. On TensorFlow Keras takes the logits from before the activation of the last layer, so that there the second
    fault is one for other backends only. A softmax or a sigmoid that is a layer by itself needs logits of any size
    before it, not what another activation has limited. The logarithm in `poisson` takes no negative output. Softmax
    cannot give several labels a row. A regression's targets, and the -1 and 1 of a hinge loss, have to be within reach
    of the activation: reported where they lie beyond it by more than half of their std.

    What to do: sigmoid for two classes and for several labels a row, softmax for one of several classes, softplus for
    the rate of a Poisson distribution, none for other numbers. Or no activation and `from_logits=True`, which is the
    same and safer with half precision.

    Threshold: half a std is judgement; targets that reach beyond by less lose little.
    """

    name = "wrong_output_activation"
    explains = (*STALLED, *BLOWN_UP, *CUT_OFF, "no_generalization", "negative_loss")
    SICK: ClassVar = (
        example(series=BROKEN, facts=_facts("binary_crossentropy", "softmax", 1)),
        example(series=BROKEN, facts=_facts("sparse_categorical_crossentropy", "relu", 10)),
        example(series=BROKEN, facts=_facts("categorical_crossentropy", "linear", 10)),
        example(series=BROKEN, facts=_facts("categorical_crossentropy", "softmax", 10, from_logits=True)),
        example(series={**SHARES, **BROKEN}, facts=_facts("categorical_crossentropy", None, 10, from_logits=True)),
        example(
            series={**SHARES, ("", "output", "sum_mean"): [0.3] * 2, **BROKEN},
            facts=_facts("categorical_crossentropy", "softmax", 10),
        ),
        example(series=_targets(0.0, 1.0, -3.0, 3.0), facts=_facts("mean_squared_error", "sigmoid", 1)),
        example(series=_targets(20.0, 5.0, 5.0, 50.0), facts=_facts("mean_squared_error", "tanh", 1)),
        example(series=_targets(2.0, 1.5, 0.0, 9.0), facts=_facts("poisson", "linear", 1)),
    )
    HEALTHY: ClassVar = (
        example(series=BROKEN, facts=_facts("sparse_categorical_crossentropy", "linear", 10, from_logits=True)),
        example(series=BROKEN, facts=_facts("sparse_categorical_crossentropy", "softmax", 10)),
        example(series=BROKEN, facts=_facts("binary_crossentropy", "sigmoid", 14)),
        example(series=BROKEN, facts=_facts("binary_crossentropy", None, 1)),
        example(series=_targets(0.3, 0.3, 0.0, 1.0), facts=_facts("mean_squared_error", "sigmoid", 784)),
        example(series=_targets(2.0, 1.5, 0.0, 9.0), facts=_facts("poisson", "softplus", 1)),
        example(series=_targets(20.0, 5.0, 5.0, 50.0), facts=_facts("mean_absolute_error", "relu", 1)),
        example(series=_targets(0.0, 1.0, -3.0, 3.0), facts=_facts("mean_squared_error", "linear", 1)),
        example(series={**SHARES, **BROKEN}, facts=_facts("categorical_crossentropy", "relu", 10)),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        found = [(*fault, head) for head in heads(record) if (fault := _fault(record, head)) is not None]
        if not found:
            return None
        confidence, reason, head = max(found, key=lambda item: item[0])
        units, activation, loss = _fitting(head)
        distance = np.hypot(head.targets.mean, np.sqrt(head.targets.variance))
        near = loss not in REGRESSION or not distance > FAR  # a linear output starts at 0
        return self.found(
            symptoms,
            confidence,
            reason,
            Remedy(
                f"Use the activation {activation} on {units} output unit{'s' if units > 1 else ''}, with {loss}. The "
                f"loss should then {'start near that of the best constant prediction, and ' if near else ''}fall."
                + ("" if near else f" {STANDARDIZE}"),
                head_code(units, activation, loss) + ("" if near else f"\n{STANDARDIZE_TARGET}"),
            ),
        )


def _fault(record: Record, head: Head) -> tuple[float, str] | None:
    loss, activation = head.loss, head.activation or ""
    entropy = loss in (*BINARY, *CATEGORICAL, *SPARSE)
    if activation == "softmax" and head.units == 1:
        return 0.98, "The output is a softmax over one unit, which is 1 whatever the input."
    if over_another_axis(record, _output(record, head)) is not None:
        return 0.95, "The softmax is taken over another axis than the last, `axis=-1`."
    seen = head.from_logits and are_probabilities(record, head.output)
    if entropy and head.from_logits and (seen or activation in ("softmax", "sigmoid")):
        softmax = activation if activation in ("softmax", "sigmoid") else "softmax"
        twice = f"{loss} with from_logits=True applies {softmax} itself, and the output already went through it"
        if logits_are_taken(record, _output(record, head)):
            return 0.3, f"{twice}; on TensorFlow Keras takes the values from before it, on other backends it does not."
        return 0.9, f"{twice}."
    if entropy and not head.from_logits and activation in NO_PROBABILITY and not are_probabilities(record, head.output):
        return 0.95, f"{loss} takes probabilities, and the last activation is {activation}."
    if loss == "poisson" and activation in SIGNED:
        return (
            0.9,
            f"poisson takes the logarithm of the output, and the last activation, {activation}, lets it be negative.",
        )
    if loss in BINARY and activation == "softmax" and head.kind == "multi_label":
        return 0.85, "Rows have several labels or none, and the outputs of a softmax sum to 1."
    if loss in (*CATEGORICAL, *SPARSE) and activation == "sigmoid" and (head.units or 0) > 1:
        return 0.6, f"{loss} asks for probabilities that sum to 1, which {head.units} sigmoids do not."
    limited = _limited(record, head) if entropy and not head.from_logits else None
    return limited or (_out_of_reach(head) if loss in DIRECT else None)


def _limited(record: Record, head: Head) -> tuple[float, str] | None:
    """Whether an activation limits what the softmax or the sigmoid of the output is given."""
    facts, fed_by = layer_facts(record), sources(record)
    name = _output(record, head).get("layer") if head.activation in ("softmax", "sigmoid") else None
    while name in facts and not facts[name].get("weights") and len(fed_by[name]) == 1:
        name = fed_by[name][0]
        activation = facts.get(name, {}).get("activation")
        if activation in RANGES:
            return 0.8, f"What the last {head.activation} is given went through the {activation} of {name} before."
    return None


def _output(record: Record, head: Head) -> Mapping[str, Any]:
    outputs = record.facts.get("outputs") or []
    return next((output for output in outputs if output.get("tensor") == head.output), {})


def _out_of_reach(head: Head) -> tuple[float, str] | None:
    reason = None if head.kind == "unknown" else out_of_reach(head.activation, head.targets, head.loss)
    if reason is None:
        return None
    low, high = RANGES[head.activation or ""]
    return 0.85 if low <= head.targets.mean <= high else 0.97, reason[0].upper() + reason[1:] + "."


def _fitting(head: Head) -> tuple[int, str, str]:
    units = head.units or 1
    if head.loss == "poisson":
        return units, "softplus", head.loss
    if head.kind != "unknown":
        return fitting(head)
    return units, "sigmoid" if head.loss in BINARY else "softmax" if units > 1 else "linear", head.loss
