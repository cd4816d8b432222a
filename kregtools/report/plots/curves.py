"""Loss and metrics by epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from kregtools.record import Record
from kregtools.report.style import (
    FAINT,
    MARK,
    TRAINING,
    VALIDATION,
    axes,
    decades,
    inked,
    legend,
    nothing,
    spans_decades,
    whole_numbers,
)
from kregtools.report.summary import best_epoch
from kregtools.symptoms import CannotCheckError
from kregtools.symptoms.overfit import Overfit

NOT_METRICS = ("epoch", "step", "learning_rate")
MOST_MARKERS = 40


@dataclass(frozen=True)
class Curve:
    """A metric by epoch; epochs count from 1.

    Attributes:
        metric: Its name in the logs.
        epochs: The epochs, shape `(epochs,)`.
        training: The metric of training, shape `(epochs,)`, NaN where it is not finite.
        validation: That of validation; empty where there is none.
        onset: The epoch after which the run overfits, `None` where it does not.
        best: The epoch with the lowest validation loss, or training loss where there is no validation.
    """

    metric: str
    epochs: np.ndarray
    training: np.ndarray
    validation: np.ndarray
    onset: float | None
    best: int | None


def metrics(record: Record) -> list[str]:
    """The loss first, then every metric that was logged."""
    names = dict.fromkeys(name for entry in record.logs for name in entry if name not in NOT_METRICS)
    return sorted((name for name in names if not name.startswith(("val_", "kreg/"))), key=lambda name: name != "loss")


def curve_data(record: Record, *, metric: str = "loss") -> Curve:
    """A metric by epoch, with the best epoch and the onset of overfitting.

    Args:
        record: The record of a run.
        metric: The name of the metric in the logs. Defaults to `"loss"`.

    Returns:
        A `Curve`; its values are NaN where the metric was not logged.
    """
    validation, best = record.log(f"val_{metric}"), best_epoch(record)
    return Curve(
        metric,
        record.epochs + 1,
        record.log(metric),
        validation if np.isfinite(validation).any() else np.empty(0),
        _onset(record),
        None if best is None else int(record.epochs[best]) + 1,
    )


def plot_curve(record: Record, ax: Axes | None = None, *, metric: str = "loss") -> Axes:
    """Draws a metric by epoch, with the best epoch and the onset of overfitting where there is one.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.
        metric: The name of the metric in the logs. Defaults to `"loss"`.

    Returns:
        The axes.

    Raises:
        ValueError: If no epoch logged the metric.
    """
    known = metrics(record)
    if metric not in ("loss", *known) and record.logs:
        raise ValueError(f"Unknown metric. Received: metric={metric!r}. Expected one of: {', '.join(known)}.")
    curve, ax = curve_data(record, metric=metric), ax or axes()
    if not np.isfinite(curve.training).any() and not curve.validation.size:
        return nothing(ax, f"no finite {metric} in any epoch" if len(curve.epochs) else "no epoch has ended")
    marker = "o" if len(curve.epochs) <= MOST_MARKERS else None
    for values, name, colour in ((curve.training, "training", TRAINING), (curve.validation, "validation", VALIDATION)):
        if values.size:
            # Validation may be measured every few epochs; a training loss that is missing is one that was not finite.
            shown = np.isfinite(values) if name == "validation" else np.ones(len(values), dtype=bool)
            ax.plot(
                curve.epochs[shown],
                values[shown],
                color=colour,
                marker=marker,
                markersize=2.5,
                linewidth=1.4,
                label=name,
            )
    _mark(ax, curve)
    if spans_decades(np.concatenate([curve.training, curve.validation])):
        ax.set_yscale("log")
        decades(ax.yaxis)
    ax.set_xlabel("epoch")
    ax.set_ylabel(metric, parse_math=False)
    ax.grid(alpha=0.15)
    whole_numbers(ax)
    legend(ax)
    return inked(ax)


def _mark(ax: Axes, curve: Curve) -> None:
    if curve.best is not None:
        ax.axvline(curve.best, color=FAINT, linewidth=1, linestyle=":", label=f"best: epoch {curve.best}")
    if curve.onset is not None:
        ax.axvline(curve.onset, color=MARK, linewidth=1, linestyle="--", label=f"overfits after epoch {curve.onset:g}")
    lost = np.flatnonzero(~np.isfinite(curve.training))
    if len(lost):
        first, last = int(curve.epochs[lost[0]]), int(curve.epochs[-1])
        ax.axvspan(first - 0.3, last + 0.3, color=MARK, alpha=0.12, linewidth=0, label=f"not finite from epoch {first}")


def _onset(record: Record) -> float | None:
    try:
        found = Overfit().check(record)
    except CannotCheckError:
        return None
    return None if found is None else found.evidence.get("onset_epoch")
