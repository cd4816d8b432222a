"""The page of every symptom and cause, made from its docstring."""

from __future__ import annotations

import difflib
import inspect
import re
from dataclasses import asdict, dataclass
from typing import Any

from kregtools import causes, symptoms

SECTION = re.compile(r"([A-Z][a-z ]+): (.*)", flags=re.DOTALL)


@dataclass(frozen=True)
class Page:
    """What is known of a symptom or a cause.

    Attributes:
        name: Its name.
        kind: `"symptom"` or `"cause"`.
        summary: What it is, in one sentence.
        sections: Titles and texts: how it is told, why it matters, what to do.
        related: Of a symptom, the causes that can explain it; of a cause, the symptoms that it can explain.
    """

    name: str
    kind: str
    summary: str
    sections: tuple[tuple[str, str], ...]
    related: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sections": dict(self.sections)}


def pages(kind: str | None = None) -> list[Page]:
    """The pages of all symptoms and causes, or of one kind."""
    found = [_page("symptom", rule, _causes_of(rule.name)) for rule in symptoms.SYMPTOMS]
    found += [_page("cause", rule, rule.explains) for rule in causes.CAUSES]
    return [page for page in found if kind in (None, page.kind)]


def page_of(name: str) -> Page:
    """The page of one symptom or cause.

    Raises:
        ValueError: If there is none of that name.
    """
    by_name = {page.name: page for page in pages()}
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, n=3)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ValueError(
            f"There is no symptom or cause of that name. Received: {name!r}. {hint}Known are: {', '.join(by_name)}."
        )
    return by_name[name]


def _page(kind: str, rule: Any, related: tuple[str, ...]) -> Page:
    summary, *paragraphs = inspect.cleandoc(type(rule).__doc__ or "").split("\n\n")
    sections: list[tuple[str, str]] = []
    for paragraph in paragraphs:
        text = " ".join(paragraph.split())
        titled = SECTION.fullmatch(text)
        sections.append((titled[1], titled[2]) if titled else ("", text))
    return Page(rule.name, kind, " ".join(summary.split()), tuple(sections), related)


def _causes_of(symptom: str) -> tuple[str, ...]:
    return tuple(cause.name for cause in causes.CAUSES if symptom in cause.explains)
