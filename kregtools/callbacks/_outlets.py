"""What shows a run while it goes on: a line or a notebook's output, a page, event files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from rich.console import Console, RenderableType

from kregtools.diagnosis import Diagnosis
from kregtools.errors import KregtoolsWarning
from kregtools.record import Record
from kregtools.report.notebook import LiveView, in_notebook
from kregtools.report.summary import epoch_values
from kregtools.report.text import epoch_line


class Outlet(Protocol):
    """Something that shows a run."""

    def show(self, record: Record, diagnosis: Diagnosis, live: bool) -> None:
        """Shows the run as it is now; `live` while it goes on."""


class Page:
    """A report that is written anew every epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def show(self, record: Record, diagnosis: Diagnosis, live: bool) -> None:
        from kregtools.report import write_html

        write_html(self.path, record, diagnosis, live=live)


class Events:
    """Event files for TensorBoard, in a new file each fit."""

    def __init__(self, log_dir: str | Path) -> None:
        from kregtools.report.tensorboard import EventFiles

        self._files = EventFiles(log_dir)

    def show(self, record: Record, diagnosis: Diagnosis, live: bool) -> None:
        self._files.add(record, diagnosis)


class Printed:
    """Lines, or a cell's output in a notebook.

    Keras' progress bar rewrites its line until its own end of the epoch, which comes after ours: what is said at the
    end of an epoch is printed when the next one begins, or training ends.
    """

    def __init__(self, each_epoch: bool) -> None:
        self._each_epoch = each_epoch
        self._later: list[RenderableType] = []
        self._told: set[str] = set()
        self._view = LiveView()

    def show(self, record: Record, diagnosis: Diagnosis, live: bool) -> None:
        if not self._each_epoch or not live:
            return
        if in_notebook():
            self._view.show(record, diagnosis)
            return
        new = [symptom for symptom in diagnosis.symptoms if symptom.name not in self._told]
        self._told |= {symptom.name for symptom in new}
        self.say(epoch_line(_progress(record), epoch_values(record, diagnosis), diagnosis, new))

    def conclude(self, record: Record, diagnosis: Diagnosis) -> None:
        """Prints the diagnosis; in a notebook, shows it in the output that followed the run, if there is one."""
        if in_notebook():
            self._view.show(record, diagnosis)
        else:
            Console().print(diagnosis)

    def say(self, what: RenderableType) -> None:
        """Prints it once the progress bar is done with its line."""
        self._later.append(what)

    def flush(self) -> None:
        """Prints what was said since the last call."""
        for what in self._later:
            Console(highlight=False).print(what, soft_wrap=True)
        self._later.clear()


class Outlets:
    """All that shows a run. One that fails is left out for the rest of the fit, with one warning."""

    def __init__(self, outlets: Mapping[str, Outlet]) -> None:
        self._outlets = dict(outlets)

    def show(self, record: Record, diagnosis: Diagnosis, live: bool) -> None:
        for name, outlet in list(self._outlets.items()):
            try:
                outlet.show(record, diagnosis, live)
            except Exception as error:
                del self._outlets[name]
                warnings.warn(
                    f"The {name} cannot be written any more ({type(error).__name__}: {error}). Training goes on "
                    "without it.",
                    KregtoolsWarning,
                    stacklevel=2,
                )


def _progress(record: Record) -> str:
    asked = (record.facts.get("fit") or {}).get("epochs")
    return f"{int(record.epochs[-1]) + 1}/{asked}" if asked else f"epoch {int(record.epochs[-1]) + 1}"
