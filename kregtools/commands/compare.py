"""Compare two runs: verdicts, findings, losses, what differs in their settings, and their curves side by side.

Examples:
  kregtools compare runs/a runs/b                    print the differences, write compare.html
  kregtools compare runs/a runs/b --output ab.html
  kregtools compare runs/a runs/b --json --output ""
"""

from __future__ import annotations

import argparse

from kregtools.commands.output import show, tell_json

HELP = "two runs side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    for name in ("A", "B"):
        add(name, help="a directory given to HealthMonitor(directory=...)")
    add("--output", "-o", metavar="FILE", default="compare.html", help="the page, '' for none (default: compare.html)")
    add("--json", action="store_true", help="print JSON in place of text")


def run(options: argparse.Namespace) -> int:
    import kregtools
    from kregtools.report.compare import comparison, comparison_table, write_comparison

    runs = {name: kregtools.load(name) for name in (options.A, options.B)}
    if len(runs) < 2:
        raise ValueError(f"a run is compared with another one. Received: {options.A} twice. Expected two runs.")
    compared = comparison({name: (run.record, run.diagnosis) for name, run in runs.items()})
    written = str(write_comparison(options.output, compared).resolve()) if options.output else None
    if options.json:
        tell_json({**compared.as_dict(), "written": {"comparison": written} if written else {}})
    else:
        show(comparison_table(compared))
        if written:
            show(f"comparison: {written}")
    return 0
