"""Underfit and overfit by width, on Fashion-MNIST.

One hidden layer of 2, 32 and 512 units on 10,000 images without regularization, and 512 units with dropout and L2.

What to see: two units cannot tell ten classes apart, and training and validation accuracy are low alike: underfit. 512
units begin to learn the training images by heart while the validation loss rises: overfit. Dropout and L2 hold it back.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import FashionDense

# Eight times the recipe's steps, at a rate that does not fall: enough to overfit 10,000 images.
_LONG: dict[str, Any] = {"units": 512, "schedule": "constant", "batch_size": 32}
LESSON = Lesson(
    {
        "2 units": Variant(FashionDense(units=2, dropout=0, l2=0)),
        "32 units": Variant(FashionDense(units=32, dropout=0, l2=0)),
        "512 units": Variant(FashionDense(dropout=0, l2=0, **_LONG)),
        "512 units, dropout 0.5, L2 0.0001": Variant(FashionDense(dropout=0.5, l2=1e-4, **_LONG)),
    },
    epochs=30,
    rows=10_000,
)
