"""From what sampled steps handed out to statistics by name, many steps at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from kregtools.capture.firing import FiringUnits
from kregtools.capture.recorder import Key, Layout
from kregtools.capture.replicas import merged
from kregtools.capture.sampler import Payload
from kregtools.capture.sums import statistics


class Pending(NamedTuple):
    """A sampled step whose statistics were not read yet."""

    step: int
    epoch: int
    payload: Payload


class StepStatistics(NamedTuple):
    """The statistics of one sampled step."""

    step: int
    epoch: int
    values: dict[Key, float]


class Decoded(NamedTuple):
    """Statistics of steps with the same layout.

    Attributes:
        keys: What they are.
        values: Shape `(steps, keys)`.
        firing: Which units fired, by layer, shape `(steps, units)`.
    """

    keys: tuple[Key, ...]
    values: np.ndarray
    firing: dict[str, np.ndarray]


class Decoder:
    """Reads the samples of one fit, in the order they were taken.

    Args:
        to_numpy: How the backend's tensors are read.
    """

    def __init__(self, to_numpy: Callable[[Any], np.ndarray]) -> None:
        self._to_numpy = to_numpy
        self._units = FiringUnits()

    def __call__(self, pending: Sequence[Pending]) -> list[StepStatistics]:
        """The statistics of the samples; waits for the steps they belong to."""
        found = [StepStatistics(step, epoch, {}) for step, epoch, _ in pending]
        firing: list[dict[str, np.ndarray]] = [{}] * len(pending)
        for places in self._alike(pending):
            keys, values, units = self._decoded([pending[place].payload for place in places])
            for index, (place, row) in enumerate(zip(places, values.tolist(), strict=True)):
                found[place].values.update(zip(keys, row, strict=True))
                firing[place] = {layer: fired[index] for layer, fired in units.items()}
        for (_, _, values), units in zip(found, firing, strict=True):  # in the order they were taken
            for layer, fired in units.items():
                rows = int(values[layer, "activation", "rows"])
                values[layer, "activation", "dead_units"] = self._units.dead(layer, rows, fired)
                values[layer, "activation", "units"] = float(len(fired))
        return found

    # ---- private

    def _alike(self, pending: Sequence[Pending]) -> list[list[int]]:
        """The places of those that have the same layout."""
        alike: dict[int, list[int]] = {}
        for place, (_, _, payload) in enumerate(pending):
            alike.setdefault(id(self._layout(payload)), []).append(place)
        return list(alike.values())

    def _layout(self, payload: Payload) -> Layout:
        return payload.layouts[int(self._to_numpy(payload.index).max())]

    def _decoded(self, payloads: Sequence[Payload]) -> Decoded:
        return decoded(self._layout(payloads[0]), np.stack([self._to_numpy(payload.values) for payload in payloads]))


def decoded(layout: Layout, numbers: np.ndarray) -> Decoded:
    """What follows from the numbers of steps.

    Args:
        layout: What the numbers are.
        numbers: Shape `(steps, numbers)`, or `(steps, replicas, numbers)`.
    """
    values, firing = np.split(numbers, [len(layout.keys)], axis=-1)
    keys, found = statistics(layout.keys, values)
    firing = firing.astype(bool)
    if found.ndim == 3:
        parts = [merged(keys, *both) for both in zip(found, firing, strict=True)]
        found, firing = (np.stack(part) for part in zip(*parts, strict=True))
    ends = np.cumsum([count for _, count in layout.firing], dtype=int)
    units = {layer: firing[:, end - count : end] for (layer, count), end in zip(layout.firing, ends, strict=True)}
    return Decoded(keys, found, units)
