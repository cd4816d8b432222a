"""What odd models are asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

NAMES = (str, int, float, bool)


def plain(thing: Any, name: str) -> Any:
    """An attribute if it is there and no more than a number, a string or a flag."""
    value = tried(lambda: getattr(thing, name, None))
    return value if isinstance(value, NAMES) else None


def tried(tell: Callable[[], Any], otherwise: Any = None) -> Any:
    """What `tell` returns, or `otherwise`: what one layer or optimizer does not tell must not cost the other facts."""
    try:
        return tell()
    except Exception:
        return otherwise
