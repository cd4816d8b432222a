"""The report of a run: one HTML file that needs no other."""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

from kregtools.diagnosis import Diagnosis
from kregtools.record import Record
from kregtools.report import plots
from kregtools.report.findings import findings_of
from kregtools.report.page import rendered, write_page
from kregtools.report.pages import pages
from kregtools.report.plots.distributions import BELOW
from kregtools.report.style import axes
from kregtools.report.summary import best_epoch, run_facts, sentence
from kregtools.report.svg import Drawings

MOST_DISTRIBUTIONS = 9
MOST_CURVES = 12
HEATS = (
    (plots.activation_std_data, plots.plot_activation_std),
    (plots.dead_fraction_data, plots.plot_dead_fraction),
    (plots.gradient_norm_data, plots.plot_gradient_norm),
    (plots.update_ratio_data, plots.plot_update_ratio),
)


def write_html(path: str | Path, record: Record, diagnosis: Diagnosis, *, live: bool = False) -> Path:
    """Writes the report of a run.

    Args:
        path: Where to write it; the directory must exist. A file that is there is replaced at once or not at all.
        record: The record of the run.
        diagnosis: Its diagnosis.
        live: Whether the run goes on: the page then loads itself anew every few seconds.

    Returns:
        The path.

    Raises:
        OSError: If it is no place for a file.

    Example:

    >>> kregtools.report.write_html("run.html", monitor.record, monitor.diagnosis)
    """
    return write_page(path, "report", render(record, diagnosis, live=live))


def render(record: Record, diagnosis: Diagnosis, *, live: bool = False) -> str:
    """The report as a string."""
    drawings = Drawings()
    parts = {
        "curves": curves_of(record, drawings),
        "heats": _heats(record, drawings),
        "flow": _flow(record, drawings),
        "distributions": _distributions(record, diagnosis, drawings),
        "shift": _shift(record, drawings),
    }
    drawn = {"flow": "Gradient", "distributions": "Distributions", "shift": "BatchNorm"}
    optional = [("batchnorm" if part == "shift" else part, name) for part, name in drawn.items() if parts[part]]
    return rendered(
        "run.html",
        **parts,
        sections=[("findings", "Findings"), ("curves", "Curves"), ("layers", "Layers"), *optional, ("checks", "Checks"),
                  ("run", "Run")],
        name=_name(record),
        verdict=diagnosis.verdict,
        sentence=sentence(diagnosis),
        probably=diagnosis.causes[0].name if diagnosis.causes else None,
        tiles=_tiles(record, diagnosis),
        live=_progress(record) if live else None,
        outlook="" if live else diagnosis.outlook,
        findings=findings_of(record, diagnosis, drawings),
        unchecked=diagnosis.unchecked,
        passed=diagnosis.passed,
        ignored=diagnosis.ignored,
        unwatched=_unwatched(record),
        of_how_many=len(_sketched(record)),
        facts=list(run_facts(record).items()),
        coverage=_coverage(record),
    )  # fmt: skip


def write_rules(path: str | Path) -> Path:
    """Writes the pages of all symptoms and causes, one HTML file.

    Args:
        path: Where to write it; the directory must exist.

    Returns:
        The path.

    Raises:
        OSError: If it is no place for a file.

    Example:

    >>> kregtools.report.write_rules("rules.html")
    """
    sections = [("symptoms", "Symptoms"), ("causes", "Causes")]
    found = {"symptoms": pages("symptom"), "causes": pages("cause")}
    return write_page(path, "list of rules", rendered("rules.html", sections=sections, **found))


# ---- drawings


def curves_of(record: Record, drawings: Drawings) -> list[tuple[str, Markup]]:
    """Loss and metrics by epoch: the name of each, and its drawing."""
    return [
        (metric, drawings.svg(plots.plot_curve(record, metric=metric), f"{metric} by epoch"))
        for metric in plots.metrics(record)[:MOST_CURVES]
    ]


def _heats(record: Record, drawings: Drawings) -> list[tuple[str, Markup]]:
    titles = [(data(record), plot) for data, plot in HEATS]
    return [
        (heat.title, drawings.svg(plot(record), f"{heat.title} by layer and training step"))
        for heat, plot in titles
        if heat.values.size
    ]


def _flow(record: Record, drawings: Drawings) -> Markup | None:
    if not plots.gradient_flow_data(record).gradients:
        return None
    return drawings.svg(plots.plot_gradient_flow(record), "RMS gradient of kernels by depth")


def _distributions(record: Record, diagnosis: Diagnosis, drawings: Drawings) -> list[tuple[str, str, Markup]]:
    found = []
    for layer, tensor in _chosen(_sketched(record), diagnosis):
        ax = plots.plot_distribution(record, axes(3.4, 1.9), layer=layer, tensor=tensor)
        what = "activation" if tensor == "activation" else f"gradient of {tensor}"
        found.append((layer, what, drawings.svg(ax, f"Magnitudes of {layer}, {what}, over time")))
    return found


def _sketched(record: Record) -> list[tuple[str, str]]:
    """The tensors that have a sketch: activations, and gradients of kernels."""
    return [place for place in record.tensors(BELOW) if place[0] and place[1] in ("activation", "kernel")]


def _chosen(places: list[tuple[str, str]], diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """So many of the tensors as a page can show: those of layers with a symptom first, others spread over the depth."""
    if len(places) <= MOST_DISTRIBUTIONS:
        return places
    sick = {layer for symptom in diagnosis.symptoms for layer in symptom.layers}
    first = [place for place in places if place[0] in sick][: MOST_DISTRIBUTIONS // 2]
    rest = [place for place in places if place not in first]
    left = MOST_DISTRIBUTIONS - len(first)
    chosen = {*first, *(rest[round(index * (len(rest) - 1) / (left - 1))] for index in range(left))}
    return [place for place in places if place in chosen]


def _shift(record: Record, drawings: Drawings) -> Markup | None:
    if not plots.variance_shift_data(record).ratios.size:
        return None
    return drawings.svg(plots.plot_variance_shift(record), "Variance ratio of each BatchNormalization")


# ---- words


def _name(record: Record) -> str:
    return (record.facts.get("model") or {}).get("name") or "run"


def _tiles(record: Record, diagnosis: Diagnosis) -> list[tuple[str, str]]:
    ran, of = diagnosis.coverage
    rows = [("checks that ran", f"{ran} of {of}"), ("epochs", _progress(record))]
    best = best_epoch(record)
    if best is not None:
        entry = record.logs[best]
        which = "val_loss" if "val_loss" in entry else "loss"
        rows += [("best epoch", f"{entry['epoch'] + 1}"), (f"best {which}", f"{entry[which]:.4g}")]
    return rows


def _progress(record: Record) -> str:
    asked = (record.facts.get("fit") or {}).get("epochs")
    ended = int(record.epochs[-1]) + 1 if record.logs else 0
    return f"{ended} of {asked}" if asked else str(ended)


def _unwatched(record: Record) -> str:
    watching = record.facts.get("watching") or {}
    if watching.get("reason"):
        return f"The training steps were not looked into: {watching['reason']}."
    if watching.get("taps"):
        return "No training step has been sampled yet."
    return "The training steps were not looked into: use HealthMonitor in place of FitDiagnosis."


def _coverage(record: Record) -> list[dict[str, str]]:
    return (record.facts.get("watching") or {}).get("coverage") or []
