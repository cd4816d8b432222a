"""The command line: `kregtools explain dead_relu`."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Sequence

from kregtools.causes import CAUSES
from kregtools.symptoms import SYMPTOMS

KINDS = {"symptom": SYMPTOMS, "cause": CAUSES}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="kregtools", description="Keep Keras training healthy.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    explain = commands.add_parser("explain", help="what a symptom or a cause is, how it is told, and what to do")
    names = [rule.name for rules in KINDS.values() for rule in rules]
    explain.add_argument("name", nargs="?", choices=names, metavar="NAME", help="its name; all are listed without one")
    explain.set_defaults(run=_explain)
    options = parser.parse_args(arguments)
    print(options.run(options))  # noqa: T201
    return 0


def _explain(options: argparse.Namespace) -> str:
    return _catalogue() if options.name is None else _entry(options.name)


def _catalogue() -> str:
    width = max(len(rule.name) for rules in KINDS.values() for rule in rules)
    return "\n\n".join(
        "\n".join([f"{kind}s:", *(f"  {rule.name:{width}}  {_documentation(rule)[0]}" for rule in rules)])
        for kind, rules in KINDS.items()
    )


def _entry(name: str) -> str:
    kind, rule = next((kind, rule) for kind, rules in KINDS.items() for rule in rules if rule.name == name)
    return "\n".join([f"{name} ({kind})", "", *_documentation(rule)])


def _documentation(rule: object) -> list[str]:
    return inspect.cleandoc(type(rule).__doc__ or "").splitlines()
