"""Which initializer goes with which activation.

Twenty hidden layers on handwritten digits, trained by SGD: tanh and relu, each with Glorot's (Xavier's) initializer
and with He's.

What to see: relu throws half of the variance away, so Glorot's halves it at every layer, and after twenty of them a
thousandth of the signal is left; He's doubles the variance of the weights for it. With tanh it is Glorot's that keeps
the signal, and He's drives it towards the ends.
"""

from __future__ import annotations

from typing import Any

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import DigitsDense

_DEEP: dict[str, Any] = {"layers": 20, "dropout": 0, "l2": 0, "optimizer": "sgd", "learning_rate": 0.01}
LESSON = Lesson(
    {
        f"{activation}, {initializer}": Variant(DigitsDense(activation=activation, initializer=initializer, **_DEEP))
        for activation in ("tanh", "relu")
        for initializer in ("glorot_normal", "he_normal")
    },
    epochs=10,
)
