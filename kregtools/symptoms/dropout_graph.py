"""Where dropout feeds a BatchNormalization."""

from __future__ import annotations

from typing import Any

from kregtools.record import Record
from kregtools.symptoms.evidence import layer_facts, sources

NORMS = ("BatchNormalization", "DropoutAwareBatchNormalization")


def norms_fed_by_dropout(record: Record) -> dict[str, str]:
    """Each trained BatchNormalization behind dropout, at any distance, and the dropout nearest to it."""
    facts, fed_by = layer_facts(record), sources(record)
    found = {}
    for name, layer in facts.items():
        if layer.get("class") in NORMS and layer.get("trainable") is not False:
            nearest = _nearest_dropout(name, facts, fed_by)
            if nearest is not None:
                found[name] = nearest
    return found


def _nearest_dropout(name: str, facts: dict[str, dict[str, Any]], fed_by: dict[str, list[str]]) -> str | None:
    pending, seen = list(fed_by.get(name, ())), {name}
    while pending:
        source = pending.pop(0)
        if source not in seen:
            seen.add(source)
            if _drops(facts.get(source, {})):
                return source
            pending += fed_by.get(source, ())
    return None


def _drops(layer: dict[str, Any]) -> bool:
    if "Dropout" in (layer.get("class") or ""):
        return layer.get("rate") != 0
    return bool(layer.get("dropout") or layer.get("recurrent_dropout"))
