"""What a step that is traced once more would leave in the process itself."""

from __future__ import annotations

import contextlib
import random
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Restores Python's and NumPy's generators: a step that is traced once more may draw seeds from them."""
    state, numpy_state = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        random.setstate(state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def unheard() -> Iterator[None]:
    """Drops the warnings of this thread, which the model's own trace has given already.

    `warnings.catch_warnings` would have those shown again that Python shows once.
    """
    warn, thread = warnings.warn, threading.get_ident()

    def others(message: Any, category: Any = None, stacklevel: int = 1, *args: Any, **kwargs: Any) -> None:
        if threading.get_ident() != thread:
            warn(message, category, stacklevel + 1, *args, **kwargs)

    warnings.warn = others
    try:
        yield
    finally:
        warnings.warn = warn
