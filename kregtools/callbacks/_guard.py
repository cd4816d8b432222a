"""What stands between a failure in kregtools and the user's training run."""

from __future__ import annotations

import functools
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
