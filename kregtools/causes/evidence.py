"""What several causes need to know of a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kregtools.record import Record, constant_loss
from kregtools.record.targets import Targets
from kregtools.symptoms import Symptom
from kregtools.symptoms.capacity import REGRESSION as REGRESSION
from kregtools.symptoms.evidence import layer_facts, output_layers


def layers(record: Record) -> list[dict[str, Any]]:
    """The facts of every layer."""
    return record.facts.get("layers") or []


def hidden_layers(record: Record) -> list[dict[str, Any]]:
    """The layers with a kernel, but for those that the outputs come from."""
    last = output_layers(record)
    named = [layer for name, layer in layer_facts(record).items() if name not in last]
    return [layer for layer in named if "kernel" in (layer.get("weights") or ())]


def optimizer(record: Record) -> dict[str, Any]:
    """The facts of the optimizer."""
    return record.facts.get("optimizer") or {}


def kernel_updates(record: Record) -> tuple[list[str], np.ndarray]:
    """Update ratio of every kernel: the layers in forward order, values `(samples, layers)`."""
    return record.matrix("kernel", "update_ratio")


def sizes(record: Record, statistic: str) -> tuple[list[str], np.ndarray]:
    """The rms or std of the outputs of layers; infinite where the outputs are finite and their squares are not."""
    layers, values = record.matrix("activation", statistic)
    finite = np.column_stack([record.series(layer, "activation", "nonfinite") == 0 for layer in layers] or [[]])
    return layers, np.where(finite & ~np.isfinite(values), np.inf, values) if layers else values


def largest(values: np.ndarray) -> float:
    """The largest finite value, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")


