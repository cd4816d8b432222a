"""What a step that is traced once more would leave in the process itself, and what is said for our sake alone."""

from __future__ import annotations

import contextlib
import logging
import random
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from keras.src.backend.common import global_state

NAMES = "object_name_uids"
ALL_NAN = ("ignore", re.compile("All-NaN axis encountered"), RuntimeWarning, re.compile(r"keras_tuner\."), 0)
# What is replaced is put back in the order in which it was.
_one_thread = threading.RLock()


class ProcessState(NamedTuple):
    """What tracing draws from: Python's and NumPy's generators, and Keras' count of names."""

    generator: Any
    numpy: Any
    names: dict[str, int] | None


def process_state() -> ProcessState:
    """The state as it is now."""
    names = global_state.get_global_attribute(NAMES)
    return ProcessState(random.getstate(), np.random.get_state(), None if names is None else dict(names))


def _set(state: ProcessState) -> None:
    random.setstate(state.generator)
    np.random.set_state(state.numpy)
    names = global_state.get_global_attribute(NAMES)
    if names is not None:
        names.clear()
        names.update(state.names or {})


@contextlib.contextmanager
def random_state_kept(state: ProcessState | None = None) -> Iterator[None]:
    """Puts back what tracing draws from: a step that is traced once more may draw seeds and names.

    Args:
        state: What the block is to draw from. Defaults to `None`, the state as it is.
    """
    after = process_state()
    if state is not None:
        _set(state)
    try:
        yield
    finally:
        _set(after)


@contextlib.contextmanager
def unnoticed(state: ProcessState | None = None) -> Iterator[None]:
    """Around a trace that is none of the run's: it is not heard, and draws nothing for good."""
    with random_state_kept(state), unheard():
        yield


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Drops what this thread says, and those it starts: the model's own trace has said it already.

    `warnings.catch_warnings` would have those shown again that Python shows once.
    """
    with _one_thread:
        others = {thread.ident for thread in threading.enumerate()} - {threading.get_ident()}
        warn, log, out, err = warnings.warn, logging.Logger.callHandlers, sys.stdout, sys.stderr

        def warn_of_others(message: Any, category: Any = None, stacklevel: int = 1, *args: Any, **kwargs: Any) -> None:
            if threading.get_ident() in others:
                warn(message, category, stacklevel + 1, *args, **kwargs)

        def log_of_others(self: logging.Logger, record: logging.LogRecord) -> None:
            if threading.get_ident() in others:
                log(self, record)

        warnings.warn, logging.Logger.callHandlers = warn_of_others, log_of_others
        sys.stdout, sys.stderr = _OfOthers(out, others), _OfOthers(err, others)
        try:
            yield
        finally:
            warnings.warn, logging.Logger.callHandlers = warn, log
            sys.stdout, sys.stderr = out, err


@contextlib.contextmanager
def hushed(category: type[Warning]) -> Iterator[None]:
    """Ignores the warnings of a category inside the block; as above, none is shown again that Python shows once."""
    ignored: tuple[Any, ...] = ("ignore", None, category, None, 0)
    filters: Any = warnings.filters
    filters.insert(0, ignored)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            filters.remove(ignored)


def expect_nan() -> None:
    """Lets KerasTuner keep what is NaN in every epoch without NumPy's warning of it, which would be our doing."""
    filters: Any = warnings.filters
    if "keras_tuner" in sys.modules and filters[:1] != [ALL_NAN]:
        with contextlib.suppress(ValueError):
            filters.remove(ALL_NAN)
        filters.insert(0, ALL_NAN)


class _OfOthers:
    """A stream that only some threads write to."""

    def __init__(self, stream: Any, others: set[Any]) -> None:
        self._stream, self._others = stream, others

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() in self._others else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
