"""A diagnosis inside a notebook, and one that follows the run."""

from __future__ import annotations

import sys
from typing import Any

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record

MOST_CURVES = 2


def view(diagnosis: Diagnosis, record: Record | None = None) -> str:
    """The diagnosis as HTML for a cell's output; with the curves and the evidence drawn where there is a record."""
    # What draws takes a second to import, and a monitor needs it only where there is a notebook.
    from kregtools.report.findings import findings_of
    from kregtools.report.html import curves_of
    from kregtools.report.page import rendered
    from kregtools.report.summary import sentence
    from kregtools.report.svg import Drawings

    drawings, ran = Drawings(), diagnosis.coverage
    curves = [] if record is None else curves_of(record, drawings)[:MOST_CURVES]
    progress = f"{ran[0]} of {ran[1]} checks ran"
    return rendered(
        "notebook.html",
        verdict=diagnosis.verdict,
        sentence=sentence(diagnosis),
        outlook=diagnosis.outlook if record is None else "",
        progress=progress if record is None else f"{len(record.logs)} epochs; {progress}",
        curves=curves,
        findings=findings_of(record, diagnosis, drawings),
        unchecked=diagnosis.unchecked,
    )


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive is not None else None
    return getattr(shell, "kernel", None) is not None


class LiveView:
    """One output of a cell that is written anew as the run goes on."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, record: Record, diagnosis: Diagnosis) -> None:
        display = sys.modules["IPython"].display
        html = display.HTML(view(diagnosis, record))
        if self._handle is None:
            self._handle = display.display(html, display_id=True)
        else:
            self._handle.update(html)
