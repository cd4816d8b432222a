"""What several causes need to know of a record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kregtools.record import Record
from kregtools.record.targets import Targets
from kregtools.symptoms.capacity import REGRESSION as REGRESSION


def layers(record: Record) -> list[dict[str, Any]]:
    """The facts of every layer."""
    return record.facts.get("layers") or []


def hidden_layers(record: Record) -> list[dict[str, Any]]:
    """The layers with a kernel, but for the last, which is the output."""
    return [layer for layer in layers(record) if "kernel" in layer.get("weights", ())][:-1]


def optimizer(record: Record) -> dict[str, Any]:
    """The facts of the optimizer."""
    return record.facts.get("optimizer") or {}


def kernel_updates(record: Record) -> tuple[list[str], np.ndarray]:
    """Update ratio of every kernel: the layers in forward order, values `(samples, layers)`."""
    return record.matrix("kernel", "update_ratio")


def largest(values: np.ndarray) -> float:
    """The largest finite value, NaN if there is none."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size else float("nan")


def compile_with(record: Record, **settings: object) -> str:
    """The line that compiles the model again with other settings of its optimizer."""
    name = optimizer(record).get("class") or "Adam"
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    loss = (record.facts.get("losses") or [{}])[0].get("name") or "..."
    return f'model.compile(keras.optimizers.{name}({arguments}), loss="{loss}", metrics=[...])'


def joined(names: list[str], most: int = 4) -> str:
    """The names as a list in a sentence."""
    shown = names[:most] + ([f"{len(names) - most} more"] if len(names) > most else [])
    return " and ".join([", ".join(shown[:-1]), shown[-1]] if len(shown) > 1 else shown)


def layer_code(layer: dict[str, Any], units: int | None = None, **arguments: str) -> str:
    """The line that makes the layer, with other arguments."""
    size = units or layer.get("units") or "units"
    given = {"activation": f'"{layer.get("activation") or "relu"}"', **arguments}
    kernel = "" if layer.get("class") == "Dense" else ", kernel_size"
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
        kind: `"labels"` (class numbers for several units), `"one_hot"`, `"multi_label"`, `"binary"`, `"integers"`,
            `"numbers"`, or `"unknown"`.
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
    whole = record.series("", name, "integer_fraction")
    return "integers" if (whole[np.isfinite(whole)] == 1).all() and np.isfinite(whole).any() else "numbers"


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


def accuracy(record: Record) -> float | None:
    """The last training accuracy, `None` where it was not logged."""
    named = [name for entry in record.logs[-1:] for name in entry if name.endswith(("accuracy", "acc"))]
    known = [record.logs[-1][name] for name in named if not name.startswith("val_")]
    return known[0] if known and np.isfinite(known[0]) else None


def plain_layers(record: Record) -> list[dict[str, Any]]:
    """The hidden dense and convolutional layers."""
    return [layer for layer in hidden_layers(record) if (layer.get("class") or "").startswith(("Dense", "Conv"))]
