"""What commands print."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType


WIDTH = 100


def tell(text: str) -> None:
    """Prints text as it is."""
    sys.stdout.write(f"{text}\n")


def tell_json(value: Any) -> None:
    """Prints one JSON document."""
    tell(json.dumps(value, indent=2, allow_nan=False))


def show(what: RenderableType) -> None:
    """Prints something that rich can lay out; lines are not broken or filled up where there is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else WIDTH
    # Names and paths may hold what rich would take for its own markup.
    console = Console(highlight=False, markup=False, emoji=False, width=width)
    with console.capture() as captured:
        console.print(what, soft_wrap=isinstance(what, str))
    tell("\n".join(line.rstrip() for line in captured.get().splitlines()))
