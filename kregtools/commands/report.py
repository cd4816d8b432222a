"""Judge a run that HealthMonitor(directory=RUN) left behind, and write its report: one HTML file.

No backend is needed: a run copied from a cluster is judged on a laptop.

Examples:
  kregtools report runs/a                            print the diagnosis, write report.html
  kregtools report runs/a --output a.html
  kregtools report runs/a --tensorboard logs/a       scalars, histograms and the diagnosis for TensorBoard
  kregtools report runs/a --json --output ""         JSON on stdout, no file
  kregtools report runs/a --fail-on sick             for CI: exit status 1 if the run is sick
  kregtools report runs/a --fail-on any              ... or anything but healthy
"""

from __future__ import annotations

import argparse

from kregtools.commands.output import show, tell_json

HELP = "the diagnosis and the HTML report of a run on disk"
VERDICTS = ("sick", "overfit", "underfit", "undetermined", "any")
UNHEALTHY = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("run_directory", metavar="RUN", help="the directory given to HealthMonitor(directory=...)")
    add("--output", "-o", metavar="FILE", default="report.html", help="the report, '' for none (default: report.html)")
    add("--tensorboard", metavar="DIR", help="write event files for TensorBoard below this log directory")
    add("--ignore", metavar="NAME", action="append", default=[], help="a symptom or cause not to look for; repeatable")
    add(
        "--fail-on",
        metavar="VERDICT",
        action="append",
        default=[],
        choices=VERDICTS,
        help=f"exit with status 1 on this verdict; repeatable; one of: {', '.join(VERDICTS)}",
    )
    add("--json", action="store_true", help="print JSON in place of text")


def run(options: argparse.Namespace) -> int:
    import kregtools
    from kregtools.report import write_html

    record = kregtools.load(options.run_directory).record
    diagnosis = kregtools.diagnose(record, options.ignore)
    written = {}
    if options.output:
        written["report"] = str(write_html(options.output, record, diagnosis).resolve())
    if options.tensorboard:
        from kregtools.report.tensorboard import write_events

        written["tensorboard"] = str(write_events(options.tensorboard, record, diagnosis).resolve())
    if options.json:
        from kregtools.report.summary import summary

        tell_json({**summary(record, diagnosis), "written": written})
    else:
        show(diagnosis)
        for what, path in written.items():
            show(f"{what}: {path}")
    failed = diagnosis.verdict in options.fail_on or ("any" in options.fail_on and diagnosis.verdict != "healthy")
    return UNHEALTHY if failed else 0
