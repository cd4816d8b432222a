"""Weights that start too large or too small.

Five tanh layers on handwritten digits. Their weights start as normal numbers of standard deviation 1, of standard
deviation 0.01, and as Glorot's, whose variance goes by the number of inputs and outputs.

What to see: with large weights nearly every tanh is at its ends, where it has no slope, and little is learned; with
small ones the activations shrink from layer to layer until all rows look the same, and so do the gradients on their
way back. Glorot's keep both about as they are.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import DigitsDense

_DEEP: dict[str, Any] = {"layers": 5, "activation": "tanh", "dropout": 0, "l2": 0}
LESSON = Lesson(
    {
        "standard deviation 1": Variant(DigitsDense(initializer="large_normal", **_DEEP)),
        "standard deviation 0.01": Variant(DigitsDense(initializer="small_normal", **_DEEP)),
        "Glorot": Variant(DigitsDense(initializer="glorot_uniform", **_DEEP)),
    },
    epochs=10,
)
