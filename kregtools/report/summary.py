"""A run in a few facts: for tables, comparisons and other programs."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record
from kregtools.record.journal import jsonable
from kregtools.symptoms.evidence import sampled_steps

if TYPE_CHECKING:
    from collections.abc import Mapping

SENTENCES = {
    "healthy": "Healthy: every check ran, and none found anything.",
    "overfit": "Overfit: the network learns its training data by heart.",
    "underfit": "Underfit: the network cannot fit its training data.",
    "sick": "Sick: training cannot succeed like this.",
    "undetermined": "Undetermined: not everything could be checked.",
}
WARNED = "Not quite healthy: it trains, and could do better."


def sentence(diagnosis: Diagnosis) -> str:
    """The verdict in one sentence."""
    if diagnosis.verdict == "undetermined" and diagnosis.symptoms:
        return WARNED
    return SENTENCES[diagnosis.verdict]


def best_epoch(record: Record) -> int | None:
    """The index of the epoch with the lowest validation loss, else training loss; `None` where no loss is finite."""
    for name in ("val_loss", "loss"):
        losses = record.log(name)
        if np.isfinite(losses).any():
            return int(np.nanargmin(losses))
    return None


def epoch_values(record: Record, diagnosis: Diagnosis) -> dict[str, float]:
    """What monitors add to the logs of the last epoch; NaN where there is nothing to measure."""
    last = record.logs[-1]
    first = int(np.searchsorted(record.sample_epochs, last["epoch"]))
    norms = record.matrix("kernel", "gradient_norm", first)[1]
    updates = record.matrix("kernel", "update_ratio", first)[1]
    dead = record.matrix("activation", "dead_units", first)[1]
    units = record.matrix("activation", "units", first)[1]
    return {
        "kreg/grad_norm": _mean(np.sqrt((norms**2).sum(axis=1))),
        "kreg/update_ratio": float(np.nanmax(updates)) if np.isfinite(updates).any() else math.nan,
        "kreg/dead_units": _mean(dead.sum(axis=1) / units.sum(axis=1)) if units.size else math.nan,
        "kreg/generalization_gap": last.get("val_loss", math.nan) - last.get("loss", math.nan),
        "kreg/findings": float(len(diagnosis.symptoms)),
    }


def run_facts(record: Record) -> dict[str, str]:
    """What the run was, in words; what is not known is left out."""
    facts = record.facts
    model, optimizer = facts.get("model") or {}, facts.get("optimizer") or {}
    fit, versions, platform = facts.get("fit") or {}, facts.get("versions") or {}, facts.get("platform") or {}
    losses: list[dict[str, Any]] = facts.get("losses") or []
    parameters, asked = model.get("parameters"), fit.get("epochs")
    rows = {
        "model": f"{model.get('class', '')} {model.get('name', '')}".strip(),
        "layers": str(len(facts.get("layers") or []) or ""),
        "parameters": f"{parameters:,}" if parameters else "",
        "optimizer": optimizer.get("class", ""),
        "learning rate": f"{optimizer['learning_rate']:.3g}" if optimizer.get("learning_rate") else "",
        "loss": ", ".join(str(loss.get("name")) for loss in losses),
        "epochs": f"{len(record.logs)} of {asked}" if asked else str(len(record.logs)),
        "steps an epoch": str(fit.get("steps") or ""),
        "sampled steps": str(sampled_steps(record)),
        "seed": "" if facts.get("seed") is None else str(facts["seed"]),
        "overhead": _overhead(facts.get("cost") or {}),
        "layers watched": _coverage(facts.get("watching") or {}),
        "machine": " ".join(str(value) for value in platform.values()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }
    return {name: value for name, value in rows.items() if value}


def summary(record: Record, diagnosis: Diagnosis) -> dict[str, Any]:
    """The run and its diagnosis as plain values, ready for JSON; epochs count from 1."""
    ran, all_checks = diagnosis.coverage
    best, logs = best_epoch(record), record.logs
    return jsonable(
        {
            "verdict": diagnosis.verdict,
            "sentence": sentence(diagnosis),
            "checks": {"ran": ran, "of": all_checks},
            "symptoms": [{**asdict(symptom), "evidence": dict(symptom.evidence)} for symptom in diagnosis.symptoms],
            "causes": [asdict(cause) for cause in diagnosis.causes],
            "passed": diagnosis.passed,
            "unchecked": [asdict(item) for item in diagnosis.unchecked],
            "ignored": diagnosis.ignored,
            "outlook": diagnosis.outlook,
            "epochs": len(logs),
            "best_epoch": None if best is None else int(logs[best]["epoch"]) + 1,
            "best": {} if best is None else _reported(logs[best]),
            "last": _reported(logs[-1]) if logs else {},
            "facts": run_facts(record),
        }
    )


def _reported(entry: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in entry.items() if name not in ("epoch", "step")}


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _overhead(cost: Mapping[str, float]) -> str:
    watching, training = cost.get("watching"), cost.get("training")
    if watching is None or not training:
        return ""
    return f"{watching / training:.1%} ({watching:.2g} s of watching, {training:.3g} s of training)"


def _coverage(watching: Mapping[str, Any]) -> str:
    rows = watching.get("coverage") or []
    watched = sum(bool(row.get("watched")) for row in rows)
    return f"{watched} of {len(rows)}" if rows else ""
