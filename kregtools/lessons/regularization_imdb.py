"""L2, L1, dropout and early stopping, on IMDB.

Bags of words through two layers of 16 units: without regularization, with L2, with L1, with dropout, and stopped when
the validation loss has not fallen for two epochs.

What to see: without it the training accuracy goes to 1 while the validation loss rises from the fourth epoch on. Each
of the four closes part of the gap between the two. How much of it reaches the validation
accuracy is another matter.
"""

from __future__ import annotations

from typing import Any

import keras

from kregtools.lessons.lesson import Lesson, Variant
from kregtools.models import ImdbBow

_OFF: dict[str, Any] = {"l2": 0, "dropout": 0}
LESSON = Lesson(
    {
        "none": Variant(ImdbBow(**_OFF)),
        "L2 0.002": Variant(ImdbBow(l2=2e-3, dropout=0)),
        "L1 0.0001": Variant(ImdbBow(l1=1e-4, **_OFF)),
        "dropout 0.5": Variant(ImdbBow(l2=0, dropout=0.5)),
        "early stopping": Variant(
            ImdbBow(**_OFF),
            callbacks=lambda _: [keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True)],
        ),
    },
    epochs=20,
)
