"""Units that never fire, counted over enough rows to mean it."""

from __future__ import annotations

import numpy as np

WINDOW_ROWS = 256


class FiringUnits:
    """Joins sampled batches until they hold 256 rows: a unit is dead if it was off in all of them.

    A unit that fires on 2 % of the rows is off throughout half of all batches of 32. Only what stays off over many
    rows is dead.
    """

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        # Up to which row each unit was last seen to fire.
        self._fired: dict[str, np.ndarray] = {}

    def dead(self, layer: str, rows: int, firing: np.ndarray) -> float:
        """The number of dead units, NaN until enough rows were seen.

        Args:
            layer: The layer's name.
            rows: The rows of this batch.
            firing: Which units were positive for any of them, booleans of shape `(units,)`.
        """
        end = self._rows[layer] = self._rows.get(layer, 0) + rows
        last = self._fired.setdefault(layer, np.zeros(firing.shape, int))
        np.copyto(last, end, where=firing)
        return float(np.count_nonzero(last <= end - WINDOW_ROWS)) if end >= WINDOW_ROWS else float("nan")
