"""HTML pages that need no other file: the templates they share, and how they are written."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

import kregtools

CODE = re.compile("`([^`]+)`")


@functools.cache
def environment() -> jinja2.Environment:
    """The templates in `templates/`; `page.html` is the frame that a page extends, `parts.html` what several show."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("kregtools.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["marked"] = _marked
    return found


def rendered(template: str, **values: Any) -> str:
    """A page as a string; `sections`, pairs of an id and a name, are what its navigation lists."""
    values = {"version": kregtools.__version__, "sections": [], **values}
    return environment().get_template(template).render(**values)


def write_page(path: str | Path, what: str, text: str) -> Path:
    """Writes a page; a file that is there is replaced at once or not at all.

    Raises:
        OSError: If there is no such directory, or it is a directory itself.
    """
    path = Path(path).expanduser()
    check_place(path, what)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_text(text, encoding="utf-8", errors="replace")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _marked(text: str) -> Markup:
    """Text in which what stands between backticks is code."""
    return Markup(CODE.sub(r"<code>\1</code>", str(escape(text))))


def check_place(path: str | Path, what: str) -> None:
    """Refuses a path whose directory does not exist, or which is that of a directory.

    Raises:
        OSError: If it is no place for a file.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        raise IsADirectoryError(
            f"The {what} cannot be written: '{path}' is a directory. Received: path='{path}'. Expected the path of a "
            f"file, such as '{path / f'{what}.html'}'."
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The {what} cannot be written: there is no directory '{path.parent}'. "
            f"Received: path='{path}'. Expected a path in an existing directory; create it first."
        )
