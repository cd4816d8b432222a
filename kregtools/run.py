"""A run read back from disk."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from kregtools.diagnosis import Diagnosis, diagnose
from kregtools.record import Record


@dataclass(frozen=True)
class Run:
    """A run on disk: what a `HealthMonitor(directory=...)` left behind. No backend is needed to judge it.

    Attributes:
        record: What the run showed.
    """

    record: Record

    @cached_property
    def diagnosis(self) -> Diagnosis:
        """The diagnosis of the record."""
        return diagnose(self.record)

    def report(self, path: str | Path) -> Path:
        """Writes the report, one HTML file, and returns its path."""
        from kregtools.report import write_html

        return write_html(path, self.record, self.diagnosis)

    def _repr_html_(self) -> str:
        from kregtools.report.notebook import view

        return view(self.diagnosis, self.record)


def load(directory: str | Path) -> Run:
    """Reads a run back.

    Args:
        directory: What was given to `HealthMonitor(directory=...)`.

    Returns:
        The run, with `record`, `diagnosis` and `report(path)`.

    Raises:
        FileNotFoundError: If there is no record in it.
        kregtools.errors.RecordError: If the record is damaged, or of a schema this version does not know.

    Example:

    >>> run = kregtools.load("runs/a")
    >>> run.diagnosis.verdict
    'overfit'
    """
    return Run(Record.load(directory))
