"""What goes into a training step and what comes out of it: statistics of inputs, targets and outputs.

Every name stands for one float32 scalar, a tuple of names for one vector. All three functions measure what
`reduce.activation` does: mean, std, rms, min, max, zero_fraction, nonfinite and count. The rest is listed in each.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from kregtools.capture import reduce

MAX_CLASSES = 1000
# Of a large tensor, what needs the values of single features is measured on so many rows, evenly spaced.
MOST_ROWS = 4096
# A median is taken of so many values, the first ones.
MOST_SORTED = 1024

Statistics = dict[Any, Any]


def inputs(x: Any) -> Statistics:
    """An input of the model.

    - `integer`: 1 for tokens, labels and raw pixels, 0 for floating-point numbers;
    - of the latter, by feature (the last axis): the least and the largest mean and std, and how many features have
      one value throughout, which are left out of `feature_std_min`.

    Raises:
        TypeError: If the tensor is sparse or ragged, or does not hold real numbers.
    """
    dtype = _dtype_of_dense("input", x)
    found: Statistics = {**reduce.activation(x), "integer": ops.ones(()) if _is_integer(dtype) else ops.zeros(())}
    if not _is_integer(dtype):
        found.update(_by_feature(_some(_rows(ops.cast(x, "float32")))))
    return found


def targets(y: Any, y_pred: Any = None) -> Statistics:
    """The targets of one output, which is needed to tell labels from numbers.

    - `integer_fraction`: the share of whole numbers;
    - labels of up to 1,000 classes, one-hot, soft targets, and any targets as wide as the output: `count_<class>`,
      how often a label occurs or the sum of a column, and `rows`, among how many;
    - labels: `labels_out_of_range`, how many are negative or not below the number of classes;
    - soft targets: `entropy`, their own, which no prediction can do without: the mean over rows, 0 for one-hot. For
      an output of width 1 it is that of a probability;
    - targets as wide as the output: `binary_entropy`, the mean over all values, each of them taken for a probability;
    - an output of width 1: `deviation`, the mean distance from the median, and `huber` and `log_cosh`, the means of
      these functions of it.

    Args:
        y: The targets; `None` where there are none.
        y_pred: The output that is compared with them.

    Raises:
        TypeError: If the tensor is sparse or ragged, or does not hold real numbers.
    """
    if y is None:
        return {}
    _dtype_of_dense("target", y)
    values: Any = ops.cast(y, "float32")
    found: Statistics = {**reduce.activation(values), "integer_fraction": _share(ops.equal(values, ops.floor(values)))}
    shape, output = tuple(y.shape), tuple(getattr(y_pred, "shape", None) or ())
    width = output[-1] if len(output) > 1 else 1
    if output and width == 1 and len(_without_last_one(shape)) == len(_without_last_one(output)):
        found.update(_of_one_column(ops.reshape(values, (-1,))))
    elif width and width > 1 and len(shape) == len(output) and shape[-1] == width:
        found.update(_of_columns(_rows(values), width))
    elif width and width > 1 and (len(shape) == len(output) - 1 or (len(shape) == len(output) and shape[-1] == 1)):
        found.update(_of_labels(ops.reshape(values, (-1,)), width))
    return found


def outputs(y_pred: Any) -> Statistics:
    """An output of the model.

    - `row_std`: how much the rows of the batch differ: their std, the mean over all else; `rows`, how many they are;
    - `sum_mean` and `sum_std`, of the sums over the last axis: 1 and 0 for probabilities.

    Raises:
        TypeError: If the tensor is sparse or ragged, or does not hold real numbers.
    """
    _dtype_of_dense("output", y_pred)
    values: Any = ops.cast(y_pred, "float32")
    found: Statistics = reduce.activation(values)
    if len(y_pred.shape) > 0:
        found["rows"] = ops.cast(_shape(values)[0], "float32")
        found["row_std"] = ops.mean(ops.std(values, axis=0))
    if len(y_pred.shape) > 1 and y_pred.shape[-1] != 1:
        sums = ops.sum(values, axis=-1)
        found["sum_mean"], found["sum_std"] = ops.mean(sums), ops.std(sums)
    return found


# ---- private


def _by_feature(rows: Any) -> Statistics:
    means: Any = ops.mean(rows, axis=0)
    stds = ops.std(rows, axis=0)
    constant = ops.equal(ops.min(rows, axis=0), ops.max(rows, axis=0))
    least = ops.min(ops.where(constant, float("inf"), stds))
    return {
        "feature_mean_min": ops.min(means),
        "feature_mean_max": ops.max(means),
        "feature_std_min": ops.where(ops.all(constant), 0.0, least),
        "feature_std_max": ops.max(ops.where(constant, 0.0, stds)),
        "constant_features": ops.sum(ops.cast(constant, "float32")),
    }


def _of_one_column(values: Any) -> Statistics:
    some: Any = ops.sort(values[:MOST_SORTED])
    middle: Any = _shape(some)[0] // 2
    median: Any = ops.sum(some[middle : middle + 1])  # an empty batch has no middle, and must not end the step
    distance: Any = ops.abs(values - median)
    near: Any = ops.minimum(distance, 1.0)
    return {
        "deviation": ops.mean(distance),
        "huber": ops.mean(near * (distance - 0.5 * near)),
        "log_cosh": ops.mean(distance + ops.softplus(-2.0 * distance) - math.log(2.0)),
        "entropy": _binary_entropy(_some(values)),
    }


def _of_columns(rows: Any, classes: int) -> Statistics:
    some = _some(rows)
    found: Statistics = {
        "entropy": ops.mean(ops.sum(_surprise(some), axis=-1)),
        "binary_entropy": _binary_entropy(some),
    }
    if classes <= MAX_CLASSES:
        found["rows"] = ops.cast(_shape(rows)[0], "float32")
        found[_counts(classes)] = ops.sum(rows, axis=0)
    return found


def _of_labels(labels: Any, classes: int) -> Statistics:
    valid = ops.logical_and(labels >= 0, labels < classes)
    valid_count: Any = ops.sum(ops.cast(valid, "float32"))
    count: Any = ops.sum(ops.cast(ops.isfinite(labels), "float32"))
    found: Statistics = {"labels_out_of_range": count - valid_count}
    if classes <= MAX_CLASSES:
        # Comparing with every class would make a tensor of labels times classes: too large for a segmentation.
        places = ops.cast(ops.where(valid, labels, float(classes)), "int32")
        counts: Any = ops.segment_sum(ops.ones_like(labels), places, num_segments=classes + 1)
        found["rows"] = valid_count
        found[_counts(classes)] = counts[:classes]
    return found


def _counts(classes: int) -> tuple[str, ...]:
    return tuple(f"count_{label}" for label in range(classes))


def _without_last_one(shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
    return shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape


def _rows(x: Any) -> Any:
    """Shape `(rows, features)`; one feature where there is no axis for them."""
    return ops.reshape(x, (-1, _shape(x)[-1] if len(x.shape) > 1 else 1))


def _shape(x: Any) -> Any:
    return ops.shape(x)


def _some(rows: Any) -> Any:
    interval: Any = -(-_shape(rows)[0] // MOST_ROWS)
    # Odd, so that it does not fall on the same few positions of an image again and again; 1 for an empty batch.
    return rows[:: interval + 1 - interval % 2]


def _surprise(p: Any) -> Any:
    """-p ln p, 0 where that is not defined."""
    positive: Any = ops.where(p > 0, p, 1.0)
    return -positive * ops.log(positive)


def _binary_entropy(values: Any) -> Any:
    probability: Any = ops.clip(values, 0.0, 1.0)
    return ops.mean(_surprise(probability) + _surprise(1.0 - probability))


def _share(condition: Any) -> Any:
    return ops.mean(ops.cast(condition, "float32"))


def _is_integer(dtype: str) -> bool:
    return "int" in dtype or dtype == "bool"


def _dtype_of_dense(kind: str, x: Any) -> str:
    if hasattr(x, "nested_row_splits") or getattr(x, "is_nested", False):
        raise TypeError(f"the {kind} is a ragged tensor")
    if hasattr(x, "dense_shape") or hasattr(x, "todense") or getattr(x, "is_sparse", False):
        raise TypeError(f"the {kind} is a sparse tensor")
    try:
        dtype = keras.backend.standardize_dtype(x.dtype)
    except (AttributeError, ValueError):
        dtype = str(getattr(x, "dtype", type(x).__name__))
    if not ("float" in dtype or _is_integer(dtype)):
        raise TypeError(f"the {kind} does not hold real numbers but {dtype}")
    return dtype
