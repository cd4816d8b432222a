"""What wrong labels do.

512 units on 10,000 images of Fashion-MNIST; none, a fifth and two fifths of the training labels are replaced by others.
The validation labels are as they were.

What to see: the network first learns what the labels have in common, and the validation accuracy is hardly worse; then
it learns the wrong ones by heart, and the validation accuracy falls. More capacity makes it worse, earlier stopping or
dropout better.
"""

from __future__ import annotations

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import FashionDense

LESSON = Lesson(
    {f"{share:.0%} wrong": Variant(FashionDense(dropout=0, l2=0), wrong_labels=share) for share in (0.0, 0.2, 0.4)},
    epochs=30,
    rows=10_000,
)
