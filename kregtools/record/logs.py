"""What Keras reported at the ends of epochs."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

WHEN = ("epoch", "step")


class Logs(Sequence[dict[str, float]]):
    """One dict an epoch, with `"epoch"` and `"step"`; kept by log, as a tenth of the memory is enough for that."""

    def __init__(self) -> None:
        self._columns: dict[str, array[float]] = {}
        # The names that an epoch has: nearly always those of the one before.
        self._kinds: dict[tuple[str, ...], int] = {}
        self._kind = array("l")

    def append(self, logs: Mapping[str, float]) -> None:
        """Adds an epoch; what is not finite is kept as NaN."""
        values = {name: _finite(value) for name, value in logs.items()}
        for name in values.keys() - self._columns.keys():
            self._columns[name] = array("d", [np.nan]) * len(self)
        for name, column in self._columns.items():
            column.append(values.get(name, np.nan))
        self._kind.append(self._kinds.setdefault(tuple(logs), len(self._kinds)))

    def column(self, name: str) -> np.ndarray:
        """One log by epoch, NaN where it was absent."""
        return np.array(self._columns[name]) if name in self._columns else np.full(len(self), np.nan)

    def __len__(self) -> int:
        return len(self._kind)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(len(self)))]
        found = {name: self._columns[name][index] for name in [*self._kinds][self._kind[index]]}
        return {**found, **{name: int(found[name]) for name in WHEN}}

    def __repr__(self) -> str:
        return f"<Logs of {len(self)} epochs>"


def _finite(value: float | None) -> float:
    number = np.nan if value is None else float(value)
    return number if np.isfinite(number) else np.nan
