"""What a search keeps on disk beside KerasTuner's own files."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = "project.json"


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write a file whole or not at all: an interrupted write leaves what was there."""
    target = Path(path)
    unfinished = target.with_name(target.name + ".tmp")
    unfinished.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(unfinished, target)


def put_file(path: Path, source: Path) -> None:
    """Copy a file whole or not at all."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        shutil.copyfile(source, unfinished)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    os.replace(unfinished, path)


def read_json(path: str | os.PathLike[str]) -> Any:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def open_project(directory: Path, search: dict[str, Any]) -> None:
    """Enter a directory for this search; refuse one that holds another.

    Raises:
        ValueError: the directory belongs to a search over something else.
    """
    path = directory / PROJECT
    if not path.exists():
        if (directory / "oracle.json").exists():
            raise ValueError(
                f"{directory} holds a KerasTuner search that kregtools.tune did not start. Received: "
                f"directory={str(directory)!r}. Expected a new directory, or that of an earlier `tune` call."
            )
        directory.mkdir(parents=True, exist_ok=True)
        return write_json(path, search)
    there, here = read_json(path), json.loads(json.dumps(search))
    different = [key for key in here if there.get(key) != here[key]]
    if different:
        changes = "; ".join(f"{key}: there {_brief(there.get(key))}, here {_brief(here[key])}" for key in different)
        raise ValueError(
            f"{directory} holds a search that differs from this one in {', '.join(different)}. "
            f"Received: {changes}. Expected the same arguments, to resume it, or another directory."
        )
    return None


def fingerprint(data: Any) -> Any:
    """Tell data sets apart without keeping them: arrays by type, shape and checksum, what makes batches by its size.

    Batches themselves are not looked at: shuffled or augmented, they are others each time.
    """
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if isinstance(data, Mapping):
        return {str(name): fingerprint(item) for name, item in data.items()}
    if isinstance(data, tuple) or (isinstance(data, list) and all(hasattr(item, "shape") for item in data)):
        return [fingerprint(item) for item in data]
    if isinstance(data, list) or (isinstance(data, np.ndarray) and data.dtype == object):
        return [type(data).__name__, len(data), zlib.crc32(json.dumps(list(data), default=fingerprint).encode())]
    if isinstance(data, np.ndarray):
        return [str(data.dtype), list(data.shape), zlib.crc32(np.ascontiguousarray(data).data)]
    if hasattr(data, "element_spec"):
        return [type(data).__name__, str(data.element_spec), int(data.cardinality())]
    with suppress(Exception):  # of what is on a GPU there is no array
        return [type(data).__name__, fingerprint(np.asarray(data)) if hasattr(data, "__array__") else len(data)]
    return type(data).__name__


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 200 else text[:200] + " ..."
