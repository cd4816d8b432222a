"""Batches of inputs out of whatever `fit` takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Any

import keras
import numpy as np


def batches(data: Any, samples: int, batch_size: int, name: str = "data") -> Iterator[tuple[Any, int]]:
    """Yields batches of inputs and the number of their rows, until about `samples` rows were yielded.

    Args:
        data: Arrays, a tuple `(x, y)` or `(x, y, sample_weight)`, a `keras.utils.PyDataset`, or an iterable of
            batches, each either inputs or such a tuple.
        samples: How many rows at least, if there are as many.
        batch_size: Rows in a batch, where `data` is arrays.
        name: What the data are called where they come from.

    Raises:
        ValueError: If the data are nothing of that.
    """
    try:
        yield from _first(data, samples, batch_size)
    except (AttributeError, TypeError, IndexError) as error:
        raise ValueError(
            f"`{name}` is no data that `fit` takes. Received: {str(data)[:200]}. Expected arrays, a dict or list of "
            "arrays, a dataset or an iterable of batches."
        ) from error


def _first(data: Any, samples: int, batch_size: int) -> Iterator[tuple[Any, int]]:
    left = samples
    for batch in _batches(data, samples, batch_size):
        rows = _rows(batch)
        if rows:
            yield batch, rows
        left -= rows
        if left <= 0:
            return


def _batches(data: Any, samples: int, batch_size: int) -> Iterable[Any]:
    if isinstance(data, keras.utils.PyDataset):
        length = data.num_batches
        return (_inputs(data[index]) for index in (count() if length is None else range(length)))
    x = data[0] if isinstance(data, tuple) else data
    if all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x)):
        return _slices(x, samples, batch_size)
    return (_inputs(batch) for batch in data)


def _inputs(batch: Any) -> Any:
    return batch[0] if isinstance(batch, (tuple, list)) else batch


def _slices(x: Any, samples: int, batch_size: int) -> Iterator[Any]:
    rows = _rows(x)
    # Evenly over all rows: data sorted by class would give the statistics of its first classes.
    chosen = np.linspace(0, rows - 1, min(rows, samples)).round().astype(int) if rows else np.empty(0, int)
    # What comes after the first normalization depends on which rows share a batch: not those of one class.
    if len(chosen) > batch_size:
        chosen = np.random.default_rng(0).permutation(chosen)
    # Batches of equal size: what normalizes by a last batch of one row sees no variance at all.
    for index in np.array_split(chosen, -(-len(chosen) // batch_size)) if rows else ():
        yield keras.tree.map_structure(lambda leaf, index=index: np.asarray(leaf)[index], x)


def _rows(x: Any) -> int:
    return int(keras.tree.flatten(x)[0].shape[0])
