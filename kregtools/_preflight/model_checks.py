"""What the model shows before its first step."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import numpy as np

from kregtools._preflight.context import Context, Finding, asked, cause, explained, explaining, symptom
from kregtools.causes.bad_init import BadInit
from kregtools.causes.cause import Cause, CauseRule
from kregtools.causes.evidence import joined, layer_code
from kregtools.causes.unnormalized_input import UnnormalizedInput
from kregtools.causes.unnormalized_target import UnnormalizedTarget
from kregtools.causes.wrong_labels import WrongLabels
from kregtools.causes.wrong_loss import WrongLoss
from kregtools.causes.wrong_output_activation import WrongOutputActivation
from kregtools.causes.wrong_output_units import WrongOutputUnits
from kregtools.record import Record, constant_loss
from kregtools.symptoms import CannotCheckError, SymptomRule
from kregtools.symptoms.dead_relu import DeadRelu
from kregtools.symptoms.evidence import layer_facts, output_layers
from kregtools.symptoms.negative_loss import NegativeLoss
from kregtools.symptoms.nonfinite import Nonfinite
from kregtools.symptoms.saturated_activation import SaturatedActivation
from kregtools.symptoms.zero_kernels import ends_a_branch

# Logits of a Glorot kernel over standardized inputs have a variance of about 2, which costs a crossentropy about one
# nat; predictions of a He-initialized network with such a variance cost a squared error 3 times that of the mean.
TIMES = {"categorical_crossentropy": 3.0, "sparse_categorical_crossentropy": 3.0, "binary_crossentropy": 3.0}
TIMES_OTHERS = 10.0
SPREAD = 0.01
FADING = 1000.0
# By chance a unit is off with a probability of one half: of ten, nine or more in one layer of a hundred.
NEARLY_ALL = 0.9
SURE = 0.9
LEAST = 0.5
FITTING = (WrongLoss(), WrongOutputActivation(), WrongOutputUnits(), WrongLabels())
CONFIGURATION = (UnnormalizedInput(), UnnormalizedTarget(), *FITTING, BadInit())


def nonfinite(context: Context) -> Finding | None:
    """NaN or infinity in the outputs, the loss or the weights."""
    return _by_rule(context, Nonfinite(), _start_again(context, [], "nonfinite"))


def negative_loss(context: Context) -> Finding | None:
    """A loss below zero where there is no such thing."""
    return _by_rule(context, NegativeLoss())


def dead_relu(context: Context) -> Finding | None:
    """ReLU units that are off for every row."""
    _, units = context.record.matrix("activation", "units")
    _, dead = context.record.matrix("activation", "dead_units")
    if units.size and not np.isfinite(dead).any():
        raise CannotCheckError("units that are off take 256 rows to be told from sparse ones: pass more rows")
    found = _by_rule(context, DeadRelu())
    if found is None or found.symptom.evidence["dead_fraction"] >= NEARLY_ALL:
        return found
    # About half are off at birth where the inputs are not centred; a network with the others learns.
    return found._replace(symptom=replace(found.symptom, severity="info"))


def saturated_activation(context: Context) -> Finding | None:
    """Sigmoid and tanh units at a limit."""
    return _by_rule(context, SaturatedActivation())


def target_mismatch(context: Context) -> Finding | None:
    """Targets that do not fit the output or the loss, by their range or their form."""
    found = symptom("target_mismatch", "critical", "The loss cannot be computed from these targets.")
    causes = [named for rule in FITTING for named in asked(rule, context.record, found) if named.confidence >= LEAST]
    if not causes and context.loss_error is None:
        _require(context, "target")
        return None
    best = max(causes, key=lambda named: named.confidence, default=None)
    sure = context.loss_error is not None or (best is not None and best.confidence >= SURE)
    message = best.reason if best else f"The loss cannot be computed: {_first_line(context.loss_error)}"
    own = cause(
        *("wrong_labels", SURE, "target_mismatch", _first_line(context.loss_error)),
        "Bring the targets to the shape of the output, or for sparse_categorical_crossentropy to one class number a "
        "row. The loss can then be computed.",
        "print(y.shape, y.dtype, model.output_shape)",
    )
    found = symptom("target_mismatch", "critical" if sure else "warning", message)
    return Finding(found, tuple(causes) or (own,))


def target_scale(context: Context) -> Finding | None:
    """Targets of a regression far from what the output starts with."""
    return _as_symptom(context, "target_scale", UnnormalizedTarget(), "target")


def input_scale(context: Context) -> Finding | None:
    """Inputs at a scale the weights are not made for."""
    return _as_symptom(context, "input_scale", UnnormalizedInput(), "input")


def initial_loss(context: Context) -> Finding | None:
    """A first loss far above that of a constant prediction."""
    seen = context.record.series("", "loss", "value") - context.record.series("", "loss", "penalty")
    seen = seen[np.isfinite(seen)]
    if not len(seen):
        raise CannotCheckError("the loss could not be computed, or is NaN or infinite: see the other findings")
    names = [loss["name"] for loss in context.record.facts["losses"]]
    expected = expected_loss(context)
    if expected is None:
        raise CannotCheckError(f"the loss to expect of {joined(names)} is not known: pass `expected_loss`")
    value, times = float(seen.mean()), max(TIMES.get(name, TIMES_OTHERS) for name in names or [""])
    if value <= times * expected:
        return None
    found = symptom(
        "initial_loss",
        "warning",
        f"The loss starts at {value:.3g}; {expected:.3g} is what a prediction that knows nothing costs, and healthy "
        f"is below {times:g} times that.",
        loss=value,
        expected=expected,
    )
    outputs = [name for name in layer_facts(context.record) if name in output_layers(context.record)]
    return explained(found, _start_again(context, outputs, "initial_loss"), record=context.record, rules=CONFIGURATION)


def expected_loss(context: Context) -> float | None:
    """What a prediction that knows nothing costs: ln C, log 2, the variance of the targets; summed over the losses."""
    if context.expected_loss is not None:
        return context.expected_loss
    parts = [_expected(context.record, loss) for loss in context.record.facts["losses"]]
    known = [part for part in parts if part is not None]
    return sum(known) if known and len(known) == len(parts) else None


def symmetric_units(context: Context) -> Finding | None:
    """Hidden kernels whose units are all the same, or zero."""
    names = [name for name in _kernels(context.record) if _degenerate(context.record, name)]
    if not names:
        return None
    found = symptom(
        "symmetric_units",
        "critical",
        f"All units of {joined(names)} start with the same weights, so they stay the same; they have to start at "
        "random.",
        names,
    )
    return explained(found, _start_again(context, names, "symmetric_units"), record=context.record, rules=(BadInit(),))


def signal_scale(context: Context) -> Finding | None:
    """A signal that dies out, or blows up, from the first hidden layer to the last."""
    stds = {name: _first(context.record, name, "activation", "std") for name in _kernels(context.record)}
    known = {name: std for name, std in stds.items() if std > 0}
    if len(known) < 2:
        return None
    (first, before), *_, (last, after) = known.items()
    if 1 / FADING <= after / before <= FADING:
        return None
    found = symptom(
        "signal_scale",
        "critical",
        f"The std of the outputs goes from {before:.2g} in {first} to {after:.2g} in {last}; a factor of "
        f"{FADING:g} either way leaves some layers without a gradient.",
        list(known),
        ratio=after / before,
    )
    return explained(found, _start_again(context, list(known), "signal_scale"))


def _by_rule(context: Context, rule: SymptomRule, *own: Cause) -> Finding | None:
    found = rule.check(context.record)
    if found is None:
        return None
    own = own or (_start_again(context, list(found.layers), found.name),)
    return explained(found, *own, record=context.record, rules=explaining(found.name))


def _as_symptom(context: Context, name: str, rule: CauseRule, tensor: str) -> Finding | None:
    """What a cause rule sees in the data, as a symptom by itself."""
    _require(context, tensor)
    found = asked(rule, context.record, symptom(name, "warning", ""))
    return Finding(symptom(name, "warning", found[0].reason), found) if found else None


def _require(context: Context, tensor: str) -> None:
    if not any(name.split(":")[0] == tensor for layer, name in context.record.tensors("mean") if not layer):
        why = f" ({'; '.join(context.missed)})" if context.missed else ""
        raise CannotCheckError(f"the {tensor}s could not be measured{why}: pass dense arrays of numbers")


def _expected(record: Record, loss: dict[str, Any]) -> float | None:
    # Before it learns, a network does not know the frequencies of the classes either.
    alone, blank = copy.copy(record), Record({**record.facts, "losses": [loss]})
    alone.facts = {**record.facts, "losses": [loss]}
    known = [value for value in (constant_loss(alone), constant_loss(blank)) if value is not None]
    return max(known, default=None)


def _kernels(record: Record) -> list[str]:
    """The hidden layers with a kernel of several units."""
    facts, outputs = layer_facts(record), output_layers(record)
    layers, _ = record.matrix("kernel", "weight_norm")
    return [name for name in facts if name in layers and name not in outputs and facts[name].get("units") != 1]


def _degenerate(record: Record, name: str) -> bool:
    if _first(record, name, "kernel", "weight_norm") == 0:
        return not ends_a_branch(record, name)
    return _first(record, name, "kernel", "unit_spread") < SPREAD


def _first(record: Record, layer: str, tensor: str, statistic: str) -> float:
    values = record.series(layer, tensor, statistic)
    known = values[np.isfinite(values)]
    return float(known[0]) if len(known) else math.nan


def _start_again(context: Context, names: list[str], explains: str) -> Cause:
    """The cause where nothing else is known to be wrong: the values that the weights start with."""
    facts = layer_facts(context.record)
    layer = facts.get(names[0].split("#")[0], {}) if names else {}
    where = joined(names) if names else "the model"
    return cause(
        *("bad_init", LEAST, explains, f"The weights that {where} starts with lead to it."),
        f"Build {where} with fresh weights: kernels at random (glorot_uniform, or he_normal before relu), biases at "
        "0. What was found should be gone in the next `preflight`.",
        layer_code(layer, kernel_initializer='"glorot_uniform"', bias_initializer='"zeros"'),
    )


def _first_line(error: str | None) -> str:
    return (error or "").strip().split("\n")[0]
