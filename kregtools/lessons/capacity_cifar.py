"""Underfit and overfit by width, on CIFAR-10.

Two hidden layers of 2 and of 512 units on 10,000 images without regularization, and 512 units with dropout.

What to see: a dense network of any use has more weights than there are pixels in the training images to pin them
down: its training accuracy goes on rising long after its validation loss has turned. Two units cannot even begin.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import CifarDense

_PLAIN: dict[str, Any] = {"normalization": "none", "schedule": "constant", "layers": 2, "l2": 0}
LESSON = Lesson(
    {
        "2 units": Variant(CifarDense(units=2, dropout=0, **_PLAIN)),
        "512 units": Variant(CifarDense(units=512, dropout=0, **_PLAIN)),
        "512 units, dropout 0.5": Variant(CifarDense(units=512, dropout=0.5, **_PLAIN)),
    },
    epochs=20,
    rows=10_000,
)
