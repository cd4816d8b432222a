"""Keep Keras training healthy: what is wrong with a run, in which layer, why, and what to change.

Start here:
  kregtools demo                      a sick and a healthy run on embedded data, with their reports
  kregtools report runs/a             the report of a run that HealthMonitor(directory="runs/a") watched
  kregtools compare runs/a runs/b     two runs side by side
  kregtools explain dead_relu         what a symptom or a cause is, how it is told, what to do

`kregtools COMMAND --help` tells more, with examples. With --json a command prints one JSON document.

Exit status: 0 when all is done, 1 when a run is not what --fail-on allows, 2 when a command was used wrongly or could
not do its work, 130 when it was interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

import kregtools
from kregtools.errors import KregtoolsWarning

# A command is a module of this name in `kregtools/commands/`, and a line here.
COMMANDS = (
    "demo",
    "report",
    "compare",
    "explain",
    "symptoms",
    "causes",
    "lesson",
    "tune",
)
CANNOT, INTERRUPTED = 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The words after `kregtools`. Defaults to `None`: those of the command line.

    Returns:
        The exit status: 0 done, 1 not healthy enough, 2 used wrongly or impossible, 130 interrupted.
    """
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # pyright: ignore[reportAttributeAccessIssue]
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help(sys.stderr)
        return CANNOT
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("default", KregtoolsWarning)
            return options.run(options)
    except BrokenPipeError:  # `kregtools symptoms | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"kregtools {options.command}: {error}\n")
        return CANNOT
    except Exception:
        # Python's own exit status for it is 1, which is a verdict here.
        traceback.print_exc()
        return CANNOT
    except KeyboardInterrupt:
        sys.stderr.write(f"\nkregtools {options.command}: interrupted\n")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="kregtools", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"kregtools {kregtools.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for name in COMMANDS:
        module = importlib.import_module(f"kregtools.commands.{name}")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def _warn(message: Any, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"kregtools: warning: {message}\n")