# What Keras sets most optimizers to; what a run set otherwise is kept when its model is compiled again.
USUAL = {
    **{"momentum": 0.0, "nesterov": False, "beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "amsgrad": False},
    **{"rho": 0.9, "centered": False, "weight_decay": None, "clipnorm": None, "global_clipnorm": None},
    **{"clipvalue": None, "use_ema": False, "ema_momentum": 0.99, "gradient_accumulation_steps": None},
}
CLIPPING = ("clipnorm", "global_clipnorm", "clipvalue")


class Name(str):
    """A name in code."""

    __repr__ = str.__str__


def compile_with(record: Record, **settings: object) -> str:
    """The line that compiles the model again with other settings of its optimizer; those not named stay as they are.

    A schedule is replaced by a constant learning rate, and the line says so.
    """
    facts = optimizer(record)
    kept = {name: facts.get(name) for name in USUAL if _plain(facts.get(name)) != USUAL[name]}
    if settings.keys() & set(CLIPPING):  # Keras takes one of them
        kept = {name: value for name, value in kept.items() if name not in CLIPPING}
    given = {"learning_rate": facts.get("learning_rate"), **kept, **settings}
    arguments = {name: _plain(value) for name, value in given.items() if value is not None}
    schedule = (facts.get("schedule") or {}).get("class")
    constant = schedule and not isinstance(arguments.get("learning_rate"), Name)
    said = f"  # without its {schedule}, which may start from this rate" if constant else ""
    made = f"keras.optimizers.{facts.get('class') or 'Adam'}({_listed(arguments)})"
    return f"model.compile({made}, loss={loss_code(record)}, metrics=[...]){said}"


def _listed(arguments: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in arguments.items())


def loss_code(record: Record) -> str:
    """The loss of the run as it is given to `compile`; the user's own variable for one that Keras does not have."""
    losses = record.facts.get("losses") or []
    if not _keras_loss(losses):
        return "loss"
    logits = {"from_logits": True} if losses[0].get("from_logits") else {}
    return _loss_class(losses[0]["name"], logits) if logits else f'"{losses[0]["name"]}"'


def row_losses(record: Record) -> str:
    """The line that computes the loss of each row by itself."""
    losses = record.facts.get("losses") or []
    logits = {"from_logits": True} if losses and losses[0].get("from_logits") else {}
    made = _loss_class(losses[0]["name"], {**logits, "reduction": None}) if _keras_loss(losses) else "loss"
    return f"losses = {made}(y, model.predict(x))"


def _keras_loss(losses: list[dict[str, Any]]) -> bool:
    return len(losses) == 1 and losses[0].get("name") in (*CATEGORICAL, *BINARY, *SPARSE, *REGRESSION)


def _loss_class(name: str, arguments: Mapping[str, object]) -> str:
    return f"keras.losses.{name.title().replace('_', '')}({_listed(arguments)})"


def _plain(value: object) -> object:
    """A number as it was typed: 0.05 was kept as 0.0500000007."""
    return float(f"{value:.6g}") if isinstance(value, float) else value


def joined(names: list[str], most: int = 4) -> str:
    """The names as a list in a sentence."""
    shown = names[:most] + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def layer_code(layer: dict[str, Any], units: int | None = None, /, **arguments: str) -> str:
    """The line that makes the layer, with other arguments."""
    size = units or layer.get("units") or "units"
    given = {"activation": f'"{layer.get("activation") or "relu"}"', **arguments}
    kernel = ", kernel_size" if "Conv" in (layer.get("class") or "") else ""
    listed = ", ".join(f"{name}={value}" for name, value in given.items())
    return f"x = keras.layers.{layer.get('class') or 'Dense'}({size}{kernel}, {listed})(x)"


STALLED = ("no_learning", "underfit", "slow_convergence", "constant_output", "loss_metric_mismatch")
BLOWN_UP = ("nonfinite", "diverging_loss", "exploding_gradient", "oscillating_loss", "large_update")
CUT_OFF = ("vanishing_gradient", "dead_relu", "saturated_activation")
CATEGORICAL = ("categorical_crossentropy", "categorical_focal_crossentropy")
BINARY = ("binary_crossentropy", "binary_focal_crossentropy")
SPARSE = ("sparse_categorical_crossentropy",)


@dataclass(frozen=True)
class Head:
    """An output, its loss and its targets.

    Attributes:
        loss: The name of the loss.
        from_logits: Whether the loss applies the last activation itself.
        settings: All facts of the loss.
        activation: The last activation, `None` where it is not known.
        units: How many numbers a prediction has, `None` where that is not known.
        output: The name of the recorded tensor.
        target: The same of the targets.
        targets: What was seen of them.
        kind: `"labels"` (class numbers for several units), `"one_hot"`, `"multi_label"`, `"binary"` (two values),
            `"integers"` (whole numbers, one a row), `"numbers"`, or `"unknown"`.
    """

    loss: str
    from_logits: bool
    settings: dict[str, Any]
    activation: str | None
    units: int | None
    output: str
    target: str
    targets: Targets
    kind: str


def heads(record: Record) -> list[Head]:
    """Every output that has a loss."""
    outputs, found = record.facts.get("outputs") or [], []
    for loss in record.facts.get("losses") or []:
        same = [output for output in outputs if loss.get("target") and output.get("target") == loss["target"]]
        output = same[0] if same else outputs[0] if len(outputs) == 1 else {}
        target = output.get("target") or loss.get("target") or "target"
        targets, units = Targets(record, target), (output.get("shape") or [None])[-1]
        found.append(
            Head(
                *(loss.get("name") or "", bool(loss.get("from_logits")), loss),
                *(output.get("activation"), units, output.get("tensor") or target.replace("target", "output", 1)),
                *(target, targets, _kind(record, target, targets, units or len(targets.counts))),
            )
        )
    return found


def _kind(record: Record, name: str, targets: Targets, width: int) -> str:
    recorded = record.statistics("", name)
    if not recorded or "labels_out_of_range" in recorded:
        return "labels" if recorded else "unknown"
    if targets.shares is not None and width < 2 and (targets.low, targets.high) in ((0, 1), (-1, 1), (1, 2)):
        return "binary"
    if targets.shares is not None and (targets.low, targets.high) == (0, 1):
        sums = record.series("", name, "mean") * width
        one = bool(np.allclose(sums[np.isfinite(sums)], 1.0, rtol=1e-4))
        return "one_hot" if one else "multi_label"
    if width > 1 or not targets.whole:
        return "numbers"
    return "integers" if targets.shares is None else "binary"


def fitting(head: Head) -> tuple[int, str, str]:
    """The units, the activation and the loss that the targets ask for."""
    classes = int(max(1, head.targets.high)) + 1 if head.kind in ("labels", "integers") else head.units or 1
    return {
        "labels": (max(classes, head.units or 0), "softmax", "sparse_categorical_crossentropy"),
        "integers": (classes, "softmax", "sparse_categorical_crossentropy"),
        "one_hot": (classes, "softmax", "categorical_crossentropy"),
        "multi_label": (classes, "sigmoid", "binary_crossentropy"),
        "binary": (1, "sigmoid", "binary_crossentropy"),
    }.get(head.kind, (classes, "linear", "mean_squared_error"))


def head_code(units: int, activation: str, loss: str) -> str:
    """The lines that make the output and compile the model."""
    return (
        f'outputs = keras.layers.Dense({units}, activation="{activation}")(x)\n'
        f'model.compile(optimizer, loss="{loss}", metrics=[...])'
    )


SKIPPING = ("Add", "Concatenate", "Average", "Residual")
DEEP = 8
CLIP = 1.0
STANDARDIZE_TARGET = (
    "mean, std = y_train.mean(axis=0), y_train.std(axis=0) + 1e-7\n"
    "model.fit(x_train, (y_train - mean) / std)\n"
    "predictions = model.predict(x) * std + mean"
)


def accuracy(record: Record) -> float | None:
    """The last training accuracy, `None` where it was not logged."""
    named = [name for entry in record.logs[-1:] for name in entry if name.endswith(("accuracy", "acc"))]
    known = [record.logs[-1][name] for name in named if not name.startswith("val_")]
    return known[0] if known and np.isfinite(known[0]) else None


# How many times the loss of a constant tells of other rows than those that were learned.
ELSEWHERE = 2.0


def unlearned(nothing: Symptom) -> tuple[float, float]:
    """The best validation loss where nothing holds for validation, and how many times that of a constant it is."""
    best = nothing.evidence["best_val_loss"]
    return best, best / nothing.evidence["constant_loss"]


# As of a network that has learned nothing, on training data.
NOTHING = 0.95


def never_better(record: Record, symptoms: Mapping[str, Symptom]) -> bool:
    """Whether a network overfits whose validation loss was at no epoch better than a constant's."""
    overfit, constant = symptoms.get("overfit"), constant_loss(record)
    return overfit is not None and constant is not None and overfit.evidence["lowest_val_loss"] >= NOTHING * constant


def clipped(record: Record) -> tuple[str, str]:
    """What to add, in words and in code, to a remedy that lets gradients through a deep network under SGD.

    The learning rate was never tried with gradients that arrive; the first ones can throw the weights far off.
    """
    facts, deep = optimizer(record), len(plain_layers(record)) >= DEEP
    if not deep or facts.get("class") != "SGD" or not facts.get("learning_rate") or facts.get("schedule"):
        return "", ""
    code = compile_with(record, learning_rate=facts["learning_rate"], global_clipnorm=CLIP)
    return f" Steps become larger: clip the gradients to a norm of {CLIP:g}.", f"\n{code}"


def scale_kept(record: Record) -> bool:
    """Whether a normalization or a skip connection keeps the signal at one scale, however deep the network is."""
    classes = [layer.get("class") or "" for layer in layers(record)]
    return any(name.endswith("Normalization") or name.startswith(SKIPPING) for name in classes)


def plain_layers(record: Record) -> list[dict[str, Any]]:
    """The hidden dense and convolutional layers."""
    return [layer for layer in hidden_layers(record) if (layer.get("class") or "").startswith(("Dense", "Conv"))]
