"""What a person sees of a diagnosis.

Printing a diagnosis needs none of what draws: that is imported when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kregtools.report import plots as plots
    from kregtools.report.compare import comparison as comparison
    from kregtools.report.compare import write_comparison as write_comparison
    from kregtools.report.html import write_html as write_html
    from kregtools.report.html import write_rules as write_rules
    from kregtools.report.tensorboard import write_events as write_events

_HOME = {
    "comparison": "kregtools.report.compare",
    "write_comparison": "kregtools.report.compare",
    "write_events": "kregtools.report.tensorboard",
    "write_html": "kregtools.report.html",
    "write_rules": "kregtools.report.html",
}

__all__ = ["plots", *_HOME]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name == "plots":
        return importlib.import_module("kregtools.report.plots")
    raise AttributeError(f"module 'kregtools.report' has no attribute {name!r}. Available: {', '.join(__all__)}.")
