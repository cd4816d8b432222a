"""Explain a symptom or a cause: how it is told, why it matters, what to do.

Examples:
  kregtools explain dead_relu
  kregtools explain lr_too_high --json
  kregtools explain --html rules.html       all of them, as one page

`kregtools symptoms` and `kregtools causes` list the names.
"""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from kregtools.commands.output import WIDTH, tell, tell_json

if TYPE_CHECKING:
    from kregtools.report.pages import Page

HELP = "what a symptom or a cause is, how it is told, and what to do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="its name; without one, all are listed")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--html", metavar="FILE", help="write all of them to one HTML file")


def run(options: argparse.Namespace) -> int:
    from kregtools.report.pages import page_of, pages

    if options.html:
        from kregtools.report.html import write_rules

        written = str(write_rules(options.html))
        tell_json({"written": {"rules": written}}) if options.json else tell(written)
    elif options.name is None:
        listed(pages(), options.json)
    else:
        page = page_of(options.name)
        tell_json(page.as_dict()) if options.json else tell(as_text(page))
    return 0


def listed(pages: list[Page], as_json: bool) -> None:
    """Prints a line for each page, or all of them as JSON."""
    if as_json:
        tell_json([page.as_dict() for page in pages])
        return
    width = max(len(page.name) for page in pages)
    for kind in dict.fromkeys(page.kind for page in pages):
        tell(f"{kind}s:")
        for page in pages:
            if page.kind == kind:
                tell(f"  {page.name:{width}}  {page.summary}")


def as_text(page: Page) -> str:
    """The page for a terminal."""
    lines = [f"{page.name} ({page.kind})", "", *textwrap.wrap(page.summary, WIDTH)]
    related = "Can be explained by" if page.kind == "symptom" else "Can explain"
    for title, text in (*page.sections, (related, ", ".join(page.related))):
        lines += ["", *textwrap.wrap(f"{title}: {text}" if title else text, WIDTH)]
    return "\n".join(lines)
