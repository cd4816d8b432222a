"""TensorFlow's notice of functions that are traced too often, which counts calls that are none of the run's.

What is private of TensorFlow here only decides whether that notice comes: where it is gone, nothing is counted.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

try:
    from tensorflow.python.eager.polymorphic_function import polymorphic_function
except ImportError:
    polymorphic_function: Any = None

MANAGER = "_frequent_tracing_detector_manager"


class _Deaf:
    """Stands for what counts."""

    def called_without_tracing(self, key: Any) -> None: ...

    def called_with_tracing(self, key: Any, function_name: Any, omit_warning: Any) -> None: ...


@contextlib.contextmanager
def uncounted() -> Iterator[None]:
    """Keeps calls inside the block from being counted."""
    manager = getattr(polymorphic_function, MANAGER, None)
    if manager is None:
        yield
        return
    setattr(polymorphic_function, MANAGER, _Deaf())
    try:
        yield
    finally:
        setattr(polymorphic_function, MANAGER, manager)


def count_as_traced(function: Any) -> None:
    """Counts a call of a function that was traced in it, as it would have been."""
    with contextlib.suppress(AttributeError):
        manager = getattr(polymorphic_function, MANAGER)
        omit = function._omit_frequent_tracing_warning
        manager.called_with_tracing(function._key_for_call_stats, function._python_function, omit)
