"""Weights that start at the wrong scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kregtools.causes.cause import Cause, CauseRule, Remedy
from kregtools.causes.evidence import clipped, hidden_layers, joined, layer_code, layers, never_better, sizes
from kregtools.record import Record, constant_loss, example
from kregtools.symptoms import Symptom
from kregtools.symptoms.comparison import trained_before
from kregtools.symptoms.zero_kernels import ends_a_branch, started_at_zero

SPREAD = 10.0
BLOWN = 1e3
# Kernels that stand side by side in one.
GATES = {"GRUCell": 3, "LSTMCell": 4}
CONSTANTS = ("Zeros", "Ones", "Constant")
# They keep the scale by themselves, or nearly: where the output dies out all the same, other causes come first.
KEEPING = ("Glorot", "He", "Lecun", "VarianceScaling", "Orthogonal", "DropoutAware")


def _depth(*stds: float, step: float = 1e-9) -> dict[tuple[str, str, str], list[float]]:
    """Kernels whose gradient vanishes and whose outputs have these stds, before and after a few steps."""
    series = {}
    for index, std in enumerate(stds):
        series[f"dense_{index}", "activation", "std"] = [std] * 4
        series[f"dense_{index}", "kernel", "gradient_rms"] = [step if index < len(stds) - 1 else 1e-2] * 4
        series[f"dense_{index}", "kernel", "update_ratio"] = [1e-3] * 4
    return series


def _dense(index: int, activation: str) -> dict[str, Any]:
    return {"name": f"dense_{index}", "class": "Dense", "units": 8, "activation": activation, "weights": ["kernel"]}


def _input(rms: float) -> dict[tuple[str, str, str], list[float]]:
    return {("", "input", "rms"): [rms] * 4}


BINARY = {"losses": [{"name": "binary_crossentropy"}]}
STUCK = {"loss": [0.7, 0.7, 0.7, 0.7, 0.7]}


def _asked(initializer: str, joined: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A hidden layer with this initializer, and what joins its output with something else."""
    layers = [_dense(index, "relu") for index in range(3)]
    layers[1]["kernel_initializer"] = {"class": initializer}
    return {**BINARY, "layers": [*layers[:2], *(joined or []), layers[2]]}


def _joined(name: str, *inbound: str) -> dict[str, Any]:
    return {"name": name, "class": "Add", "weights": [], "inbound": list(inbound)}


RECURRENT = {"layers": [{"name": "dense_0", "class": "SimpleRNN", "units": 8, "initializers": {"recurrent": {}}}]}


def _gru(initializer: str) -> dict[str, Any]:
    drawn = {name: {"class": initializer} for name in ("kernel", "recurrent")}
    cell = {"name": "gru_cell", "class": "GRUCell", "units": 24, "weights": ["kernel"], "initializers": drawn}
    return {**BINARY, "layers": [cell, _dense(1, "sigmoid")]}


def _norm(recurrent: float) -> dict[tuple[str, str, str], list[float]]:
    return {("gru_cell", "recurrent_kernel", "weight_norm"): [recurrent] * 4}


LEARNED_BY_HEART = {
    "loss": [60.0, 9.0, 1.0, 0.3, 0.1],
    "accuracy": [0.5, 0.7, 0.8, 0.9, 0.98],
    "val_loss": [25.0, 8.0, 5.0, 4.8, 4.7],
    "val_accuracy": [0.6, 0.7, 0.74, 0.75, 0.76],
}


