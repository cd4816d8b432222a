"""A diagnosis for the terminal."""

from __future__ import annotations

import io
import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.syntax import Syntax
from rich.text import Text

from kregtools.causes import Cause
from kregtools.symptoms import Symptom

if TYPE_CHECKING:
    from kregtools.diagnosis import Diagnosis

WIDTH = 100
STYLES = {
    "healthy": "bold green",
    "overfit": "bold yellow",
    "underfit": "bold yellow",
    "sick": "bold red",
    "undetermined": "bold",
    "critical": "red",
    "warning": "yellow",
    "info": "cyan",
}

# What an epoch's line says of what monitors add to the logs, and how.
IN_LINE = {
    "kreg/grad_norm": ("gradient", ".2g"),
    "kreg/update_ratio": ("update", ".1e"),
    "kreg/dead_units": ("dead", ".0%"),
    "kreg/generalization_gap": ("gap", "+.2g"),
}


def diagnosis_text(diagnosis: Diagnosis) -> RenderableType:
    """The diagnosis as something rich can print: the verdict, what was found, why, what to change."""
    outlook = [Text(diagnosis.outlook)] if diagnosis.outlook else []
    return Group(headline(diagnosis), *outlook, *_findings(diagnosis), *_unchecked(diagnosis))


def headline(diagnosis: Diagnosis) -> Text:
    """The verdict in one line."""
    line = Text.assemble("kregtools: ", (diagnosis.verdict, STYLES[diagnosis.verdict]))
    found = ", ".join(symptom.name for symptom in diagnosis.symptoms) or "nothing found"
    ran, all_checks = diagnosis.coverage
    return line.append(f" ({found}; {ran} of {all_checks} checks ran)", "default")


def plain(diagnosis: Diagnosis) -> str:
    """The diagnosis as text without colours."""
    file = io.StringIO()
    console = Console(file=file, width=WIDTH, color_system=None)
    console.print(diagnosis_text(diagnosis))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def epoch_line(
    epoch: str, values: Mapping[str, float], diagnosis: Diagnosis, new: Collection[Symptom]
) -> RenderableType:
    """What an epoch showed, in one line, and a line for each new finding.

    Args:
        epoch: Which epoch, as `3/30`.
        values: What monitors add to the logs; what is NaN is left out.
        diagnosis: The diagnosis so far.
        new: The symptoms that were not there before.
    """
    line = Text.assemble(("kregtools", "bold"), f" {epoch}")
    for name, (said, form) in IN_LINE.items():
        value = values.get(name, math.nan)
        if math.isfinite(value):
            line.append(f"  {said} ", "dim").append(format(value, form))
    line.append("  | ", "dim")
    for symptom in diagnosis.symptoms:
        line.append(f"{symptom.name} ", STYLES[symptom.severity])
    if not diagnosis.symptoms:
        line.append("nothing found", "green")
    told = [Text.assemble("  new: ", (s.name, STYLES[s.severity]), f": {s.message}") for s in new]
    return Text("\n").join([line, *told])


def _findings(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    for symptom in diagnosis.symptoms:
        yield Text()
        yield from _symptom(symptom)
        for cause in diagnosis.causes:
            if cause.explains and cause.explains[0] == symptom.name:
                yield from _cause(cause)


def _symptom(symptom: Symptom) -> Iterator[RenderableType]:
    yield Text.assemble((symptom.name, STYLES[symptom.severity]), f"  {symptom.severity}")
    yield Padding(Text(symptom.message), (0, 0, 0, 2))


def _cause(cause: Cause) -> Iterator[RenderableType]:
    also = f", explains also {', '.join(cause.explains[1:])}" if len(cause.explains) > 1 else ""
    yield Padding(
        Text.assemble("cause: ", (cause.name, "bold"), f"  (confidence {cause.confidence:.2f}{also})"),
        (0, 0, 0, 2),
    )
    yield Padding(Text(cause.reason), (0, 0, 0, 4))
    yield Padding(Text(f"remedy: {cause.remedy.text}"), (0, 0, 0, 4))
    code = Syntax(cause.remedy.code, "python", theme="ansi_dark", background_color="default", word_wrap=True)
    yield Padding(code, (0, 0, 0, 6))


def _unchecked(diagnosis: Diagnosis) -> Iterator[RenderableType]:
    by_reason: dict[str, list[str]] = {}
    for item in diagnosis.unchecked:
        by_reason.setdefault(item.reason, []).append(item.name)
    if by_reason:
        yield Text("\nnot checked:", "dim")
    for reason, names in by_reason.items():
        yield Padding(Text(f"{', '.join(names)}: {reason}", "dim"), (0, 0, 0, 2))
