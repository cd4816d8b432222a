"""Run a lesson: a small experiment that shows one thing about training, and what to see in it.

Examples:
  kregtools lesson                        the list
  kregtools lesson symmetry               on embedded data
  kregtools lesson capacity_fashion --data-dir ~/data

Lessons with fashion, cifar or imdb need that data set: in --data-dir, in $KREGTOOLS_DATA, or by a download.
"""

from __future__ import annotations

import argparse
import importlib
import os
from dataclasses import asdict
from typing import TYPE_CHECKING

from kregtools.commands.output import show, tell, tell_json
from kregtools.lessons import LESSONS

if TYPE_CHECKING:
    from rich.table import Table

    from kregtools.lessons.lesson import Outcome

HELP = "run a lesson on initialization, optimization or regularization"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("name", nargs="?", choices=LESSONS, metavar="NAME", help="its name; without one, all are listed")
    add("--data-dir", help="directory with the data (default: $KREGTOOLS_DATA, then a download)")
    add("--seed", type=int, default=0, help="of weights, data order and noise (default: 0)")
    add("--smoke", action="store_true", help="a few rows and two epochs: does it run at all?")
    add("--json", action="store_true", help="print JSON in place of text")


def run(options: argparse.Namespace) -> int:
    if options.name is None:
        tell_json(LESSONS) if options.json else tell(_listed())
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module = importlib.import_module(f"kregtools.lessons.{options.name}")
    outcomes = []
    if not options.json:
        tell(module.__doc__ or "")
    for outcome in module.LESSON.run(options.data_dir, options.seed, options.smoke):
        outcomes.append(outcome)
        if not options.json:
            tell(f"{outcome.variant}: {outcome.seconds:.0f} s")
    if options.json:
        from kregtools.record.journal import jsonable

        tell_json([jsonable(asdict(outcome)) for outcome in outcomes])
    else:
        show(_table(outcomes))
    return 0


def _listed() -> str:
    width = max(len(name) for name in LESSONS)
    return "\n".join(f"{name:{width}}  {text}" for name, text in LESSONS.items())


def _table(outcomes: list[Outcome]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(title=outcomes[0].metric.replace("_", " "), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column()
    for name in ("training", "validation"):
        table.add_column(name, justify="right")
    for name in ("verdict", "first symptom and cause"):
        table.add_column(name, no_wrap=True)
    for outcome in outcomes:
        first = " < ".join(names[0] for names in (outcome.findings, outcome.causes) if names)
        table.add_row(
            outcome.variant, f"{outcome.train:.3f}", f"{outcome.validation:.3f}", outcome.verdict, first or "-"
        )
    return table
