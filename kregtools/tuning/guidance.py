"""From what held a trial back to what to try next."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kregtools.tuning.reading import Reading
from kregtools.tuning.space import position, shift

Moves = dict[str, float]


def neighbours(
    reading: Reading,
    values: Mapping[str, Any],
    space: Mapping[str, Any],
    roles: Mapping[str, Sequence[str]],
    rng: random.Random,
) -> Iterator[tuple[dict[str, Any], str]]:
    """What to try from a trial, the most promising first, each with its reason."""
    for moves in _plans(reading, values, space, roles, rng):
        moved = dict(values)
        for role, notches in moves.items():
            for name in roles.get(role, ()):
                if name in space and name in moved:
                    moved[name] = shift(space[name], moved[name], role, notches)
        if moved != values:
            yield moved, f"{reading.verdict}: {reading.reason}"


def _amount(knob: str, value: float) -> float:
    """How strong a regularizer is: about 1 for dropout of 0.7 and for L2 of 0.01."""
    return value / 0.7 if knob == "dropout" else (math.log10(max(value, 1e-5)) + 5) / 3


def _heavy(values: Mapping[str, Any], roles: Mapping[str, Sequence[str]]) -> bool:
    return any(values.get(name, 0) > 0.5 for name in roles.get("dropout", ())) or any(
        values.get(name, 0) > 1e-3 for name in roles.get("l2", ())
    )


def _plans(
    reading: Reading,
    values: Mapping[str, Any],
    space: Mapping[str, Any],
    roles: Mapping[str, Sequence[str]],
    rng: random.Random,
) -> Iterator[Moves]:
    speed, strength = reading.speed, reading.regularization
    if reading.verdict == "stuck":
        rates = [name for name in roles.get("learning_rate", ()) if name in values]
        high = any(position(space[name], values[name]) > 0.5 for name in rates)
        speed = -2 if high else 2
    knobs = ["dropout", "l2"]
    if speed > 1 or reading.verdict == "stuck":
        strength = min(strength, -2.0 if _heavy(values, roles) else strength)
    if strength > 0:
        # What is turned up least is turned up next.
        knobs.sort(
            key=lambda knob: max((_amount(knob, values.get(name, 0)) for name in roles.get(knob, ())), default=9)
        )
    pace = {"learning_rate": speed} if speed else {}
    if strength:
        firm = {knobs[0]: strength} if abs(strength) < 2 else dict.fromkeys(knobs, strength)
        yield pace | firm
        if pace:
            yield pace
        for knob in knobs:
            yield {knob: strength}
        if strength > 0:
            yield dict.fromkeys(knobs, strength)
            yield {"learning_rate": -1}
            yield {"capacity": -1}
        else:
            yield {"capacity": 1}
    elif pace:
        yield pace
        yield {"learning_rate": speed / abs(speed)}
        yield {"learning_rate": -speed / abs(speed)}
    rest = [{role: step} for role in ("learning_rate", *knobs, "capacity") for step in (1.0, -1.0)]
    rng.shuffle(rest)
    yield from rest
