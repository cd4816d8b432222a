"""Findings as pages show them: each symptom with its evidence, its causes and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from kregtools.causes import Cause
from kregtools.diagnosis import Diagnosis
from kregtools.record import Record
from kregtools.report.pages import Page, pages
from kregtools.report.plots import plot_evidence
from kregtools.report.svg import Drawings
from kregtools.symptoms import Symptom


@dataclass(frozen=True)
class Finding:
    """A symptom, and what belongs to it.

    Attributes:
        symptom: The symptom.
        id: What links to it.
        drawing: Its evidence, drawn.
        numbers: Its evidence, in numbers.
        causes: The causes that explain it before any other symptom.
        elsewhere: The names of causes that explain it, and are shown with another symptom.
        page: What is known of the symptom.
    """

    symptom: Symptom
    id: str
    drawing: Markup | None
    numbers: list[tuple[str, str]]
    causes: list[Cause]
    elsewhere: list[str]
    page: Page | None


def findings_of(record: Record | None, diagnosis: Diagnosis, drawings: Drawings | None = None) -> list[Finding]:
    """The findings of a diagnosis, the most severe first; drawn where there are a record and `drawings`."""
    known = {page.name: page for page in pages("symptom")}
    found = []
    for symptom in diagnosis.symptoms:
        explaining = [cause for cause in diagnosis.causes if symptom.name in cause.explains]
        first = [cause for cause in explaining if cause.explains[0] == symptom.name]
        drawing = None
        if record is not None and drawings is not None:
            drawing = drawings.svg(plot_evidence(record, symptom=symptom), f"Evidence of {symptom.name}")
        found.append(
            Finding(
                symptom,
                f"finding-{symptom.name}",
                drawing,
                [(name.replace("_", " "), f"{value:.4g}") for name, value in symptom.evidence.items()],
                first,
                [cause.name for cause in explaining if cause not in first],
                known.get(symptom.name),
            )
        )
    return found