def _began(loss: float, input_rms: float) -> dict[tuple[str, str, str], list[float]]:
    """A network whose outputs do not grow from layer to layer, with two classes and this loss before training."""
    targets = {"mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0}
    seen = {("", "target", name): [value] * 4 for name, value in targets.items()}
    return {**_depth(5.0, 6.0, 1.0, step=1e-3), **seen, **_input(input_rms), ("", "loss", "value"): [loss, 30, 5, 0.2]}


class BadInit(CauseRule):
    """The initial weights let the signal die out or blow up over the layers, or make all units the same.

    How it is told: at the first sampled step the standard deviation of the layers' outputs differs by more than a
    factor of 10 between the first and the last hidden layer with a kernel, or a hidden layer's output does not vary,
    or is more than 1,000 times as large as the input, up to where its square overflows; or the units of a kernel are
    the same from the start, for which its initializer is taken where no weights were measured; or most outputs of a
    layer are saturated before any update. A kernel of zeros at the end of a residual branch is meant to be so.
    Overfitting it explains only where the validation loss was never better than what the best constant prediction
    costs, and the crossentropy before training, penalties left out, was more than 10 times that, with an input of an
    rms of at most 10. Or the weights of a unit, drawn by an initializer that does not look at their number, are ten
    times as large together as those that keep the scale of what they are given.

    What to do: an initializer that knows the activation and the dropout before each kernel:
    `kregtools.initializers.DropoutAware` keeps the variance from layer to layer (Hendrycks & Gimpel, 2016).
    """

    name = "bad_init"
    explains = (
        *("vanishing_gradient", "exploding_gradient", "dead_relu", "nonfinite", "underfit"),
        *("diverging_loss", "no_learning", "slow_convergence", "symmetric_units", "saturated_activation"),
        *("constant_output", "overfit"),
    )
    SICK: ClassVar = (
        example(logs={"loss": [0.7, 0.7]}, series=_depth(1e-1, 1e-3, 1e-5, 0.1)),
        example(
            logs={"loss": [0.7, 0.7]},
            series={
                **_depth(0.5, 0.5, 0.5),
                **{(f"dense_{index}", "kernel", "unit_spread"): [0.0] * 4 for index in range(2)},
            },
            facts={"layers": [_dense(index, "relu") for index in range(3)]},
        ),
        example(
            logs={"loss": [2.3, 2.3]},
            series={**_depth(0.9, 0.9, 0.1), ("dense_0", "activation", "saturated_fraction"): [0.8] * 4},
            facts={"layers": [_dense(index, "tanh") for index in range(3)]},
        ),
        example(logs={"loss": [math.nan] * 2}, series={**_depth(2e6, 0.3), **_input(0.5)}, facts=RECURRENT),
        example(
            logs={"loss": [math.nan] * 2},
            series={
                **_depth(math.nan, math.nan),
                **{(f"dense_{index}", "activation", "nonfinite"): [0, 32, 32, 32] for index in range(2)},
                **_input(0.5),
            },
            facts=RECURRENT,
        ),
        example(logs=STUCK, facts=_asked("Zeros")),
        example(logs=LEARNED_BY_HEART, facts=BINARY, series=_began(90.0, 1.0)),
        example(logs=STUCK, facts=_gru("RandomNormal"), series=_norm(200.0)),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.7, 0.7]}, series=_depth(0.6, 0.5, 0.55, 0.1)),
        example(
            logs={"loss": [2.3, 2.3]},
            series={**_depth(0.6, 0.6, 0.1), ("dense_0", "activation", "saturated_fraction"): [0.1, 0.8, 0.8, 0.8]},
            facts={"layers": [_dense(index, "tanh") for index in range(3)]},
        ),
        example(logs={"loss": [math.nan] * 2}, series={**_depth(2e6, 0.3), **_input(5e5)}, facts=RECURRENT),
        example(logs=STUCK, facts=_asked("HeNormal")),
        example(logs=STUCK, facts=_gru("RandomNormal"), series=_norm(60.0)),
        example(logs=STUCK, facts=_gru("GlorotNormal"), series=_norm(200.0)),
        example(
            logs={"loss": [0.69, 0.55, 0.4, 0.25, 0.12, 0.05], "val_loss": [0.70, 0.72, 0.8, 0.9, 1.2, 1.6]},
            facts=BINARY,
            series=_depth(1.0, 0.01, 1.0, step=1e-3),
        ),
        example(logs=LEARNED_BY_HEART, facts=BINARY, series=_began(0.8, 1.0)),
        example(logs=LEARNED_BY_HEART, facts=BINARY, series=_began(90.0, 80.0)),
        example(
            logs=LEARNED_BY_HEART,
            facts=BINARY,
            series={**_began(90.0, 1.0), ("", "loss", "penalty"): [89.3, 29.0, 4.6, 0.1]},
        ),
        example(
            logs={**LEARNED_BY_HEART, "val_loss": [0.5, 0.6, 0.7, 0.9, 1.4]}, facts=BINARY, series=_began(90.0, 1.0)
        ),
        example(logs=STUCK, facts=_asked("Zeros", [_joined("add", "dense_0", "dense_1")])),
        example(
            logs=STUCK,
            series={**_depth(0.5, 0.0, 0.5, 0.1), ("dense_1", "kernel", "weight_norm"): [0.0] * 4},
            facts=_asked("Zeros", [_joined("add", "dense_0", "dense_1")]),
        ),
    )

    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        rules = (
            *(_same(symptoms), _constant(record), _saturated(record, symptoms)),
            *(_scale(record), _blown(record), _drawn(record)),
        )
        sure = _sure(record) if never_better(record, symptoms) else None
        if sure is None:
            symptoms = {name: symptom for name, symptom in symptoms.items() if name != "overfit"}
        seen = [found for found in (*rules, sure) if found]
        if not seen or not any(name in self.explains for name in symptoms):
            return None
        confidence, names, reason = max(seen)
        return self.found(symptoms, confidence, reason, self._remedy(record, names))

    def _remedy(self, record: Record, names: list[str]) -> Remedy:
        facts = {layer["name"]: layer for layer in layers(record)}
        last = facts.get(names[-1], {"class": "Dense"})
        activation = last.get("activation") or "relu"
        rate = max(
            (layer.get("rate") or 0.0 for layer in facts.values() if layer.get("class") == "Dropout"), default=0.0
        )
        current = (last.get("kernel_initializer") or {}).get("class")
        if "recurrent" in (last.get("initializers") or {}):
            return _recurrent(last)
        steps, code = clipped(record)
        biased = any(_bias(facts.get(name, {})) for name in names)
        bias = {"bias_initializer": '"zeros"'} if biased else {}
        return Remedy(
            f"Initialize {joined(names)} for {activation}"
            + (f" after dropout {rate:g}" if rate else "")
            + (f" in place of {current}" if current else "")
            + (", with biases of 0" if biased else "")
            + f". The output std then stays the same from layer to layer, and every layer gets a gradient.{steps}",
            f'initializer = kregtools.initializers.DropoutAware("{activation}", rate={rate:g})\n'
            + layer_code(last, kernel_initializer="initializer", **bias)
            + code,
        )


