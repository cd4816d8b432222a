"""Rows of data as arrays, out of whatever `fit` takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import tree


class Rows(NamedTuple):
    """Inputs and targets: arrays, or structures of them, with as many rows each."""

    x: Any
    y: Any

    def __len__(self) -> int:
        return len(tree.flatten(self.x)[0])

    def take(self, index: Any) -> Rows:
        """Some of the rows."""
        return Rows(*(tree.map_structure(lambda leaf: leaf[index], part) for part in self))

    def evenly(self, most: int) -> Rows:
        """At most so many rows, evenly spaced."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).round().astype(int))

    def batches(self, size: int) -> list[Rows]:
        """All rows, in batches of nearly equal size."""
        return [self.take(index) for index in np.array_split(np.arange(len(self)), -(-len(self) // size))]


def read(name: str, x: Any, y: Any, most: int) -> Rows:
    """All rows of arrays, or the first batches of a dataset until there are that many.

    Args:
        name: The argument, for errors.
        x: Arrays, a tuple `(x, y)`, a `keras.utils.PyDataset` or an iterable of batches.
        y: Arrays, if `x` is.
        most: How many rows of a dataset to read.

    Raises:
        ValueError: If there are no rows, no targets, or different numbers of both.
    """
    if isinstance(x, Iterator):
        raise ValueError(
            f"`{name}` can be read only once, and `fit` would not get its first batches. Received: {x!r}. Expected "
            "arrays, a `tf.data.Dataset`, a `keras.utils.PyDataset` or a list of batches."
        )
    if y is None and isinstance(x, tuple) and len(x) in (2, 3):
        x, y = x[:2]
    if y is None and not _is_arrays(x):
        rows = _joined(_batches(x), most)
    else:
        rows = Rows(*(None if part is None else tree.map_structure(np.asarray, part) for part in (x, y)))
    return _checked(name, rows)


def _is_arrays(x: Any) -> bool:
    return not isinstance(x, keras.utils.PyDataset) and all(hasattr(leaf, "shape") for leaf in tree.flatten(x))


def _batches(data: Any) -> Iterable[Any]:
    if isinstance(data, keras.utils.PyDataset):
        length = data.num_batches
        return (data[index] for index in (count() if length is None else range(length)))
    return data


def _joined(batches: Iterable[Any], most: int) -> Rows | None:
    parts: list[Rows] = []
    for batch in batches:
        pair = batch[:2] if isinstance(batch, (tuple, list)) else (batch, None)
        part = Rows(*(None if each is None else tree.map_structure(_array, each) for each in (*pair, None)[:2]))
        if parts and _same(part, parts[0]):  # it repeats
            break
        # Padded to lengths of their own, batches do not fit together.
        if not parts or _shapes(part) == _shapes(parts[0]):
            parts.append(part)
        if sum(map(len, parts)) >= most:
            break
    if not parts:
        return None
    joined: Callable[..., Any] = lambda *leaves: np.concatenate(leaves)  # noqa: E731
    return Rows(*(None if p[0] is None else tree.map_structure(joined, *p) for p in zip(*parts, strict=True)))


def _array(leaf: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(leaf) if keras.ops.is_tensor(leaf) else leaf)


def _same(part: Rows, other: Rows) -> bool:
    return all(map(np.array_equal, tree.flatten(part), tree.flatten(other)))


def _shapes(rows: Rows) -> list[tuple[int, ...]]:
    return [leaf.shape[1:] for leaf in tree.flatten(rows)]


def _checked(name: str, rows: Rows | None) -> Rows:
    if rows is None or not len(rows):
        raise ValueError(f"`{name}` has no rows. Expected arrays, or a dataset that is not exhausted.")
    if rows.y is None:
        raise ValueError(
            f"`{name}` has no targets, so the loss cannot be judged. Expected arrays `x` and `y`, or a dataset of "
            "tuples `(x, y)`; for an autoencoder pass `y=x`."
        )
    counts = sorted({len(leaf) for leaf in tree.flatten((rows.x, rows.y))})
    if len(counts) > 1:
        raise ValueError(
            f"`{name}` has parts with different numbers of rows. Received: {counts}. Expected as many targets as "
            "inputs."
        )
    return rows
