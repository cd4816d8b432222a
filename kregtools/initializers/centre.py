"""Kernels of convolutions that are zero everywhere but at their centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops


def at_centre(shape: Sequence[int], matrix: Any, dtype: Any) -> Any:
    """The kernel of this shape with `matrix`, of inputs by outputs, at the tap that sees the output's own position.

    With an even size that is the left one of the two in the middle, as padding "same" has it.
    """
    taps = np.zeros(shape[:-2])
    taps[tuple((size - 1) // 2 for size in shape[:-2])] = 1.0
    return ops.multiply(ops.convert_to_tensor(taps[..., None, None], dtype), ops.cast(matrix, dtype))