def _recurrent(layer: dict[str, Any]) -> Remedy:
    """An orthogonal recurrence neither blows up nor dies out over the steps, with the activations Keras gives it."""
    kind, units = str(layer.get("class")).removesuffix("Cell"), layer.get("units") or "units"
    return Remedy(
        f"Leave the initializers and the activation of {layer.get('name')} at what Keras gives them: Glorot, "
        "orthogonal for the recurrence, and tanh. The output then has the same std after every time step.",
        f'x = keras.layers.{kind}({units}, activation="tanh", recurrent_initializer="orthogonal")(x)',
    )


def _bias(layer: dict[str, Any]) -> bool:
    """Whether the biases start elsewhere than at 0."""
    return ((layer.get("initializers") or {}).get("bias") or {}).get("class", "Zeros") != "Zeros"


def _keeps(layer: dict[str, Any]) -> bool:
    current = (layer.get("kernel_initializer") or {}).get("class") or ""
    return current.startswith(KEEPING) and not _bias(layer)


def _scale(record: Record) -> tuple[float, list[str], str] | None:
    """Whether the spread of the outputs changes over the layers before the first update."""
    names, stds = _hidden(record)
    if not names:
        return None
    known = [layer for layer in layers(record) if layer["name"] in names]
    keeping = bool(known) and all(map(_keeps, known))
    flat = [name for name, std in zip(names, stds, strict=True) if std == 0]
    if flat:
        return (
            0.6 if keeping else 0.9,
            names,
            f"Before the first update the output of {joined(flat)} does not vary at all.",
        )
    ratio = float(stds[-1] / stds[0])
    if 1 / SPREAD <= ratio <= SPREAD:
        return None
    reason = (
        f"Before the first update the output std goes from {stds[0]:.2g} in {names[0]} to {stds[-1]:.2g} in "
        f"{names[-1]}, a factor of {ratio:.1e}; within {SPREAD:g} either way is healthy."
    )
    return min(0.75 if keeping else 0.95, 0.6 + 0.1 * abs(math.log10(ratio))), names, reason


def _blown(record: Record) -> tuple[float, list[str], str] | None:
    """Whether a hidden layer makes its input much larger before the first update."""
    names, stds = sizes(record, "std")
    inputs = _input_rms(record)
    if not len(stds) or math.isnan(inputs):
        return None
    first = zip(names[:-1], stds[0], strict=False)
    large = [(name, std) for name, std in first if std > BLOWN * max(1.0, inputs)]
    if not large:
        return None
    name, std = large[0]
    size = f"has a std of {std:.2g}" if math.isfinite(std) else "is so large that its square overflows"
    return 0.9, [name], f"Before the first update the output of {name} {size}, with an input of about {inputs:.2g}."


