"""The report of a run: one HTML file that needs no other."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record
from kregtools.report.figures import INK, curves_data, plot_curve, plot_profile, profiles_data

SENTENCES = {
    "healthy": "Healthy: every check ran, and none found anything.",
    "overfit": "Overfit: the network learns its training data by heart.",
    "underfit": "Underfit: the network cannot fit its training data.",
    "sick": "Sick: training cannot succeed like this.",
    "undetermined": "Undetermined: not everything could be checked.",
}


def write_html(path: str | Path, record: Record, diagnosis: Diagnosis) -> Path:
    """Writes the report of a run.

    Args:
        path: Where to write it; the directory must exist. A file that is there is replaced at once or not at all.
        record: The record of the run.
        diagnosis: Its diagnosis.

    Returns:
        The path.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"The report cannot be written: there is no directory '{path.parent}'. "
            f"Received: path='{path}'. Expected a path in an existing directory; create it first."
        )
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(render(record, diagnosis), encoding="utf-8")
    unfinished.replace(path)
    return path


def render(record: Record, diagnosis: Diagnosis) -> str:
    """The report as a string."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("kregtools.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    curves = [
        (curve.metric, _svg(plot_curve(curve), f"curve {curve.metric}")) for curve in curves_data(record, diagnosis)
    ]
    profiles = [(profile.title, _svg(plot_profile(profile), profile.title)) for profile in profiles_data(record)]
    return environment.get_template("template.html").render(
        name=(record.facts.get("model") or {}).get("name", "run"),
        verdict=diagnosis.verdict,
        sentence=SENTENCES[diagnosis.verdict],
        coverage=diagnosis.coverage,
        findings=[
            (symptom, [cause for cause in diagnosis.causes if symptom.name in cause.explains])
            for symptom in diagnosis.symptoms
        ],
        unchecked=diagnosis.unchecked,
        passed=diagnosis.passed,
        ignored=diagnosis.ignored,
        curves=curves,
        profiles=profiles,
        facts=_facts(record),
    )


def _svg(ax: Axes, salt: str) -> Markup:
    # The salt keeps the ids of one figure apart from those of the next, and the same from run to run.
    buffer = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"}):
        ax.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})  # pyright: ignore
    drawing = buffer.getvalue()
    return Markup(drawing[drawing.index("<svg") :].replace(INK, "currentColor"))


def _facts(record: Record) -> list[tuple[str, str]]:
    model, optimizer = record.facts.get("model") or {}, record.facts.get("optimizer") or {}
    losses: list[dict[str, Any]] = record.facts.get("losses") or []
    parameters = model.get("parameters")
    rows = {
        "model": f"{model.get('class', '?')} {model.get('name', '')}",
        "parameters": f"{parameters:,}" if parameters else "",
        "optimizer": optimizer.get("class", ""),
        "learning rate": f"{optimizer['learning_rate']:.3g}" if optimizer.get("learning_rate") else "",
        "loss": ", ".join(loss["name"] for loss in losses),
        "epochs": str(len(record.logs)),
        "sampled steps": str(len(record.samples)),
        "versions": ", ".join(f"{name} {version}" for name, version in (record.facts.get("versions") or {}).items()),
    }
    return [(name, value) for name, value in rows.items() if value]
