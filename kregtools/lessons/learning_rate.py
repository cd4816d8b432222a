"""The learning rate: the first number to get right.

A small dense network on handwritten digits with Adam at rates from 0.000003 to 3.

What to see: too low, and the loss still falls when the training ends; too high, and it oscillates, or units die in the
first steps and never come back. In between there is a range of a factor of ten or more in which all is well.
"""

from __future__ import annotations

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import DigitsDense

LESSON = Lesson(
    {f"{rate:g}": Variant(DigitsDense(learning_rate=rate)) for rate in (3e-6, 1e-3, 1e-2, 3.0)},
    epochs=30,
)
