"""Statistics at the least cost: a few sums in the step, the rest of the arithmetic on the host.

Each operation of a step costs microseconds beside what it computes, so that a dozen a tensor are felt. In the step, a
tensor is reduced to its extremes and a few sums; what follows from these is computed in float64 when
the sample is read. The std is a difference there: it loses a digit for each factor of 3 of the mean over it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from keras import ops

from kregtools.capture import reduce

Key = tuple[str, str, str]

MOST_VALUES = 32_768

# Whether there are values that are not finite, not how many: that takes another pass over the tensor.
ACTIVATION = ("mean", "std", "rms", "min", "max", "zero_fraction", "nonfinite", "count")
GRADIENT = ("gradient_norm", "gradient_rms", "gradient_nonfinite")
LOSS = ("value", "nonfinite")


def activation(x: Any, saturated: str | None = None) -> dict[str, Any]:
    """What `ACTIVATION` follows from; `saturated` as in `reduce.activation`."""
    x = ops.cast(x, "float32")
    found = {
        "sums_total": reduce.total(x),
        "sums_squares": reduce.half_sum_of_squares(x),
        "sums_min": ops.min(x),
        "sums_max": ops.max(x),
        "sums_nonzero": reduce.half_sum_of_squares(ops.sign(x)),
        "sums_count": ops.size(x),
    }
    if saturated is not None:
        found["saturated_fraction"] = ops.mean(ops.cast(reduce.saturation[saturated](x), "float32"))
    return found


def enough_rows(shape: Sequence[int | None]) -> int | None:
    """How many rows of a tensor are enough for its statistics, about 32,768 values; `None` if all are.

    The first ones are as good as any others of a batch, and are had without copying.
    """
    sizes = [size for size in shape[1:] if size is not None]
    if len(shape) < 2 or len(sizes) < len(shape) - 1:
        return None
    most = max(MOST_VALUES // max(math.prod(sizes), 1), 1)
    return most if shape[0] is None or shape[0] > most else None


def gradient(g: Any) -> dict[str, Any]:
    """What `GRADIENT` follows from."""
    g = ops.cast(g, "float32")
    return {"sums_gradient": reduce.half_sum_of_squares(g), "sums_gradient_count": ops.size(g)}


def loss(value: Any) -> dict[str, Any]:
    """What `LOSS` follows from: the loss as Keras logs it, the mean where it is one value a row."""
    return {"sums_loss": ops.mean(ops.cast(value, "float32"))}


def statistics(keys: Sequence[Key], values: np.ndarray) -> tuple[tuple[Key, ...], np.ndarray]:
    """The statistics that follow from what a step handed out.

    Args:
        keys: The keys of the values.
        values: Shape `(..., keys)`.

    Returns:
        The keys of the statistics, and their values, shape `(..., statistics)`.
    """
    found, taken, groups = _plan(tuple(keys))
    values = values.astype(float)
    parts = [values[..., taken]]
    with np.errstate(all="ignore"):
        for follow, columns in groups:
            # (..., tensors, sums) to (..., tensors * statistics)
            derived = np.stack(follow(*np.moveaxis(values[..., columns], -1, 0)), axis=-1)
            parts.append(derived.reshape(*values.shape[:-1], -1))
    return found, np.concatenate(parts, axis=-1)


@functools.lru_cache(maxsize=64)
def _plan(keys: tuple[Key, ...]) -> tuple[tuple[Key, ...], np.ndarray, list[tuple[Callable[..., Any], np.ndarray]]]:
    place = {key: index for index, key in enumerate(keys)}
    kept = [key for key in keys if not key[2].startswith("sums_")]
    found, groups = list(kept), []
    for marker, names, follow, results in FOLLOWING:
        tensors = [key[:2] for key in keys if key[2] == marker]
        if tensors:
            groups.append((follow, np.array([[place[(*tensor, name)] for name in names] for tensor in tensors])))
            found += [(*tensor, result) for tensor in tensors for result in results]
    return tuple(found), np.array([place[key] for key in kept], dtype=int), groups


def _activation(total: Any, squares: Any, least: Any, most: Any, nonzero: Any, count: Any) -> tuple[Any, ...]:
    mean, mean_square = total / count, 2.0 * squares / count
    std = np.sqrt(np.maximum(mean_square - mean**2, 0.0))
    finite = np.isfinite(mean)
    zeros = np.where(finite, 1.0 - 2.0 * nonzero / count, np.nan)
    return mean, std, np.sqrt(mean_square), least, most, zeros, 1.0 - (finite | (count == 0)), count


def _gradient(squares: Any, count: Any) -> tuple[Any, ...]:
    norm = np.sqrt(2.0 * squares)
    return norm, norm / np.sqrt(count), 1.0 - np.isfinite(norm)


def _loss(value: Any) -> tuple[Any, ...]:
    return value, 1.0 - np.isfinite(value)


FOLLOWING = (
    (
        "sums_total",
        ("sums_total", "sums_squares", "sums_min", "sums_max", "sums_nonzero", "sums_count"),
        _activation,
        ACTIVATION,
    ),
    ("sums_gradient", ("sums_gradient", "sums_gradient_count"), _gradient, GRADIENT),
    ("sums_loss", ("sums_loss",), _loss, LOSS),
)
