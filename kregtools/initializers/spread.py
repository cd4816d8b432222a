"""How far the outputs of layers spread on data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kregtools.initializers.forward import Pass
from kregtools.initializers.kernels import Kernel
from kregtools.initializers.report import InitializationReport, LayerScale


def stds(through: Pass) -> list[tuple[str, float]]:
    """The standard deviation of each layer's output before its activation, in the order of the calls."""
    found: list[tuple[str, float]] = []

    def visit(kernel: Kernel, inputs: Any, output: Callable[[], np.ndarray]) -> None:
        with np.errstate(all="ignore"):
            found.append((kernel.name, float(output().std())))

    through.walk(visit)
    return found


def report(through: Pass, before: list[tuple[str, float]], after: list[tuple[str, float]]) -> InitializationReport:
    layers = tuple(LayerScale(name, first, last) for (name, first), (_, last) in zip(before, after, strict=True))
    return InitializationReport(layers, through.rows, through.left_alone)


def check_spread(kernel: Kernel, spread: np.ndarray) -> None:
    """Refuses an output that no factor brings to a variance."""
    if np.isfinite(spread).all() and (spread > 0).all():
        return
    what = "is not finite" if not np.isfinite(spread).all() else "has no variance"
    raise ValueError(
        f"The output of {kernel.name} {what} on this data, so that it cannot be scaled. The model is as it was. Look "
        "for units that are dead, a kernel of zeros, a rate of dropout near 1, or inputs far from unit scale."
    )
