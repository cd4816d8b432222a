"""Looking into a model and leaving it as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np


def snapshot(variables: Iterable[Any]) -> Callable[[], None]:
    """A function that gives the variables the values back that they have now."""
    kept = [(variable, np.array(keras.ops.convert_to_numpy(variable))) for variable in variables]

    def put_back() -> None:
        for variable, value in kept:
            if not np.array_equal(np.asarray(keras.ops.convert_to_numpy(variable)), value):
                variable.assign(value)

    return put_back


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Inside the block the attribute has another value, which Keras does not notice."""
    attributes = vars(owner)
    own, outer = name in attributes, attributes.get(name)
    object.__setattr__(owner, name, value)
    try:
        yield
    finally:
        if own:
            object.__setattr__(owner, name, outer)
        else:
            object.__delattr__(owner, name)
