"""Units that never fire, counted over enough rows to mean it."""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_ROWS = 256


class FiringUnits:
    """Joins sampled batches until they hold 256 rows: a unit is dead if it was off in all of them.

    A unit that fires on 2 % of the rows is off throughout half of all batches of 32. Only what stays off over many
    rows is dead.
    """

    def __init__(self) -> None:
        self._recent: dict[str, deque[tuple[int, np.ndarray]]] = {}

    def dead(self, layer: str, rows: int, firing: np.ndarray) -> float:
        """The number of dead units, NaN until enough rows were seen.

        Args:
            layer: The layer's name.
            rows: The rows of this batch.
            firing: Which units were positive for any of them, booleans of shape `(units,)`.
        """
        recent = self._recent.setdefault(layer, deque())
        recent.append((rows, firing))
        while sum(count for count, _ in recent) - recent[0][0] >= WINDOW_ROWS:
            recent.popleft()
        if sum(count for count, _ in recent) < WINDOW_ROWS:
            return float("nan")
        return float(np.sum(~np.any([mask for _, mask in recent], axis=0)))
