"""Gradients that vanish on their way back.

Ten hidden layers on handwritten digits: sigmoid, tanh and relu, each with the initializer that is usual for it.

What to see: the slope of a sigmoid is a quarter at most, so that each layer takes at least three quarters of the
gradient away, and the first layers of the sigmoid network never learn. tanh and relu pass it on.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import DigitsDense

_DEEP: dict[str, Any] = {"layers": 10, "dropout": 0, "l2": 0}
LESSON = Lesson(
    {
        "sigmoid": Variant(DigitsDense(activation="sigmoid", initializer="glorot_uniform", **_DEEP)),
        "tanh": Variant(DigitsDense(activation="tanh", initializer="glorot_uniform", **_DEEP)),
        "relu": Variant(DigitsDense(activation="relu", initializer="he_normal", **_DEEP)),
    },
    epochs=15,
)
