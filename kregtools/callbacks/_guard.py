"""What stands between a failure in kregtools and the user's training run."""

from __future__ import annotations

import contextlib
import functools
import re
import sys
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

from kregtools.errors import KregtoolsWarning

Method = TypeVar("Method", bound=Callable[..., Any])


def guarded(method: Method) -> Method:
    """Turns an exception in a callback's hook into one warning a run; the callback is then out of the way.

    The callback must have an attribute `failed`, which its `on_train_begin` sets to `False`.
    """

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.failed:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.failed = True
            warnings.warn(
                f"{type(self).__name__}.{method.__name__} failed with {type(error).__name__}: {error}. Training goes "
                "on without it. Please report this.",
                KregtoolsWarning,
                stacklevel=2,
            )
            return None

    return call  # pyright: ignore[reportReturnType]


def expect_nan() -> None:
    """Lets KerasTuner keep what is NaN in every epoch without NumPy's warning of it, which would be our doing."""
    filters: Any = warnings.filters
    # Past `warnings.filterwarnings`, which would have those shown again that Python shows once.
    if "keras_tuner" in sys.modules and filters[:1] != [_ALL_NAN]:
        with contextlib.suppress(ValueError):
            filters.remove(_ALL_NAN)
        filters.insert(0, _ALL_NAN)


_ALL_NAN = ("ignore", re.compile("All-NaN axis encountered"), RuntimeWarning, re.compile(r"keras_tuner\."), 0)
