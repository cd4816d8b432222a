"""Two runs side by side."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record
from kregtools.record.journal import jsonable
from kregtools.report import plots
from kregtools.report.html import HEATS
from kregtools.report.page import rendered, write_page
from kregtools.report.style import TRAINING, VALIDATION, axes, decades, inked, legend, spans_decades, whole_numbers
from kregtools.report.summary import best_epoch, sentence, summary
from kregtools.report.svg import Drawings
from kregtools.report.text import STYLES

MOST_DIFFERENCES = 60
MOST_NAMES = 8
LARGEST_COUNT = 1e9
# The number that Keras puts after the name of a layer or a model without one.
COUNTED = re.compile(r"_\d+\b")
# Of a layer, what follows from the rest.
NOT_SETTINGS = ("name", "inbound", "takes_input", "parameters", "weights", "kernel_initializer")
# Facts that say how a run was set up; the others say how it went.
SETTINGS = ("model", "optimizer", "losses", "compile", "fit", "seed", "versions", "platform")


class Judged(Protocol):
    """A run with its record and its diagnosis."""

    @property
    def record(self) -> Record: ...

    @property
    def diagnosis(self) -> Diagnosis: ...


@dataclass(frozen=True)
class Side:
    """One of two runs."""

    name: str
    record: Record
    diagnosis: Diagnosis

    @property
    def verdict(self) -> str:
        return self.diagnosis.verdict

    @property
    def sentence(self) -> str:
        return sentence(self.diagnosis)

    @property
    def best(self) -> dict[str, float]:
        """The logs of the best epoch."""
        index = best_epoch(self.record)
        return {} if index is None else self.record.logs[index]


@dataclass(frozen=True)
class Comparison:
    """Two runs, and what differs.

    Attributes:
        sides: The two runs.
        numbers: A name, and the value of each, of what was logged in the best epoch.
        differences: A setting, and its value in each; only where they differ.
    """

    sides: tuple[Side, Side]
    numbers: list[tuple[str, float | None, float | None]]
    differences: list[tuple[str, str, str]]

    @property
    def sentence(self) -> str:
        """What comes out of it."""
        a, b = self.sides
        if a.verdict != b.verdict:
            return f"A is {a.verdict}, B is {b.verdict}."
        which = "val_loss" if "val_loss" in a.best and "val_loss" in b.best else "loss"
        losses = {side.best[which]: letter for letter, side in zip("AB", self.sides, strict=True) if which in side.best}
        if len(losses) < 2:
            return f"Both are {a.verdict}."
        low, high = sorted(losses)
        return f"Both are {a.verdict}; the {which} of {losses[low]} is lower: {low:.4g} to {high:.4g}."

    def as_dict(self) -> dict[str, Any]:
        """The comparison as plain values, ready for JSON."""
        found: dict[str, Any] = {
            "sentence": self.sentence,
            "runs": {side.name: summary(side.record, side.diagnosis) for side in self.sides},
            "numbers": {name: [a, b] for name, a, b in self.numbers},
            "differences": {name: [a, b] for name, a, b in self.differences},
        }
        return jsonable(found)


def comparison(runs: Mapping[str, tuple[Record, Diagnosis] | Judged]) -> Comparison:
    """Compares two runs.

    Args:
        runs: Each run by its name: what `kregtools.load` returns, a monitor, or a record and its diagnosis.

    Returns:
        A `Comparison`, for `write_comparison`.

    Raises:
        ValueError: If there are not two.

    Example:

    >>> compared = kregtools.report.comparison({name: kregtools.load(f"runs/{name}") for name in ("a", "b")})
    >>> kregtools.report.write_comparison("compare.html", compared)
    """
    if len(runs) != 2:
        raise ValueError(f"Two runs are compared. Received: {', '.join(runs) or 'none'}. Expected two, by name.")
    a, b = (Side(name, *(run if isinstance(run, tuple) else (run.record, run.diagnosis))) for name, run in runs.items())
    sides = a, b
    return Comparison(sides, list(_numbers(*sides)), list(_differences(*sides)))


def write_comparison(path: str | Path, compared: Comparison) -> Path:
    """Writes a comparison, one HTML file.

    Args:
        path: Where it is written.
        compared: What `comparison` returned.

    Returns:
        The path.

    Raises:
        OSError: If it is no place for a file.
    """
    drawings = Drawings()
    sections = [("numbers", "Numbers"), ("findings", "Findings"), ("settings", "Settings"), ("curves", "Curves")]
    text = rendered(
        "compare.html",
        sections=[*sections, ("layers", "Layers")],
        sentence=compared.sentence,
        sides=compared.sides,
        numbers=[(name, _shown(a), _shown(b)) for name, a, b in compared.numbers],
        differences=compared.differences[:MOST_DIFFERENCES],
        more=max(len(compared.differences) - MOST_DIFFERENCES, 0),
        curves=list(_curves(compared, drawings)),
        heats=list(_heats(compared, drawings)),
    )
    return write_page(path, "comparison", text)


def comparison_table(compared: Comparison) -> RenderableType:
    """The comparison for the terminal."""
    table = Table("")
    for letter, side in zip("AB", compared.sides, strict=True):
        table.add_column(Text(f"{letter}: {side.name}"))
    table.add_row("verdict", *(Text(side.verdict, STYLES[side.verdict]) for side in compared.sides))
    table.add_row("findings", *(Text(", ".join(_names(side)) or "none") for side in compared.sides))
    table.add_section()
    for name, a, b in compared.numbers:
        table.add_row(Text(name), _shown(a), _shown(b))
    if compared.differences:
        table.add_section()
    for name, a, b in compared.differences[:MOST_DIFFERENCES]:
        table.add_row(Text(name), Text(a), Text(b))
    return Group(Text(compared.sentence, "bold"), table)


# ---- what differs


def _numbers(a: Side, b: Side) -> Iterator[tuple[str, float | None, float | None]]:
    first, second = (side.best["epoch"] + 1 if side.best else None for side in (a, b))
    yield "best epoch", first, second
    for name in dict.fromkeys([*a.best, *b.best]):
        if name not in ("epoch", "step"):
            yield name, a.best.get(name), b.best.get(name)
    yield "epochs", float(len(a.record.logs)), float(len(b.record.logs))


def _differences(a: Side, b: Side) -> Iterator[tuple[str, str, str]]:
    layers = _matched(_layers(a.record), _layers(b.record))
    alone = [[name for name in layers[i] if name not in layers[1 - i]] for i in (0, 1)]
    if any(alone):
        yield "layers only here", _listed(alone[0]), _listed(alone[1])
    settings = []
    for side, own, without in zip((a, b), layers, alone, strict=True):
        facts: dict[str, Any] = {name: side.record.facts.get(name) for name in SETTINGS}
        shared = {f"{name}:": settings for name, settings in own.items() if name not in without}
        settings.append(dict(_flat({**facts, "layer": shared})))
    for name in dict.fromkeys([*settings[0], *settings[1]]):
        first, second = (_said(found.get(name)) for found in settings)
        if COUNTED.sub("", first) != COUNTED.sub("", second):
            yield name, first, second


Layers = dict[str, dict[str, Any]]


def _matched(first: Layers, second: Layers) -> tuple[Layers, Layers]:
    """The layers of both, by the names of the first where the others differ only in what Keras counts."""
    kinds = [[(COUNTED.sub("", name), layer.get("class")) for name, layer in own.items()] for own in (first, second)]
    if kinds[0] == kinds[1]:
        second = dict(zip(first, second.values(), strict=True))
    return first, second


def _layers(record: Record) -> Layers:
    layers = record.facts.get("layers") or []
    return {
        str(layer.get("name")): {name: value for name, value in layer.items() if name not in NOT_SETTINGS}
        for layer in layers
    }


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested facts, each by its path."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _flat(item, f"{path} {name}".strip())
    elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
        for index, item in enumerate(value):
            yield from _flat(item, f"{path} {index}" if len(value) > 1 else path)
    else:
        yield path, value


def _said(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "none" if value is None else str(value)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more if names else "none"


def _names(side: Side) -> list[str]:
    return [symptom.name for symptom in side.diagnosis.symptoms]


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < LARGEST_COUNT else f"{value:.4g}"


# ---- drawings


def _curves(compared: Comparison, drawings: Drawings) -> Iterator[tuple[str, Markup]]:
    for metric in dict.fromkeys(metric for side in compared.sides for metric in plots.metrics(side.record)):
        ax, every = axes(), []
        for letter, side, colour in zip("AB", compared.sides, (TRAINING, VALIDATION), strict=True):
            curve = plots.curve_data(side.record, metric=metric)
            for values, name, style in ((curve.training, "training", "-"), (curve.validation, "validation", "--")):
                if values.size and np.isfinite(values).any():
                    ax.plot(curve.epochs, values, style, color=colour, linewidth=1.4, label=f"{letter} {name}")
                    every.append(values)
        if every and spans_decades(np.concatenate(every)):
            ax.set_yscale("log")
            decades(ax.yaxis)
        ax.set_xlabel("epoch")
        ax.grid(alpha=0.15)
        whole_numbers(ax)
        legend(ax)
        yield metric, drawings.svg(inked(ax), f"{metric} of both runs by epoch")


def _heats(compared: Comparison, drawings: Drawings) -> Iterator[tuple[str, list[Markup]]]:
    for data, plot in HEATS:
        heats = [data(side.record) for side in compared.sides]
        if any(heat.values.size for heat in heats):
            yield (
                heats[0].title,
                [
                    drawings.svg(plot(side.record), f"{heats[0].title} of {letter}")
                    for letter, side in zip("AB", compared.sides, strict=True)
                ],
            )
