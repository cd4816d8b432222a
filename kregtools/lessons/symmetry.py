"""Units that start equal stay equal.

A dense network on handwritten digits, started from zeros, from one constant, and from random numbers.

What to see: from zeros nothing arrives at the hidden layers, and only the last bias learns; from a constant all units
of a layer get the same gradient and stay copies of one another, so that 64 of them are worth one. Random numbers break
the symmetry; how large they should be is the next lesson (`saturation`).
"""

from __future__ import annotations

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import DigitsDense

LESSON = Lesson(
    {
        "zeros": Variant(DigitsDense(initializer="zeros", dropout=0)),
        "constant 0.05": Variant(DigitsDense(initializer="constant", dropout=0)),
        "random": Variant(DigitsDense(dropout=0)),
    },
    epochs=15,
)
