"""How a recipe declares what can be varied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras_tuner


@dataclass(frozen=True)
class Float:
    """A number between two others, searched on a linear or on a logarithmic scale."""

    default: float
    low: float
    high: float
    sampling: str = "linear"

    def declare(self, hp: keras_tuner.HyperParameters, name: str) -> Any:
        return hp.Float(name, self.low, self.high, sampling=self.sampling, default=self.default)


@dataclass(frozen=True)
class Int:
    """A whole number between two others, both included."""

    default: int
    low: int
    high: int
    sampling: str = "linear"

    def declare(self, hp: keras_tuner.HyperParameters, name: str) -> Any:
        return hp.Int(name, self.low, self.high, sampling=self.sampling, default=self.default)


@dataclass(frozen=True)
class Choice:
    """One of some values; it is searched among these, but may be fixed to another."""

    default: Any
    values: tuple[Any, ...]

    def declare(self, hp: keras_tuner.HyperParameters, name: str) -> Any:
        return hp.Choice(name, list(self.values), default=self.default)
