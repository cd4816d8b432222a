"""Tensors to statistics, in the step itself: `keras.ops` only, float32, nothing kept."""

from __future__ import annotations

from typing import Any

from keras import ops

MAX_CLASSES = 1000


def activation(tensor: Any) -> dict[str, Any]:
    """Mean, std, rms, extremes, share of zeros and count of non-finite values of a layer's output."""
    x = ops.cast(tensor, "float32")
    mean: Any = ops.mean(x)
    variance: Any = ops.var(x)
    return {
        "mean": mean,
        "std": ops.sqrt(variance),
        "rms": ops.sqrt(variance + ops.square(mean)),
        "min": ops.min(x),
        "max": ops.max(x),
        "zero_fraction": _mean(ops.equal(x, 0.0)),
        "nonfinite": nonfinite(x),
    }


def firing(tensor: Any) -> Any:
    """Which units, along the last axis, are positive anywhere in the batch: booleans of shape `(units,)`."""
    axes = tuple(range(len(tensor.shape) - 1))
    return ops.any(ops.greater(tensor, 0), axis=axes)


def gradient(tensor: Any) -> dict[str, Any]:
    """Norm, rms, share of zeros and count of non-finite values of a variable's gradient."""
    g = ops.cast(tensor, "float32")
    return {
        "gradient_norm": ops.sqrt(ops.sum(ops.square(g))),
        "gradient_rms": ops.sqrt(ops.mean(ops.square(g))),
        "gradient_zero_fraction": _mean(ops.equal(g, 0.0)),
        "gradient_nonfinite": nonfinite(g),
    }


def update(before: Any, after: Any) -> dict[str, Any]:
    """Norms of a variable before the step and of the step itself, their ratio, and what is not finite after it."""
    old: Any = ops.cast(before, "float32")
    step: Any = ops.cast(after, "float32") - old
    weight_norm: Any = ops.sqrt(ops.sum(ops.square(old)))
    update_norm: Any = ops.sqrt(ops.sum(ops.square(step)))
    return {
        "weight_norm": weight_norm,
        "update_norm": update_norm,
        "update_ratio": update_norm / weight_norm,
        "weight_nonfinite": nonfinite(after),
    }


def loss(value: Any) -> dict[str, Any]:
    """The loss as Keras logs it, the mean where it is one value a row, and its count of non-finite values."""
    return {"value": ops.mean(ops.cast(value, "float32")), "nonfinite": nonfinite(value)}


def penalty(*terms: Any) -> dict[str, Any]:
    """What regularizers and `add_loss` contribute; Keras sums the terms that are not scalars."""
    total: Any = ops.zeros(())
    for term in terms:
        total = total + ops.sum(ops.cast(term, "float32"))
    return {"penalty": total}


def target(y: Any, y_pred: Any) -> dict[str, Any]:
    """Mean, std and extremes of the targets, and how often each label occurs where they are labels."""
    values = ops.cast(y, "float32")
    found = {
        "mean": ops.mean(values),
        "std": ops.std(values),
        "min": ops.min(values),
        "max": ops.max(values),
    }
    counts = _label_counts(values, len(y.shape), y.shape[-1] if y.shape else 1, y_pred.shape)
    if counts is not None:
        found.update({f"count_{label}": counts[label] for label in range(y_pred.shape[-1])})
    return found


def nonfinite(x: Any) -> Any:
    """How many values are NaN or infinite."""
    return ops.sum(ops.cast(ops.logical_not(ops.isfinite(x)), "float32"))


def _label_counts(y: Any, rank: int, width: int | None, output: tuple[int | None, ...]) -> Any:
    classes = output[-1] if output else None
    if classes is None or not 2 <= classes <= MAX_CLASSES:
        return None
    if rank == len(output) and width == classes:
        return ops.sum(ops.reshape(y, (-1, classes)), axis=0)
    labels = ops.cast(ops.reshape(y, (-1, 1)), "int32")
    return ops.sum(ops.cast(ops.equal(labels, ops.arange(classes, dtype="int32")), "float32"), axis=0)


def _mean(condition: Any) -> Any:
    return ops.mean(ops.cast(condition, "float32"))
