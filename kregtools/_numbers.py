"""Numbers as arguments: those of Python and of NumPy, and no booleans."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, NoReturn


def is_number(value: Any) -> bool:
    """Whether a value is a number."""
    return isinstance(value, Real) and not isinstance(value, bool)


def is_integer(value: Any) -> bool:
    """Whether a value is a whole number, by its type."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def positive_number(name: str, value: Any, expected: str = "a number above 0") -> float:
    """The value of an argument, if it is a number above 0 and finite."""
    if not is_number(value) or not 0 < value < math.inf:
        refuse(name, value, expected)
    return float(value)


def share(name: str, value: Any, expected: str = "a number from 0 to below 1") -> float:
    """The value of an argument, if it is a number from 0 to below 1."""
    if not is_number(value) or not 0 <= value < 1:
        refuse(name, value, expected)
    return float(value)


def integer(name: str, value: Any, least: int = 1, expected: str = "a positive integer") -> int:
    """The value of an argument, if it is an integer of at least `least`."""
    if not is_integer(value) or value < least:
        refuse(name, value, expected)
    return int(value)


def refuse(name: str, value: Any, expected: str) -> NoReturn:
    """Says that an argument is not what was expected."""
    raise ValueError(f"Invalid value for argument `{name}`. Received: {name}={value!r}. Expected {expected}.")
