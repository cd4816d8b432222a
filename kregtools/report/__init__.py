"""What a person sees of a diagnosis.

Printing a diagnosis needs none of what draws: that is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kregtools.report.html import write_html as write_html

_HOME = {"write_html": "kregtools.report.html"}

__all__ = ["write_html"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'kregtools.report' has no attribute {name!r}. Available: {', '.join(__all__)}.")
