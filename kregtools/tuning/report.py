"""The report of a search: one HTML file that needs no other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes

from kregtools.report.page import check_place, rendered, write_page
from kregtools.report.style import FAINT, INK, LINES, MARK, axes, inked, legend, nothing, whole_numbers
from kregtools.report.svg import Drawings
from kregtools.tuning.display import short

if TYPE_CHECKING:
    from kregtools.tuning.result import TuningResult

COLOURS = {"overfit": LINES[1], "hasty": MARK, "diverged": MARK, "slow": LINES[0], "balanced": LINES[3]}


def write_report(result: TuningResult, path: Path) -> Path:
    """Writes the report of a search."""
    check_place(path, "report")
    frame, objective, drawings = result.frame(), result.tuner.oracle.objective.name, Drawings()
    names = [name for name in result.names() if name in frame]
    done = frame[frame["status"] == "completed"] if len(frame) else frame
    shown = ["trial", *names, "status", "best_epoch", "epochs", "val_loss", objective, "gap", "seconds"]
    shown = list(dict.fromkeys(name for name in shown if name in frame))
    text = rendered(
        "search.html",
        sections=[("trials", "Trials"), ("why", "Why"), ("curves", "Curves")],
        objective=objective,
        sentence=_sentence(result, done, objective),
        facts=_facts(result, frame),
        columns=[name.replace("_", " ") for name in shown],
        rows=[[_said(value) for value in row] for row in frame[shown].itertuples(index=False)] if len(frame) else [],
        reasons=[
            tuple(_said(row.get(name)) for name in ("trial", "why", "verdict", "reason"))
            for row in frame.to_dict("records")
        ],
        parallel=_drawn(drawings, parallel_coordinates(done, names, objective), "parallel coordinates", len(done)),
        drawings=[
            (f"{objective} by epoch, coloured by verdict", drawings.svg(curves(result, frame, objective), "curves")),
            ("Best so far, by epochs spent", drawings.svg(progress(result, frame, objective), "progress")),
            ("How far each hyperparameter tells the score", drawings.svg(importance(result), "importance")),
        ],
    )
    return write_page(path, "report", text)


def parallel_coordinates(done: pd.DataFrame, names: list[str], objective: str, ax: Axes | None = None) -> Axes:
    """A line a trial through its hyperparameters, each scaled to its own range, and its score."""
    ax = ax or axes(9.0, 3.0)
    columns = [*names, objective]
    if not len(done):
        return nothing(ax, "no trial ended with a finite loss")
    for (_, row), rank in zip(done.iterrows(), done[objective].rank(pct=True), strict=True):
        heights = [_height(done[name], row[name]) for name in columns]
        places = np.flatnonzero(np.isfinite(heights))
        ax.plot(places, np.take(heights, places), color=LINES[0], alpha=0.15 + 0.85 * rank**3, lw=1.2)
    for place, name in enumerate(columns):
        low, high = _ends(done[name])
        ax.text(place, -0.04, low, ha="center", va="top", fontsize="x-small", color=INK)
        ax.text(place, 1.04, high, ha="center", va="bottom", fontsize="x-small", color=INK)
    ax.set_xticks(range(len(columns)), [name.replace("_", " ") for name in columns])
    ax.set_yticks([])
    ax.set_ylim(-0.15, 1.15)
    return inked(ax)


def curves(result: TuningResult, frame: pd.DataFrame, objective: str, ax: Axes | None = None) -> Axes:
    """The objective of every trial by epoch, in the colour of its verdict."""
    ax, table = ax or axes(), result.curves()
    if objective not in table:
        return nothing(ax, "no trial has ended")
    verdicts = dict(zip(frame["trial"], frame.get("verdict", pd.Series(dtype=str)), strict=False))
    named: set[str] = set()
    for trial, rows in table.groupby("trial"):
        verdict = str(verdicts.get(trial, ""))
        label = None if verdict in named else verdict
        named.add(verdict)
        ax.plot(rows["epoch"], rows[objective], color=COLOURS.get(verdict, FAINT), lw=1, alpha=0.8, label=label)
    ax.set_xlabel("epoch")
    whole_numbers(ax)
    legend(ax, beside=True)
    return inked(ax)


def progress(result: TuningResult, frame: pd.DataFrame, objective: str, ax: Axes | None = None) -> Axes:
    """What the best trial so far lacks to the best of the search, by the epochs spent."""
    ax = ax or axes()
    if objective not in frame or not frame[objective].notna().any():
        return nothing(ax, "no trial ended with a finite loss")
    sign = 1 if result.tuner.oracle.objective.direction == "max" else -1
    scores = sign * frame[objective].where(frame["status"] == "completed")
    ax.step(frame["epochs"].fillna(0).cumsum(), scores.max() - scores.cummax(), where="post", color=LINES[0])
    ax.set_xlabel("epochs spent")
    ax.set_ylabel(f"regret in {objective}")
    return inked(ax)


def importance(result: TuningResult, ax: Axes | None = None) -> Axes:
    """The squared rank correlation of each hyperparameter with the score."""
    ax, found = ax or axes(), result.importance()
    if not found:
        return nothing(ax, "too few trials")
    ax.barh([name.replace("_", " ") for name in reversed(found)], list(reversed(found.values())), color=LINES[0])
    ax.set_xlim(0, 1)
    return inked(ax)


def _drawn(drawings: Drawings, ax: Axes, title: str, count: int) -> Markup | None:
    return drawings.svg(ax, title) if count else None


def _sentence(result: TuningResult, done: pd.DataFrame, objective: str) -> str:
    if not result.found:
        return f"{len(done)} trials, none with a finite loss"
    mean, runs = result.best_mean()
    score = f"{objective} {mean:.4f}" + (f", the mean of {runs} seeds" if runs > 1 else ", of one seed")
    return f"Trial {result.best_row()['trial']} is the best of {len(result.frame())}: {score}"


def _facts(result: TuningResult, frame: pd.DataFrame) -> str:
    if "epochs" not in frame:
        return "no trial has ended"
    told = f"{int(frame['epochs'].sum())} epochs, {frame['seconds'].sum() / 60:.1f} minutes of training"
    if result.test:
        told += "; test: " + ", ".join(f"{name} {value:.4f}" for name, value in result.test.items())
    return told


def _height(column: pd.Series, value: object) -> float:
    if value is None or value != value:
        return np.nan  # a conditional hyperparameter has no place in a trial that did not ask for it
    column = column.dropna()
    if column.dtype.kind not in "iuf":
        kinds = sorted(map(str, column.unique()))
        return kinds.index(str(value)) / max(len(kinds) - 1, 1)
    values = _scaled(column.to_numpy(float))
    here = values[int(np.argmin(abs(column.to_numpy(float) - float(value))))]  # pyright: ignore[reportArgumentType]
    return float((here - values.min()) / ((values.max() - values.min()) or 1))


def _scaled(values: np.ndarray) -> np.ndarray:
    positive = values[values > 0]
    if len(positive) and values.min() >= 0 and positive.max() / positive.min() > 100:
        return np.log10(np.maximum(values, positive.min() / 10))
    return values


def _ends(column: pd.Series) -> tuple[str, str]:
    column = column.dropna()
    if not len(column):
        return "", ""
    if column.dtype.kind not in "iuf":
        kinds = sorted(map(str, column.unique()))
        return kinds[0], kinds[-1]
    return short(float(column.min())), short(float(column.max()))


def _said(value: object) -> str:
    return "" if value is None or (isinstance(value, float) and np.isnan(value)) else short(value)