def _drawn(record: Record) -> tuple[float, list[str], str] | None:
    """Whether the weights of the units of a kernel are too large for their number, inputs of whatever size aside."""
    for layer in () if trained_before(record) else hidden_layers(record):
        columns = (layer.get("units") or 0) * GATES.get(str(layer.get("class")), 1)
        for name, tensor in (("kernel", "kernel"), ("recurrent", "recurrent_kernel")):
            kind = str((((layer.get("initializers") or {}).get(name)) or {}).get("class") or "")
            norms = record.series(str(layer["name"]), tensor, "weight_norm")
            size = float(norms[0]) / math.sqrt(columns) if columns and len(norms) else 0.0
            if kind and not kind.startswith(KEEPING) and size > SPREAD:
                reason = (
                    f"Before the first update the weights of a unit in the {tensor.replace('_', ' ')} of "
                    f"{layer['name']}, drawn by {kind}, have a norm of {size:.3g}; about 1 keeps the scale, and up to "
                    f"{SPREAD:g} is healthy."
                )
                return 0.85, [str(layer["name"])], reason
    return None


def _sure(record: Record) -> tuple[float, list[str], str] | None:
    """Whether the network is sure of what it says before it has learned anything."""
    names, constant = _hidden(record)[0], constant_loss(record)
    classified = all("crossentropy" in str(loss.get("name")) for loss in record.facts.get("losses") or [{}])
    losses = record.series("", "loss", "value") - np.nan_to_num(record.series("", "loss", "penalty"))
    if not names or constant is None or not classified or not _input_rms(record) <= SPREAD:
        return None
    if not losses[0] > SPREAD * constant:
        return None
    reason = (
        f"Before the first update the loss is {losses[0]:.3g}, {losses[0] / constant:.3g} times what the best constant "
        f"prediction costs: the outputs are far too large; up to {SPREAD:g} times is healthy."
    )
    return 0.8, names, reason


def _input_rms(record: Record) -> float:
    """The rms of the largest input before the first update, NaN where none was measured."""
    known = [record.series("", name, "rms")[:1] for _, name in record.tensors("rms") if name.startswith("input")]
    return max((float(size[0]) for size in known if len(size) and np.isfinite(size[0])), default=math.nan)


def _same(symptoms: Mapping[str, Symptom]) -> tuple[float, list[str], str] | None:
    """Whether units are the same, which no training parts."""
    found = symptoms.get("symmetric_units")
    if found is None:
        return None
    return 0.95, list(found.layers), f"The units of {joined(list(found.layers))} start from the same weights."


def _constant(record: Record) -> tuple[float, list[str], str] | None:
    """Whether hidden kernels of one value were asked for, where no weights were measured that could show it."""
    if record.matrix("kernel", "weight_norm")[0]:
        return None
    kinds = {
        str(layer["name"]): (layer.get("kernel_initializer") or {}).get("class")
        for layer in hidden_layers(record)
        if layer.get("units") != 1
    }
    same = [name for name, kind in kinds.items() if kind in CONSTANTS and not ends_a_branch(record, name)]
    if not same:
        return None
    return 0.9, same, f"{joined(same)} start{'s' if len(same) == 1 else ''} from {kinds[same[0]]}: no two units differ."


def _saturated(record: Record, symptoms: Mapping[str, Symptom]) -> tuple[float, list[str], str] | None:
    """Whether layers that are saturated were so before the first update."""
    found = symptoms.get("saturated_activation")
    names, shares = record.matrix("activation", "saturated_fraction")
    if found is None or not len(shares):
        return None
    first = {name: share for name, share in zip(names, shares[0], strict=True) if name in found.layers and share > 0.5}
    if not first:
        return None
    worst = max(first.values())
    return (
        0.85,
        list(first),
        f"Before the first update {worst:.0%} of the outputs of {joined(list(first))} are saturated.",
    )


def _hidden(record: Record) -> tuple[list[str], np.ndarray]:
    """The hidden layers with a kernel, and the std of their outputs at the first sample."""
    names, stds = record.matrix("activation", "std")
    kernels = set(record.matrix("kernel", "update_ratio")[0])
    zeros = {name for name in started_at_zero(record) if ends_a_branch(record, name)}
    chosen = [index for index, name in enumerate(names) if name in kernels][:-1]
    chosen = [index for index in chosen if names[index] not in zeros]
    if not chosen or not len(stds):
        return [], np.zeros(0)
    first = stds[0, chosen]
    known = np.isfinite(first)
    return [names[index] for index, ok in zip(chosen, known, strict=True) if ok], first[known]
