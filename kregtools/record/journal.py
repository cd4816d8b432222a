"""The record on disk: JSON lines, only ever appended to."""

from __future__ import annotations

import json
import math
import os
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kregtools.errors import KregtoolsWarning, RecordError

# 1: a sample has a value for every column known when it was taken. 2: it has those of its layout.
READABLE = (1, 2)
SCHEMA = READABLE[-1]
FILENAME = "record.jsonl"


def jsonable(value: Any) -> Any:
    """`value` as JSON knows it: non-finite floats become `None`, what is unknown to it its own description."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    return str(value)


def journal_path(place: str | Path) -> Path:
    """The journal in the directory `place`, or `place` itself if that is a file."""
    path = Path(place)
    return path if path.is_file() else path / FILENAME


class Journal:
    """Appends entries to a file; the file is closed between writes, so that nothing is held over a crash.

    Args:
        directory: Where the file is, or is to be.
        resume: Whether to go on with the file that is there. A last line that was cut short is then taken off.

    Raises:
        FileExistsError: If there is a file already and `resume` is not set: two runs never share one.
        OSError: If the file cannot be written, or, later on, if somebody else has written to it.
    """

    def __init__(self, directory: str | Path, resume: bool = False) -> None:
        self.path = Path(directory) / FILENAME
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.open("a" if resume else "x").close()
        self._end = _take_off_torn_line(self.path) if resume else 0
        if self._end == 0:
            self.append([{"schema": SCHEMA}])

    def append(self, entries: Iterable[dict[str, Any]]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            self._refuse_company(os.fstat(file.fileno()))
            file.writelines(json.dumps(jsonable(entry), allow_nan=False) + "\n" for entry in entries)
            file.flush()
            os.fsync(file.fileno())
            self._end = file.tell()

    def _refuse_company(self, file: os.stat_result) -> None:
        if stat.S_ISREG(file.st_mode) and file.st_size != self._end:
            raise OSError(
                f"the file has {file.st_size} bytes where {self._end} were left: another process writes to it, or it "
                "was changed"
            )


def _take_off_torn_line(path: Path) -> int:
    with path.open("rb+") as file:
        end = file.read().rfind(b"\n") + 1
        file.truncate(end)
    return end


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the entries of the journal at `path`.

    A last line that a crash cut short is dropped with a warning; damage anywhere else is an error.

    Raises:
        FileNotFoundError: If there is no journal.
        RecordError: If a line is not an entry, or the schema is one this version does not know.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"There is no record at '{path}'. Expected the directory that was given to "
            f"`HealthMonitor(directory=...)`, which holds a file named '{FILENAME}'."
        )
    lines = path.read_bytes().split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line)
            if not isinstance(entry, dict):
                raise ValueError("not a JSON object")
        except (ValueError, RecursionError) as error:
            if number == len(lines) > 1:
                warnings.warn(
                    f"The last line of the record '{path}' is incomplete and was dropped: the run ended while it "
                    "was being written. Everything before it was read.",
                    KregtoolsWarning,
                    stacklevel=2,
                )
                return
            raise RecordError(
                f"The record '{path}' is damaged: line {number} of {len(lines)} cannot be read ({error}). "
                "Expected one JSON object a line. Restore the file from a copy, or delete it from that line on to "
                "keep what comes before."
            ) from error
        if number == 1 and entry.get("schema") not in READABLE:
            raise RecordError(
                f"The record '{path}' has a schema this version of kregtools does not know. "
                f"Received: schema={entry.get('schema')!r}. Expected one of {', '.join(map(str, READABLE))}. "
                "Read it with the version of kregtools that wrote it, or a newer one."
            )
        yield entry
