"""What a falling learning rate is worth.

A dense network on 20,000 images of CIFAR-10 by SGD with momentum: a constant rate, one that falls in two steps, and one
that falls as a cosine.

What to see: a high rate gets on fast, but its noise keeps it from settling. Where the rate falls in the end, the
training accuracy jumps; how much of it reaches the validation rows is another question, and regularization's.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import CifarDense

_SGD: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 0.1, "units": 300, "layers": 2}
LESSON = Lesson(
    {schedule: Variant(CifarDense(schedule=schedule, **_SGD)) for schedule in ("constant", "step", "cosine")},
    epochs=15,
    rows=20_000,
)
