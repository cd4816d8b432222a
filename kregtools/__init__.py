"""kregtools keeps Keras training healthy.

Importing the package is cheap: it loads no backend, so that a run copied from a cluster can be diagnosed on a
machine without TensorFlow, JAX or PyTorch. The layers and initializers are registered with Keras as soon as Keras
itself is imported, before or after this package.
"""

from __future__ import annotations

import importlib
import sys
import types
from typing import TYPE_CHECKING, Any

import wrapt

__version__ = "0.1.0"

_HOME = {
    "data_dependent_init": "kregtools.initializers",
    "diagnose": "kregtools.diagnosis",
    "gradient_check": "kregtools.gradient_check",
    "learning_curve": "kregtools.learning_curve",
    "load": "kregtools.run",
    "lsuv": "kregtools.initializers",
    "preflight": "kregtools.preflight",
    "recalibrate": "kregtools.normalization",
    "tune": "kregtools.tuning",
    "variance_shift": "kregtools.normalization",
}
_SUBMODULES = (
    "callbacks",
    "causes",
    "datasets",
    "diagnosis",
    "errors",
    "initializers",
    "layers",
    "models",
    "normalization",
    "record",
    "report",
    "symptoms",
    "testing",
    "tuning",
)

__all__ = [*_HOME, *_SUBMODULES]  # pyright: ignore[reportUnsupportedDunderAll]

if TYPE_CHECKING:
    from kregtools.diagnosis import diagnose as diagnose
    from kregtools.gradient_check import gradient_check as gradient_check
    from kregtools.initializers import data_dependent_init as data_dependent_init
    from kregtools.initializers import lsuv as lsuv
    from kregtools.learning_curve import learning_curve as learning_curve
    from kregtools.normalization import recalibrate as recalibrate
    from kregtools.normalization import variance_shift as variance_shift
    from kregtools.preflight import preflight as preflight
    from kregtools.run import load as load
    from kregtools.tuning import tune as tune


class _Package(types.ModuleType):
    """Keeps a function's name for the function: importing the module of that name would put the module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, types.ModuleType) and _HOME.get(name) == value.__name__:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _SUBMODULES:
        return importlib.import_module(f"kregtools.{name}")
    raise AttributeError(f"module 'kregtools' has no attribute {name!r}. Available: {', '.join(__all__)}.")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def _register_with_keras(_keras: object) -> None:
    importlib.import_module("kregtools.initializers")
    importlib.import_module("kregtools.layers")


wrapt.register_post_import_hook(_register_with_keras, "keras")
