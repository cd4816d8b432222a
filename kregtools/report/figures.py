"""The numbers of each figure of a report, and the figure drawn from them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record

TRAINING, VALIDATION, ONSET = "#3b7dd8", "#e07b00", "#c2255c"
# Drawn in this colour, and turned into the page's own text colour in `html.py`.
INK = "#010203"
MOST_LABELS = 24


class Curve(NamedTuple):
    """A metric by epoch, counted from 1; `validation` is empty where there is none."""

    metric: str
    epochs: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    onset: float | None


class Profile(NamedTuple):
    """A statistic of every layer at every sampled step; `values` has the shape `(layers, samples)`."""

    title: str
    layers: list[str]
    steps: np.ndarray
    values: np.ndarray


PROFILES = (
    ("activation", "std", "Standard deviation of activations"),
    ("kernel", "gradient_rms", "RMS gradient of kernels"),
    ("kernel", "update_ratio", "Update of kernels over their norm"),
)


def curves_data(record: Record, diagnosis: Diagnosis) -> list[Curve]:
    """The loss first, then every metric that was logged in each epoch."""
    names = dict.fromkeys(name for entry in record.logs for name in entry if name not in ("epoch", "step"))
    metrics = [name for name in names if not name.startswith(("val_", "kreg/")) and name != "learning_rate"]
    onset = next((s.evidence["onset_epoch"] for s in diagnosis.symptoms if s.name == "overfit"), None)
    return [
        Curve(name, record.epochs + 1, record.log(name), _absent_if_empty(record.log(f"val_{name}")), onset)
        for name in sorted(metrics, key=lambda name: name != "loss")
    ]


def profiles_data(record: Record) -> list[Profile]:
    """The profiles that the record holds."""
    profiles = []
    for tensor, statistic, title in PROFILES:
        layers, values = record.matrix(tensor, statistic)
        if layers and len(values):
            profiles.append(Profile(title, layers, record.steps, values.T))
    return profiles


def plot_curve(curve: Curve, ax: Axes | None = None) -> Axes:
    """Draws a metric by epoch, with the onset of overfitting where there is one."""
    ax = ax or _axes(5.2, 3.0)
    ax.plot(curve.epochs, curve.training, color=TRAINING, marker="o", markersize=3, label="training")
    if curve.validation.size:
        ax.plot(curve.epochs, curve.validation, color=VALIDATION, marker="o", markersize=3, label="validation")
    if curve.onset is not None:
        ax.axvline(
            curve.onset,
            color=ONSET,
            linestyle="--",
            linewidth=1,
            label=f"overfits after epoch {curve.onset:g}",
        )
    ax.set_xlabel("epoch")
    ax.set_ylabel(curve.metric, parse_math=False)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.grid(alpha=0.2)
    ax.legend(frameon=False, labelcolor=INK, fontsize="small")
    return _inked(ax)


def plot_profile(profile: Profile, ax: Axes | None = None) -> Axes:
    """Draws a statistic over layers and time, on a logarithmic colour scale."""
    ax = ax or _axes(7.6, 0.9 + 0.2 * min(len(profile.layers), MOST_LABELS))
    positive = np.where(profile.values > 0, profile.values, np.nan)
    known = positive[np.isfinite(positive)]
    low, high = (known.min(), known.max()) if known.size else (0.1, 1.0)
    norm = LogNorm(low, high if high > low else low * 10)
    image = ax.imshow(positive, aspect="auto", norm=norm, cmap="viridis", interpolation="nearest")
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01)
    bar.ax.tick_params(colors=INK, labelsize="x-small")
    stride = math.ceil(len(profile.layers) / MOST_LABELS)
    rows = range(0, len(profile.layers), stride)
    ax.set_yticks(list(rows), [profile.layers[row] for row in rows], parse_math=False, fontsize="small")
    columns = np.unique(np.linspace(0, len(profile.steps) - 1, 8).astype(int))
    ax.set_xticks(columns, [str(profile.steps[column]) for column in columns], fontsize="small")
    ax.set_xlabel("training step", fontsize="small")
    return _inked(ax)


def _axes(width: float, height: float) -> Axes:
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def _inked(ax: Axes) -> Axes:
    ax.tick_params(colors=INK)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    for spine in ax.spines.values():
        spine.set_color(INK)
        spine.set_alpha(0.4)
    return ax


def _absent_if_empty(values: np.ndarray) -> np.ndarray:
    return values if np.isfinite(values).any() else np.empty(0)
