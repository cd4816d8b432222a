"""Inputs, outputs and targets by their places in what a model takes and gives."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops, tree


def named(kind: str, structure: Any) -> list[tuple[str, Any]]:
    """The tensors of a structure, named `kind` where there is one, else `kind:name` or `kind:index`."""
    found = _by_path(structure)
    if len(found) == 1:
        return [(kind, *found.values())]
    return [(":".join([kind, *path]), tensor) for path, tensor in found.items()]


def paired(model: Any, y: Any, y_pred: Any) -> list[tuple[str, Any, Any]]:
    """Targets, named, each with the output at the same place or of the same name, `None` where there is none."""
    if isinstance(y, dict) and isinstance(y_pred, (list, tuple)):
        y = [y.get(name) for name in model.output_names]
    targets, outputs = _by_path(y), _by_path(y_pred)
    if len(targets) == 1 == len(outputs):
        return [("target", *targets.values(), *outputs.values())]
    return [(":".join(["target", *path]), target, outputs.get(path)) for path, target in targets.items()]


def is_tensor(value: Any) -> bool:
    """Whether it is a tensor with values, now or when the step runs."""
    return ops.is_tensor(value) and not isinstance(value, keras.KerasTensor)


def _by_path(structure: Any) -> dict[tuple[str, ...], Any]:
    paths = tree.flatten_with_path(structure)
    return {tuple(str(part) for part in path): tensor for path, tensor in paths if is_tensor(tensor)}
