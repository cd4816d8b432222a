"""List the symptoms that kregtools knows.

Examples:
  kregtools symptoms
  kregtools symptoms --json

`kregtools explain NAME` explains one.
"""

from __future__ import annotations

import argparse

from kregtools.commands.explain import listed

HELP = "the symptoms that are known"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, with all that `explain` tells")


def run(options: argparse.Namespace) -> int:
    from kregtools.report.pages import pages

    listed(pages("symptom"), options.json)
    return 0
