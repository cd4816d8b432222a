"""Optimizers and schedules of the learning rate, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from collections.abc import Callable

OPTIMIZERS: dict[str, Callable[[float], Any]] = {
    "adam": keras.optimizers.Adam,
    "adamw": keras.optimizers.AdamW,
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
}
SCHEDULES = ("constant", "cosine", "warmup_cosine", "step")
_WARMUP = 0.2
_FIRST = 0.04


def scheduled(schedule: str, learning_rate: float, steps: int) -> Any:
    """A learning rate that ends with the training.

    - `"cosine"` falls from the start as half a cosine, to zero.
    - `"warmup_cosine"` rises linearly over the first fifth of the steps, then falls likewise.
    - `"step"` is a tenth from half of the steps on, and a hundredth in the last quarter.

    Args:
        schedule: String, one of the names above.
        learning_rate: Float, the highest value.
        steps: Integer, the steps of the whole training.

    Returns:
        A `keras.optimizers.schedules.LearningRateSchedule`.
    """
    schedules = keras.optimizers.schedules
    if schedule == "cosine":
        return schedules.CosineDecay(learning_rate, steps)
    if schedule == "warmup_cosine":
        rising = max(1, int(_WARMUP * steps))
        return schedules.CosineDecay(
            _FIRST * learning_rate, max(1, steps - rising), warmup_target=learning_rate, warmup_steps=rising
        )
    if schedule == "step":
        return schedules.PiecewiseConstantDecay(
            [steps // 2, steps * 3 // 4], [learning_rate * factor for factor in (1.0, 0.1, 0.01)]
        )
    raise ValueError(f"Unknown schedule. Received: schedule={schedule!r}. Expected one of {', '.join(SCHEDULES)}.")
