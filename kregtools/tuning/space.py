"""The space of a search: what part each hyperparameter plays, and how far one notch goes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from keras_tuner.engine import hyperparameters

ROLES = ("learning_rate", "dropout", "l2", "capacity")
# How one notch changes a value: by a factor, or by an amount.
FACTORS = {"learning_rate": 3.0, "l2": 10.0, "capacity": 2.0}
AMOUNT = 0.2
# What is less than this hardly regularizes: one notch up leads at least here, one down from here to the lowest.
LEAST_L2 = 1e-4

_NUMERICAL = (hyperparameters.Float, hyperparameters.Int)

_NAMES = {
    # What is of a schedule is not the rate itself: `lr_decay`, `lr_patience`.
    "learning_rate": r"^(?!.*(decay|patience|schedul|warm|factor|epoch)).*((^|_)lr($|_)|learning_?rate|step_?size)",
    "dropout": r"drop_?out|drop_?(rate|prob|connect|path)|stochastic_?depth",
    "l2": r"(^|_)(l2|wd)($|_)|weight_?decay|regulari[sz]",
    "capacity": r"(^|_)(units?|width|filters?|neurons?|hidden|depth|layers|dim|channels)($|_)",
}


def infer_role(name: str) -> str | None:
    """The part that a hyperparameter plays, told by a name such as `l2`, `dropout_1`, `lr` or `weight_decay`."""
    plain = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.split("/")[-1]).lower().replace("-", "_").replace(" ", "_")
    plain = re.sub(r"(?<=[a-z])_?\d+$", "", plain) if not re.search(r"(^|_)l2$", plain) else plain
    return next((role for role, pattern in _NAMES.items() if re.search(pattern, plain)), None)


def declared_roles(given: Mapping[str, str | Iterable[str]] | None) -> dict[str, list[str]]:
    """The names that were declared to play each part.

    Raises:
        ValueError: If a part is unknown.
    """
    given = given or {}
    parts = {role: role if role in ROLES else infer_role(role) for role in given}
    unknown = [role for role, part in parts.items() if part is None]
    if unknown:
        raise ValueError(
            f"`roles` names parts that no hyperparameter plays. Received: {', '.join(unknown)}. "
            f"Expected some of: {', '.join(ROLES)}."
        )
    return {str(parts[role]): [names] if isinstance(names, str) else list(names) for role, names in given.items()}


def resolve_roles(given: Mapping[str, str | Iterable[str]] | None, names: Iterable[str]) -> dict[str, list[str]]:
    """The hyperparameters of each role: those declared, and for a role that is not, those whose names say so."""
    declared, names = declared_roles(given), list(dict.fromkeys(names))
    taken = {name for listed in declared.values() for name in listed}
    told = {name: infer_role(name) for name in names if name not in taken}
    inferred = {role: [name for name in told if told[name] == role] for role in ROLES}
    return {role: [n for n in declared.get(role, inferred[role]) if n in names] for role in ROLES}


def movable(hp: Any) -> bool:
    """Whether a hyperparameter has an up and a down: it is a number, or a choice of ordered numbers."""
    return isinstance(hp, _NUMERICAL) or _ordered(hp) is not None


def active(hp: Any, values: Mapping[str, Any]) -> bool:
    """Whether the conditions of a hyperparameter hold."""
    return all(condition.is_active(values) for condition in hp.conditions)


def shift(hp: Any, value: Any, role: str, notches: float) -> Any:
    """The value of a hyperparameter some notches up or down, within its range; the value itself where it ends."""
    choices = _ordered(hp)
    if choices is not None:
        return _shift_choice(choices, value, role, notches)
    if not isinstance(hp, _NUMERICAL):
        return value
    target = _target(float(value), role, notches, float(hp.max_value))
    target = min(max(target, float(hp.min_value)), float(hp.max_value))
    if isinstance(hp, hyperparameters.Int):
        return int(_snapped(hp, round(target)))
    return float(_snapped(hp, target))


def position(hp: Any, value: Any) -> float:
    """Where a value lies in its range, from 0 to 1, by the range's own scale."""
    choices = _ordered(hp)
    if choices is not None:
        return _index(choices, value) / max(len(choices) - 1, 1)
    return float(hp.value_to_prob(value) or 0) if isinstance(hp, _NUMERICAL) else 0.5


def searched(space: Any) -> list[str]:
    """The names of the hyperparameters that can take more than one value."""
    return list(dict.fromkeys(hp.name for hp in space.space if not isinstance(hp, hyperparameters.Fixed)))


def _ordered(hp: Any) -> list[Any] | None:
    return sorted(hp.values) if isinstance(hp, hyperparameters.Choice) and hp.ordered else None


def _index(choices: list[Any], value: Any) -> int:
    # Nearest: values that came through KerasTuner's gRPC have lost digits.
    return min(range(len(choices)), key=lambda index: abs(choices[index] - value))


def _target(value: float, role: str, notches: float, highest: float) -> float:
    if role not in FACTORS:
        # A dropout rate of 0.9 and more leaves nothing to learn from.
        return min(value + AMOUNT * notches, max(highest, value))
    if role == "l2":
        moved = value * FACTORS[role] ** notches
        return max(moved, LEAST_L2) if notches > 0 else moved if moved >= LEAST_L2 / 10 else 0.0
    return value * FACTORS[role] ** notches


def _shift_choice(choices: list[Any], value: Any, role: str, notches: float) -> Any:
    """The choice nearest to where the notches lead, but at least one further."""
    here = _index(choices, value)
    beyond = choices[here + 1 :] if notches > 0 else choices[:here]
    if not beyond:
        return value
    target = _target(float(value), role, notches, float(choices[-1]))
    if role in FACTORS:
        floor = LEAST_L2 / 1000 if role == "l2" else 1e-12
        return min(beyond, key=lambda choice: abs(math.log(max(choice, floor) / max(target, floor))))
    return min(beyond, key=lambda choice: abs(choice - target))


def _snapped(hp: Any, value: float) -> float:
    if hp.step is None:
        return value
    return hp.prob_to_value(min(hp.value_to_prob(value), 1 - 1e-9))
