"""A statistic of every layer over time, with the healthy band drawn.

The bands are for orientation, and the symptoms judge by more than them: a layer may be outside and well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm, Normalize

from kregtools.causes.bad_init import SPREAD
from kregtools.causes.lr_too_low import TINY
from kregtools.record import Record
from kregtools.report.style import INK, WIDTH, axes, decades, inked, label, nothing
from kregtools.symptoms.dead_relu import SHARE
from kregtools.symptoms.exploding_gradient import LEAST_NORM
from kregtools.symptoms.large_update import RATIO
from kregtools.symptoms.vanishing_gradient import FLOOR

MOST_LABELS = 24
MOST_COLUMNS = 100
BAR_WIDTH = 0.13
# From the band's edges outwards, colours that are told apart by those who see no red or green.
BELOW, ABOVE = ("#0b3c6f", "#4d93cf", "#c3dbee"), ("#f4d9a8", "#dd8a33", "#8f2c0c")
HEALTHY = ("#e4ecea", "#cfe3d8", "#efece2")
# How far beyond the band the colours go.
REACH = 1e4


@dataclass(frozen=True)
class Heat:
    """A statistic of layers over time.

    Attributes:
        title: What it is.
        layers: The layers that have it, in forward order.
        steps: The sampled steps, shape `(samples,)`; of many samples, one of each block.
        values: Shape `(layers, samples)`, NaN where not measured.
        band: The lower and the upper end of what is healthy.
        log: Whether it is read by orders of magnitude.
    """

    title: str
    layers: list[str]
    steps: np.ndarray
    values: np.ndarray
    band: tuple[float, float]
    log: bool = True


def activation_std_data(record: Record) -> Heat:
    """The standard deviation of every layer's output.

    Args:
        record: The record of a run.

    Returns:
        A `Heat`, whose arrays are empty where nothing was measured.
    """
    layers, values = record.matrix("activation", "std")
    return _heat("Standard deviation of activations", record, layers, values, (1 / SPREAD, SPREAD))


def dead_fraction_data(record: Record) -> Heat:
    """The share of units of every ReLU layer that are off for every row.

    Args:
        record: The record of a run.

    Returns:
        A `Heat`, whose arrays are empty where nothing was measured.
    """
    layers, dead = record.matrix("activation", "dead_units")
    values = dead / record.matrix("activation", "units")[1] if layers else dead
    return _heat("Share of units that are off for every row", record, layers, values, (0.0, SHARE), log=False)


def gradient_norm_data(record: Record) -> Heat:
    """The norm of every kernel's gradient.

    Args:
        record: The record of a run.

    Returns:
        A `Heat`, whose arrays are empty where nothing was measured.
    """
    layers, values = record.matrix("kernel", "gradient_norm")
    return _heat("Gradient norm of kernels", record, layers, values, (FLOOR, LEAST_NORM))


def update_ratio_data(record: Record) -> Heat:
    """The norm of every kernel's update over that of the kernel.

    Args:
        record: The record of a run.

    Returns:
        A `Heat`, whose arrays are empty where nothing was measured.
    """
    layers, values = record.matrix("kernel", "update_ratio")
    return _heat("Update of kernels over their norm", record, layers, values, (TINY, RATIO))


def plot_activation_std(record: Record, ax: Axes | None = None) -> Axes:
    """Draws the standard deviation of every layer's output over time.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.

    Returns:
        The axes.
    """
    return _plot(activation_std_data(record), ax)


def plot_dead_fraction(record: Record, ax: Axes | None = None) -> Axes:
    """Draws the share of dead ReLU units of every layer over time.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.

    Returns:
        The axes.
    """
    return _plot(dead_fraction_data(record), ax)


def plot_gradient_norm(record: Record, ax: Axes | None = None) -> Axes:
    """Draws the norm of every kernel's gradient over time.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.

    Returns:
        The axes.
    """
    return _plot(gradient_norm_data(record), ax)


def plot_update_ratio(record: Record, ax: Axes | None = None) -> Axes:
    """Draws the relative size of every kernel's update over time.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.

    Returns:
        The axes.
    """
    return _plot(update_ratio_data(record), ax)


def _heat(
    title: str, record: Record, layers: list[str], values: np.ndarray, band: tuple[float, float], log: bool = True
) -> Heat:
    measured = np.isfinite(values).any(axis=1)
    steps, values = record.steps[measured], values[measured]
    stride = math.ceil(max(len(steps), 1) / MOST_COLUMNS)
    return Heat(title, layers, steps[::stride], values[::stride].T, band, log)


def _plot(heat: Heat, ax: Axes | None) -> Axes:
    if not heat.values.size:
        return nothing(ax or axes(height=1.2), "not measured in this run")
    height = 0.17 * min(max(len(heat.layers), 7), MOST_LABELS)
    ax = ax or axes(WIDTH, 0.8 + height)
    shown = np.where(heat.values > 0, heat.values, np.nan) if heat.log else heat.values
    norm = _norm(heat, shown)
    image = ax.imshow(shown, aspect="auto", norm=norm, cmap=_colours(norm, heat.band), interpolation="none")
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01, aspect=height / BAR_WIDTH)
    _draw_band(bar.ax, heat, norm)
    ticks_of_layers(ax, heat.layers)
    ticks_of_steps(ax, heat.steps)
    inked(ax)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def ticks_of_layers(ax: Axes, layers: list[str]) -> None:
    """Names the rows, of many layers every few."""
    rows = range(0, len(layers), math.ceil(len(layers) / MOST_LABELS))
    ax.set_yticks(list(rows), [label(layers[row]) for row in rows], parse_math=False)


def ticks_of_steps(ax: Axes, steps: np.ndarray) -> None:
    """Names some of the columns by their step."""
    columns = np.unique(np.linspace(0, len(steps) - 1, 6).astype(int))
    ax.set_xticks(columns, [str(steps[column]) for column in columns])
    ax.set_xlabel("training step")


def _norm(heat: Heat, shown: np.ndarray) -> Normalize:
    if not heat.log:
        return Normalize(0.0, 1.0)
    (low, high), known = heat.band, shown[np.isfinite(shown)]
    least, most = (known.min(), known.max()) if known.size else (low, high)
    return LogNorm(max(min(least, low / 3), low / REACH), min(max(most, high * 3), high * REACH))


def _colours(norm: Normalize, band: tuple[float, float]) -> LinearSegmentedColormap:
    low, high = (float(np.clip(norm(edge), 0.0, 1.0)) for edge in band)
    below = zip(np.linspace(0, low, 3), BELOW, strict=True) if low > 0 else ()
    above = zip(np.linspace(high, 1, 3), ABOVE, strict=True)
    healthy = zip(np.linspace(low, high, 3), HEALTHY, strict=True)
    nodes = [*below, *healthy, *above]
    return LinearSegmentedColormap.from_list("band", nodes)


def _draw_band(bar: Axes, heat: Heat, norm: Normalize) -> None:
    low, high = max(heat.band[0], float(norm.vmin or 0.0)), heat.band[1]
    for edge in (low, high):
        bar.axhline(edge, color=INK, linewidth=1)
    middle = math.sqrt(low * high) if heat.log else (low + high) / 2
    bar.text(0.5, middle, "healthy", transform=bar.get_yaxis_transform(), rotation=90, ha="center", va="center",
             fontsize="x-small", color=INK)  # fmt: skip
    bar.tick_params(colors=INK, labelsize="x-small", length=2)
    if heat.log:
        decades(bar.yaxis)
    bar.minorticks_off()
