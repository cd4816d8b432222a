"""Arguments that several layers take."""

from __future__ import annotations

from typing import Any

import keras

from kregtools._numbers import is_number


def number_pair(name: str, value: Any, low: float, high: float, mirrored: bool = False) -> tuple[float, float]:
    """A range, from a pair of numbers or from one: both ends, or where mirrored the upper end and minus the lower."""
    one = (-value, value) if mirrored and is_number(value) else (value, value)
    pair = value if isinstance(value, (tuple, list)) else one
    if len(pair) != 2 or not all(map(is_number, pair)) or not low <= pair[0] <= pair[1] <= high:
        raise ValueError(
            f"Invalid value for argument `{name}`. Received: {name}={value!r}. Expected a number from "
            f"{0 if mirrored else low:g} to {high:g}, or a pair from {low:g} to {high:g}, the lower one first."
        )
    return float(pair[0]), float(pair[1])


def checked_data_format(data_format: str | None) -> str:
    """The order of an image's axes: what was asked for, or Keras' own."""
    found = keras.config.image_data_format() if data_format is None else data_format
    if found not in ("channels_first", "channels_last"):
        raise ValueError(
            f"Invalid value for argument `data_format`. Received: data_format={data_format!r}. Expected "
            "'channels_last' or 'channels_first'."
        )
    return found
