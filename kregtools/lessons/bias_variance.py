"""Bias and variance: polynomials through thirty noisy points of a sine.

Degree 1, 5 and 25, and 25 with L2. The figures are mean absolute errors; the noise alone makes 0.24.

What to see: a line misses the sine on the training points and on new ones alike (bias). Degree 5 is close to the noise
on both. Degree 25 is better than the noise on the training points and worse on new ones (variance), unless L2 holds it.
"""

from __future__ import annotations

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import SinePoly

LESSON = Lesson(
    {
        "degree 1": Variant(SinePoly(degree=1, l2=0)),
        "degree 5": Variant(SinePoly(degree=5, l2=0)),
        "degree 25": Variant(SinePoly(degree=25, l2=0)),
        "degree 25, L2 0.03": Variant(SinePoly(degree=25, l2=0.03)),
    },
    epochs=200,
)
