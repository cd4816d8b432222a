"""Underfit and overfit by width, on Fashion-MNIST.

One hidden layer of 2, 32 and 512 units on 10,000 images without regularization, and 512 units with dropout and L2.

What to see: two units cannot tell ten classes apart, and training and validation accuracy are low alike: underfit. 512
units learn the training images by heart while the validation loss rises: overfit. Dropout and L2 hold it back.
"""

from __future__ import annotations

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import FashionDense

LESSON = Lesson(
    {
        "2 units": Variant(FashionDense(units=2, dropout=0, l2=0)),
        "32 units": Variant(FashionDense(units=32, dropout=0, l2=0)),
        "512 units": Variant(FashionDense(units=512, dropout=0, l2=0)),
        "512 units, dropout 0.5, L2 0.0001": Variant(FashionDense(units=512, dropout=0.5, l2=1e-4)),
    },
    epochs=30,
    rows=10_000,
)
