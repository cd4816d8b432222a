"""Gradients that explode on their way back.

Eight relu layers on handwritten digits, trained by SGD: weights of standard deviation 1 where He's initializer has
0.18, and He's.

What to see: each layer multiplies the activations by some five, and the gradients likewise; the loss of the first step
is far beyond that of a guess, and the step throws the weights to where nothing is left to learn, or beyond all numbers.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import DigitsDense

_DEEP: dict[str, Any] = {"layers": 8, "dropout": 0, "l2": 0, "optimizer": "sgd", "learning_rate": 0.01}
LESSON = Lesson(
    {
        "standard deviation 1": Variant(DigitsDense(initializer="large_normal", **_DEEP)),
        "He": Variant(DigitsDense(initializer="he_normal", **_DEEP)),
    },
    epochs=10,
)
