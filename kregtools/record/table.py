"""The series of a record: numbers by sample and column, most of which may be missing."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

Key = tuple[str, str, str]

# A block of a layout holds at most so many numbers: 2 MiB.
BLOCK = 2**18
LEAST_ROWS = 8


class Sample(NamedTuple):
    """One sampled training step."""

    step: int
    epoch: int


class Samples(Sequence[Sample]):
    """The sampled steps, in the order they were taken.

    Attributes:
        steps: Their global steps.
        epochs: Their epochs.
    """

    def __init__(self) -> None:
        self.steps, self.epochs = array("q"), array("q")

    def append(self, step: int, epoch: int) -> None:
        self.steps.append(step)
        self.epochs.append(epoch)

    def __len__(self) -> int:
        return len(self.epochs)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [Sample(*pair) for pair in zip(self.steps[index], self.epochs[index], strict=True)]
        return Sample(self.steps[index], self.epochs[index])

    def __repr__(self) -> str:
        return f"<Samples: {len(self)}>"


class Layout:
    """The samples that measured the same statistics: one row a statistic, in blocks that are never copied.

    Args:
        columns: The columns of the statistics, in the order of the values.

    Attributes:
        samples: The numbers of the samples.
    """

    def __init__(self, columns: Sequence[int]) -> None:
        self.columns = np.array(columns, dtype=int)
        self.samples = array("q")
        self._rows = {column: row for row, column in enumerate(columns)}
        if len(self._rows) < len(columns):
            raise ValueError("a layout names a column twice")
        self._blocks: list[np.ndarray] = []
        self._starts: list[int] = []
        self._end = 0

    def row(self, column: int) -> int | None:
        """Where the values of a column are, `None` if they were not measured."""
        return self._rows.get(column)

    def append(self, sample: int, values: np.ndarray) -> None:
        at = len(self.samples)
        if at == self._end:
            width = len(self.columns)
            room = min(max(at, LEAST_ROWS), max(BLOCK // max(width, 1), LEAST_ROWS))
            self._blocks.append(np.empty((width, room)))
            self._starts.append(at)
            self._end = at + room
        self._blocks[-1][:, at - self._starts[-1]] = values
        self.samples.append(sample)

    def read(self, rows: Sequence[int] | slice, first: int = 0, last: int | None = None) -> np.ndarray:
        """Rows of statistics from the `first` sample of this layout on, shape `(rows, samples)`."""
        last = len(self.samples) if last is None else last
        parts = [
            block[rows, max(first - start, 0) : last - start]
            for start, block in zip(self._starts, self._blocks, strict=True)
            if start < last and first < start + block.shape[1]
        ]
        return np.concatenate(parts, axis=1) if parts else np.empty((len(self.columns[rows]), 0))


class Table:
    """Columns by key, samples, and the values that were measured.

    Attributes:
        keys: The keys of the columns, in the order they were first seen.
        samples: The sampled steps.
        layouts: Which columns were measured together.
    """

    def __init__(self) -> None:
        self.keys: list[Key] = []
        self.samples = Samples()
        self.layouts: list[Layout] = []
        self._columns: dict[Key, int] = {}
        self._groups: dict[tuple[str, ...], list[int]] = {}
        self._layout_of: dict[tuple[Key, ...], int] = {}
        self._place = (array("l"), array("l"))

    # ---- writing

    def add_columns(self, keys: Sequence[Key]) -> None:
        """Adds the columns that are new."""
        for key in keys:
            if key not in self._columns:
                layer, tensor, statistic = key
                column = self._columns[key] = len(self.keys)
                self.keys.append(key)
                for group in (("statistic", statistic), ("of", layer, tensor), ("all", tensor, statistic)):
                    self._groups.setdefault(group, []).append(column)

    def add_layout(self, columns: Sequence[int]) -> int:
        """Adds a layout and returns its number.

        Raises:
            IndexError: If there is no such column.
        """
        if columns and not 0 <= min(columns) <= max(columns) < len(self.keys):
            raise IndexError(f"a layout of the columns {min(columns)} to {max(columns)}, of {len(self.keys)}")
        keys = tuple(self.keys[column] for column in columns)
        self.layouts.append(Layout(columns))
        self._layout_of.setdefault(keys, len(self.layouts) - 1)
        return len(self.layouts) - 1

    def layout_of(self, values: Mapping[Key, float]) -> int | None:
        """The number of the layout that has these keys in this order."""
        return self._layout_of.get(tuple(values))

    def add_sample(self, step: int, epoch: int, layout: int, values: np.ndarray) -> None:
        """Adds the values of one sample, in the order of its layout; what is not finite is kept as NaN."""
        finite = np.isfinite(values)
        at = len(self.layouts[layout].samples)
        self.layouts[layout].append(len(self.samples), values if finite.all() else np.where(finite, values, np.nan))
        self._place[0].append(layout)
        self._place[1].append(at)
        self.samples.append(step, epoch)

    def until(self, epoch: int) -> Table:
        """A copy with the samples of earlier epochs alone; columns and layouts keep their numbers."""
        table = Table()
        table.add_columns(self.keys)
        for layout in self.layouts:
            table.add_layout(layout.columns.tolist())
        for index, sample in enumerate(self.samples):
            if sample.epoch < epoch:
                table.add_sample(*sample, *self.sample(index))
        return table

    # ---- reading

    def column(self, key: Key) -> int | None:
        return self._columns.get(key)

    def with_statistic(self, statistic: str) -> list[Key]:
        return self._keys("statistic", statistic)

    def of_tensor(self, layer: str, tensor: str) -> list[Key]:
        return self._keys("of", layer, tensor)

    def of_all_layers(self, tensor: str, statistic: str) -> list[Key]:
        return self._keys("all", tensor, statistic)

    def sample(self, index: int) -> tuple[int, np.ndarray]:
        """The layout of a sample, and its values."""
        layout, at = self._place[0][index], self._place[1][index]
        return layout, self.layouts[layout].read(slice(None), at, at + 1)[:, 0]

    def take(self, keys: Sequence[Key], start: int = 0) -> np.ndarray:
        """The values of some columns from the sample `start` on, shape `(samples, keys)`; NaN where not measured."""
        taken = np.full((len(keys), max(len(self.samples) - start, 0)), np.nan)
        columns = [self._columns.get(key, -1) for key in keys]
        for layout in self.layouts:
            known = [(index, row) for index, column in enumerate(columns) if (row := layout.row(column)) is not None]
            samples = np.array(layout.samples)
            first = int(np.searchsorted(samples, start))
            if not known or first == len(samples):
                continue
            values = layout.read([row for _, row in known], first)
            where = _slice_if_whole(samples[first:] - start)
            for (index, _), row in zip(known, values, strict=True):
                taken[index, where] = row
        return taken.T

    def measured(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The sample, the column and the value of everything that was measured, by sample and then by column."""
        parts = list(self._measured())
        if not parts:
            return np.empty(0, int), np.empty(0, int), np.empty(0)
        samples, columns, values = (np.concatenate(part) for part in zip(*parts, strict=True))
        order = np.lexsort((columns, samples))
        return samples[order], columns[order], values[order]

    # ---- private

    def _keys(self, *group: str) -> list[Key]:
        return [self.keys[column] for column in self._groups.get(group, ())]

    def _measured(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for layout in self.layouts:
            values = layout.read(slice(None))
            rows, at = np.nonzero(~np.isnan(values))
            yield np.array(layout.samples, dtype=int)[at], layout.columns[rows], values[rows, at]


def _slice_if_whole(numbers: np.ndarray) -> slice | np.ndarray:
    # Nearly always there is one layout, or a few in blocks; copying a slice is faster.
    whole = numbers[-1] - numbers[0] + 1 == len(numbers)
    return slice(int(numbers[0]), int(numbers[-1]) + 1) if whole else numbers
