"""How the magnitudes of a tensor's values are spread, over time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from kregtools.record import Record
from kregtools.report.plots.heat import MOST_COLUMNS, ticks_of_steps
from kregtools.report.style import axes, inked, nothing

BELOW = "magnitude_below_1e-9"
DECADE = "magnitude_1e"
LABELLED = (-6, -3, 0)


@dataclass(frozen=True)
class Distribution:
    """The shares of a tensor's values in each decade of magnitude, over time.

    Attributes:
        layer: The layer.
        tensor: Its tensor: `"activation"`, or the gradient of a variable such as `"kernel"`.
        decades: The exponent of the lower end of each decade; the first is minus infinity, for zeros and what is next
            to them, and the last has no upper end.
        steps: The sampled steps, shape `(samples,)`; of many samples, one of each block.
        shares: Shape `(decades, samples)`; each column sums to 1.
    """

    layer: str
    tensor: str
    decades: tuple[float, ...]
    steps: np.ndarray
    shares: np.ndarray


def distribution_data(record: Record, *, layer: str | None = None, tensor: str = "activation") -> Distribution:
    """The decades of a tensor's values over time, from the sketches of the samples that have details.

    Args:
        record: The record of a run.
        layer: The layer. Defaults to `None`: the first that has them.
        tensor: `"activation"`, or the name of a variable for its gradient. Defaults to `"activation"`.
    """
    layer = next((name for name, kind in record.tensors(BELOW) if kind == tensor), "") if layer is None else layer
    names = [name for name in record.statistics(layer, tensor) if name == BELOW or name.startswith(DECADE)]
    decades = {name: -math.inf if name == BELOW else float(name.removeprefix(DECADE)) for name in names}
    names.sort(key=lambda name: decades[name])
    shares = np.array([record.series(layer, tensor, name) for name in names]).reshape(len(names), len(record.samples))
    measured = np.flatnonzero(np.isfinite(shares).any(axis=0))
    chosen = measured[:: math.ceil(max(len(measured), 1) / MOST_COLUMNS)]
    return Distribution(layer, tensor, tuple(decades[name] for name in names), record.steps[chosen], shares[:, chosen])


def plot_distribution(
    record: Record, ax: Axes | None = None, *, layer: str | None = None, tensor: str = "activation"
) -> Axes:
    """Draws the decades of a tensor's values over time: the darker, the more values.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.
        layer: The layer. Defaults to `None`: the first that has them.
        tensor: `"activation"`, or the name of a variable for its gradient. Defaults to `"activation"`.

    Returns:
        The axes.

    Raises:
        ValueError: If the record has the distributions of other layers alone.
    """
    known = [name for name, kind in record.tensors(BELOW) if kind == tensor]
    if known and layer is not None and layer not in known:
        raise ValueError(f"Unknown layer. Received: layer={layer!r}. Expected one of: {', '.join(known)}.")
    found, ax = distribution_data(record, layer=layer, tensor=tensor), ax or axes(3.6, 2.0)
    if not found.shares.size:
        return nothing(ax, "not measured in this run")
    shares = np.where(found.shares > 0, found.shares, np.nan)
    ax.imshow(shares, aspect="auto", cmap="Blues", vmin=-0.15, vmax=1.0, interpolation="none", origin="lower")
    edges = {f"1e{decade:.0f}": row - 0.5 for row, decade in enumerate(found.decades) if decade in LABELLED}
    ax.set_yticks([0, *edges.values()], ["near 0", *edges])
    ticks_of_steps(ax, found.steps)
    return inked(ax)
