"""From what held a trial back to what to try next."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kregtools.tuning.display import short
from kregtools.tuning.reading import Reading
from kregtools.tuning.space import position, shift

Moves = dict[str, float]
HEAVY_DROPOUT, HEAVY_L2 = 0.5, 1e-3


@dataclass(frozen=True)
class Place:
    """A trial's place in the space of a search.

    Attributes:
        values: The value of each hyperparameter.
        space: The hyperparameters by name.
        roles: The names of those that play each part.
    """

    values: Mapping[str, Any]
    space: Mapping[str, Any]
    roles: Mapping[str, Sequence[str]]

    def of(self, role: str) -> dict[str, Any]:
        """The values of the hyperparameters that play a part."""
        names = [name for name in self.roles.get(role, ()) if name in self.space and name in self.values]
        return {name: self.values[name] for name in names}

    def moved(self, moves: Moves) -> dict[str, Any]:
        """The values some notches away."""
        steps = [(name, role, notches) for role, notches in moves.items() for name in self.of(role)]
        changed = {name: shift(self.space[name], self.values[name], role, notches) for name, role, notches in steps}
        return {**self.values, **changed}


def neighbours(reading: Reading, place: Place, rng: random.Random) -> Iterator[tuple[dict[str, Any], str]]:
    """What to try from a place, the most promising first, each with what it changes."""
    for moves in _plans(reading, place, rng):
        values = place.moved(moves)
        changed = [name for name in values if values[name] != place.values[name]]
        if changed:
            told = (f"{name} {short(place.values[name])} to {short(values[name])}" for name in changed)
            yield values, ", ".join(told)


def _plans(reading: Reading, place: Place, rng: random.Random) -> Iterator[Moves]:
    speed, strength = reading.speed, reading.regularization
    if reading.verdict == "stuck":
        high = any(position(place.space[name], value) > 0.5 for name, value in place.of("learning_rate").items())
        speed = -2.0 if high else 2.0
    if (speed > 1 or reading.verdict == "stuck") and _heavy(place):
        # What hardly learns is to show first that it can learn at all.
        strength = min(strength, -2.0)
    knobs = ["dropout", "l2"]
    if strength > 0:
        knobs.sort(key=lambda knob: _turned_up(knob, place))  # what is turned up least is turned up next
    pace = {"learning_rate": speed} if speed else {}
    if strength:
        yield from _with_regularization(strength, knobs, pace)
    elif pace:
        yield from (pace, {"learning_rate": math.copysign(1, speed)}, {"learning_rate": -math.copysign(1, speed)})
    rest = [{role: step} for role in ("learning_rate", *knobs, "capacity") for step in (1.0, -1.0)]
    rng.shuffle(rest)
    yield from rest


def _with_regularization(strength: float, knobs: list[str], pace: Moves) -> Iterator[Moves]:
    both = dict.fromkeys(knobs, strength)
    yield pace | ({knobs[0]: strength} if abs(strength) < 2 else both)
    if pace:
        yield pace
    yield from ({knob: strength} for knob in knobs)
    if strength > 0:
        yield from (both, {"learning_rate": -1.0}, {"capacity": -1.0})
    else:
        yield {"capacity": 1.0}


def _turned_up(knob: str, place: Place) -> float:
    """How strong a regularizer is: 1 for dropout of 0.7 and for L2 of 0.01."""
    values = place.of(knob).values()
    scale = (lambda v: v / 0.7) if knob == "dropout" else (lambda v: (math.log10(max(v, 1e-5)) + 5) / 3)
    return max(map(scale, values), default=math.inf)


def _heavy(place: Place) -> bool:
    dropout, l2 = place.of("dropout").values(), place.of("l2").values()
    return any(value > HEAVY_DROPOUT for value in dropout) or any(value > HEAVY_L2 for value in l2)
