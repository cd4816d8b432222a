"""The gradient by depth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from kregtools.record import Record
from kregtools.report.plots.heat import MOST_LABELS
from kregtools.report.style import BAND, FAINT, TRAINING, VALIDATION, axes, decades, inked, label, legend, nothing
from kregtools.symptoms.exploding_gradient import OUT_OF_PROPORTION
from kregtools.symptoms.vanishing_gradient import RATIO

WHEN = {"at first": FAINT, "halfway": VALIDATION, "at the end": TRAINING}


@dataclass(frozen=True)
class Flow:
    """The RMS gradient of kernels by depth, at first, halfway and at the end: medians of a tenth of the samples each.

    Attributes:
        layers: The layers that have a kernel, in forward order.
        gradients: By time, shape `(layers,)`; NaN where not measured.
        band: What is healthy, from the last kernel's gradient: from a thousandth of it to a thousand times as much.
    """

    layers: list[str]
    gradients: dict[str, np.ndarray]
    band: tuple[float, float]


def gradient_flow_data(record: Record) -> Flow:
    """The RMS gradient of every kernel, from the first layer to the last.

    Args:
        record: The record of a run.

    Returns:
        A `Flow`, which is empty where nothing was measured.
    """
    layers, values = record.matrix("kernel", "gradient_rms")
    measured = values[np.isfinite(values).any(axis=1)]
    gradients = _times(measured) if layers and len(measured) else {}
    last = list(gradients.values())[-1][-1] if gradients else np.nan
    return Flow(layers, gradients, (float(last * RATIO), float(last * OUT_OF_PROPORTION)))


def plot_gradient_flow(record: Record, ax: Axes | None = None) -> Axes:
    """Draws the RMS gradient of every kernel, from the first layer to the last.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.

    Returns:
        The axes.
    """
    flow, ax = gradient_flow_data(record), ax or axes(height=2.9)
    depth = np.arange(len(flow.layers))
    positive = {time: np.where(values > 0, values, np.nan) for time, values in flow.gradients.items()}
    if not any(np.isfinite(values).any() for values in positive.values()):
        return nothing(ax, "the gradients are zero" if flow.gradients else "no gradient was measured in this run")
    for time, values in positive.items():
        if np.isfinite(values).any():
            ax.plot(depth, values, color=WHEN[time], marker="o", markersize=2.5, linewidth=1.4, label=time)
    ax.set_yscale("log")
    decades(ax.yaxis)
    if flow.band[0] > 0:
        ax.autoscale(False)
        ax.axhspan(*flow.band, color=BAND, alpha=0.12, linewidth=0, label="healthy")
    step = -(-len(depth) // (MOST_LABELS // 2))
    names = [label(name, 16) for name in flow.layers[::step]]
    ax.set_xticks(depth[::step], names, rotation=40, ha="right", rotation_mode="anchor", parse_math=False)
    ax.set_ylabel("RMS gradient")
    ax.grid(alpha=0.15)
    legend(ax)
    return inked(ax)


def _times(measured: np.ndarray) -> dict[str, np.ndarray]:
    """The medians at first, at the end, and halfway if there is a sample between those."""
    wide = max(1, len(measured) // 10)
    middle = (len(measured) - wide) // 2
    parts = measured[:wide], measured[middle : middle + wide], measured[-wide:]
    least = {"at first": 1, "halfway": 3, "at the end": 2}
    return {time: _median(part) for time, part in zip(WHEN, parts, strict=True) if len(measured) >= least[time]}


def _median(values: np.ndarray) -> np.ndarray:
    known = np.isfinite(values)
    filled = np.where(known.any(axis=0), values, 0.0)
    return np.where(known.any(axis=0), np.nanmedian(filled, axis=0), np.nan)
