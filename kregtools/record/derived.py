"""What follows from a record alone."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeVar

import numpy as np

from kregtools.record.record import Record

Value = TypeVar("Value")


def derived(function: Callable[[Record], Value]) -> Callable[[Record], Value]:
    """Lets a function of a record be computed once for all who ask, while the record is `settled`."""

    @functools.wraps(function)
    def call(record: Record) -> Value:
        known = record.known
        if known is None:
            return function(record)
        if function not in known:
            value = known[function] = function(record)
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
        return known[function]

    return call
