"""The variance of BatchNormalization in training over that of inference."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from kregtools.record import Record
from kregtools.report.plots.heat import ticks_of_layers
from kregtools.report.style import BAND, FAINT, MARK, TRAINING, WIDTH, axes, inked, legend, nothing
from kregtools.symptoms.variance_shift import RATIO


@dataclass(frozen=True)
class Shift:
    """What was measured of every BatchNormalization.

    Attributes:
        layers: The layers, in forward order.
        steps: The steps at which they were measured, shape `(measurements,)`.
        ratios: Moving variance over the variance without dropout, shape `(layers, measurements)`.
        band: What is healthy.
    """

    layers: list[str]
    steps: np.ndarray
    ratios: np.ndarray
    band: tuple[float, float]


def variance_shift_data(record: Record) -> Shift:
    """The variance ratio of every BatchNormalization, each time it was measured.

    Args:
        record: The record of a run.

    Returns:
        A `Shift`, whose arrays are empty where nothing was measured.
    """
    layers, ratios = record.matrix("moving_variance", "variance_ratio")
    measured = np.isfinite(ratios).any(axis=1)
    return Shift(layers, record.steps[measured], ratios[measured].T, (1 / RATIO, RATIO))


def plot_variance_shift(record: Record, ax: Axes | None = None) -> Axes:
    """Draws the variance ratio of every BatchNormalization: at the last measurement, and the range of all.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.

    Returns:
        The axes.
    """
    shift = variance_shift_data(record)
    if not shift.ratios.size:
        return nothing(ax or axes(height=1.2), "not measured in this run")
    ax = ax or axes(WIDTH, 1.1 + 0.22 * min(len(shift.layers), 24))
    rows = np.arange(len(shift.layers))
    ax.axvspan(*shift.band, color=BAND, alpha=0.12, linewidth=0, label="healthy")
    ax.axvline(1.0, color=FAINT, linewidth=1)
    ax.hlines(rows, np.nanmin(shift.ratios, axis=1), np.nanmax(shift.ratios, axis=1), color=FAINT, label="all measured")
    last = np.array([row[np.isfinite(row)][-1] for row in shift.ratios])
    inside = (last >= shift.band[0]) & (last <= shift.band[1])
    ax.scatter(last[inside], rows[inside], color=TRAINING, s=16, zorder=3, label="last")
    ax.scatter(last[~inside], rows[~inside], color=MARK, s=18, marker="D", zorder=3, label="last, outside")
    ax.set_xscale("log")
    ticks = np.array([0.25, 0.5, 0.8, 1, 1.25, 2, 4, 8])
    low, high = min(np.nanmin(shift.ratios), 0.75), max(np.nanmax(shift.ratios), 1.3)
    ax.set_xlim(low / 1.05, high * 1.05)
    ax.set_xticks(ticks[(ticks >= low) & (ticks <= high)])
    ax.xaxis.set_major_formatter("{x:g}")
    ax.minorticks_off()
    ticks_of_layers(ax, shift.layers)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel("moving variance over the variance without dropout")
    legend(ax)
    return inked(ax)
