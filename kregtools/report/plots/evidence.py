"""What a symptom was judged by."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes

from kregtools import symptoms
from kregtools.record import Record
from kregtools.report.style import (
    FAINT,
    INK,
    LINES,
    MARK,
    TRAINING,
    VALIDATION,
    axes,
    decades,
    inked,
    label,
    legend,
    nothing,
    spans_decades,
    whole_numbers,
)
from kregtools.symptoms import Shown, Symptom

MOST_OTHERS = 30
# Of the largest value: what is smaller is drawn at the foot.
DEEPEST = 1e-8
LIMIT, CONSTANT = "limit", "best constant"


@dataclass(frozen=True)
class Evidence:
    """The series that a symptom was judged by.

    Attributes:
        what: What it is, in words.
        along: `"training step"` or `"epoch"`.
        at: The steps or epochs, shape `(points,)`.
        lines: The layers that show the symptom, the worst first, or the losses; each of shape `(points,)`.
        others: The same series of the other layers.
        limits: Levels to compare with, by name.
        began: The step or epoch that first shows the symptom.
    """

    what: str
    along: str
    at: np.ndarray
    lines: dict[str, np.ndarray]
    others: dict[str, np.ndarray] = field(default_factory=dict)
    limits: dict[str, float] = field(default_factory=dict)
    began: float | None = None


def evidence_data(record: Record, symptom: Symptom | None = None) -> Evidence:
    """What a symptom was judged by: the series that its rule names, of its layers; else the losses by epoch.

    Args:
        record: The record of a run.
        symptom: A symptom of its diagnosis. Defaults to `None`: the losses.
    """
    shown = next((rule.shown for rule in symptoms.SYMPTOMS if symptom is not None and rule.name == symptom.name), None)
    found = _by_step(record, symptom, shown) if symptom is not None and shown is not None else None
    return found or _by_epoch(record, symptom)


def plot_evidence(record: Record, ax: Axes | None = None, *, symptom: Symptom | None = None) -> Axes:
    """Draws what a symptom was judged by.

    Args:
        record: The record of a run.
        ax: Axes to draw on. Defaults to `None`, which makes some.
        symptom: A symptom of its diagnosis. Defaults to `None`: the losses.

    Returns:
        The axes.
    """
    evidence, ax = evidence_data(record, symptom), ax or axes(4.1, 2.0)
    every = np.concatenate([np.empty(0), *evidence.lines.values(), *evidence.others.values()])
    if not np.isfinite(every).any():
        return nothing(ax, "no finite value was recorded")
    for values in evidence.others.values():
        ax.plot(*_known(evidence.at, values), color=FAINT, linewidth=0.6, alpha=0.5)
    colours = (TRAINING, VALIDATION) if evidence.along == "epoch" else LINES
    for (name, values), colour in zip(evidence.lines.items(), colours, strict=False):
        at, values = _known(evidence.at, values)
        marker = "o" if len(at) <= 12 else None
        ax.plot(at, values, color=colour, linewidth=1.4, marker=marker, markersize=2.5, label=label(name) or None)
    for name, level in evidence.limits.items():
        ax.axhline(level, color=MARK if name == LIMIT else INK, linewidth=1, linestyle=":", label=f"{name} {level:.3g}")
    if evidence.began is not None:
        ax.axvline(evidence.began, color=MARK, linewidth=1, linestyle="--")
    if spans_decades(every):
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(ax.get_ylim()[0], float(np.nanmax(every)) * DEEPEST))
        decades(ax.yaxis)
    ax.set_xlabel(evidence.along)
    ax.set_ylabel(evidence.what, parse_math=False)
    whole_numbers(ax)
    legend(ax, beside=len(evidence.lines) > 2)
    return inked(ax)


def _by_step(record: Record, symptom: Symptom, shown: Shown) -> Evidence | None:
    layers, values = record.matrix(shown.tensor, shown.statistic)
    if shown.whole is not None and layers:
        values = values / record.matrix(shown.tensor, shown.whole)[1]
    if not np.isfinite(values).any():
        return None
    columns = dict(zip(layers, values.T, strict=True))
    marked = [name for name in symptom.layers if name in columns] or ([""] if "" in columns else [])
    chosen = _spread_out(marked, len(LINES))
    others = [name for name in columns if name not in marked]
    limit = symptom.evidence.get("threshold") if shown.limited else None
    return Evidence(
        shown.label,
        "training step",
        record.steps,
        {name: columns[name] for name in chosen or _spread_out(others, 2)},
        {name: columns[name] for name in _spread_out(others, MOST_OTHERS)} if chosen else {},
        {} if limit is None else {LIMIT: limit},
        None if symptom.first_step is None else float(symptom.first_step),
    )


def _by_epoch(record: Record, symptom: Symptom | None) -> Evidence:
    curves = {"training": record.log("loss"), "validation": record.log("val_loss")}
    evidence = {} if symptom is None else symptom.evidence
    began = evidence.get("onset_epoch")
    if began is None and symptom is not None and symptom.first_step is not None and record.logs:
        ends = np.array([entry["step"] for entry in record.logs])
        began = float(record.epochs[min(int(np.searchsorted(ends, symptom.first_step)), len(ends) - 1)] + 1)
    constant = evidence.get("constant_loss")
    return Evidence(
        "loss",
        "epoch",
        record.epochs + 1,
        {name: values for name, values in curves.items() if np.isfinite(values).any()},
        limits={} if constant is None else {CONSTANT: constant},
        began=began,
    )


def _spread_out(names: list[str], most: int) -> list[str]:
    """Some of the names: the first, the last, and those between at even distances."""
    chosen = np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).astype(int)) if names else []
    return [names[index] for index in chosen]


def _known(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    # Not every sample measures everything: the line goes on to the next that did.
    known = np.isfinite(values)
    return at[known], values[known]
