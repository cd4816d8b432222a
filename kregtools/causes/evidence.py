"""What several causes need to know of a record."""

from __future__ import annotations

from typing import Any

import numpy as np

from kregtools.record import Record


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
    name = optimizer(record).get("class", "Adam")
    arguments = ", ".join(f"{key}={value!r}" for key, value in settings.items())
    losses = record.facts.get("losses") or [{"name": "..."}]
    return f'model.compile(keras.optimizers.{name}({arguments}), loss="{losses[0]["name"]}", metrics=[...])'


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
    return f"x = keras.layers.{layer.get('class', 'Dense')}({size}{kernel}, {listed})(x)"
