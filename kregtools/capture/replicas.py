"""The statistics of one batch from those of its parts, one part a replica."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kregtools.capture.recorder import Key

EXTREMES = {"min": np.min, "max": np.max}
SUMS = {"nonfinite", "count", "rows", "gradient_nonfinite", "labels_out_of_range"}


def merged(keys: Sequence[Key], values: np.ndarray, firing: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merges what the replicas saw; exact where the number of values is known, else for equal parts.

    The spread of rows and the extremes of features do not follow from those of the parts: they are near.

    Args:
        keys: The keys of the values.
        values: Shape `(replicas, keys)`.
        firing: Which units fired, booleans of shape `(replicas, units)`.

    Returns:
        The values, shape `(keys,)`, and the booleans, shape `(units,)`.
    """
    columns = {key: values[:, index] for index, key in enumerate(keys)}
    return np.array([_merge(key, columns) for key in keys]), np.any(firing, axis=0)


def _merge(key: Key, columns: dict[Key, np.ndarray]) -> float:
    layer, tensor, statistic = key
    parts = columns[key]
    if _is_variable(key, columns):  # the same on every replica: gradients were summed before they were measured
        return float(parts[0])
    extreme = EXTREMES.get(statistic.removeprefix("feature_mean_").removeprefix("feature_std_"))
    if extreme is not None:
        return float(extreme(parts))
    # Keras divides the loss of a replica by their number.
    if statistic in SUMS or statistic.startswith("count_") or key == ("", "loss", "value"):
        return float(parts.sum())
    if statistic == "gradient_norm":
        return float(np.sqrt((parts**2).sum()))
    counts = columns.get((layer, tensor, "count"), np.ones(len(parts)))
    seen = counts > 0 if counts.any() else np.ones(len(parts), bool)  # of no values there are no statistics
    parts, counts = parts[seen], counts[seen]
    weights = counts / counts.sum()
    if statistic in ("rms", "gradient_rms"):
        return float(np.sqrt((weights * parts**2).sum()))
    if statistic == "std":
        means = columns[layer, tensor, "mean"][seen]
        mean = (weights * means).sum()
        return float(np.sqrt((weights * (parts**2 + (means - mean) ** 2)).sum()))
    return float((weights * parts).sum())


def _is_variable(key: Key, columns: dict[Key, np.ndarray]) -> bool:
    measured = any((*key[:2], name) in columns for name in ("weight_norm", "gradient_norm"))
    return measured and key[1].split(":")[0] != "activation"
