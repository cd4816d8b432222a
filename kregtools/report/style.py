"""How figures look: sizes, colours and labels, without pyplot and its state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

# Each is also the name of a colour of the page, which has another one in the dark: see `svg.py`.
INK, TRAINING, VALIDATION = "#1c2431", "#1f6fb8", "#b85c00"
MARK, BAND, FAINT, THIRD = "#a5213b", "#2d7d5a", "#8b95a3", "#5d3f8c"
COLOURS = {"ink": INK, "training": TRAINING, "validation": VALIDATION, "mark": MARK, "band": BAND, "faint": FAINT}
COLOURS["third"] = THIRD
# Told apart by lightness as well as by hue.
LINES = (TRAINING, VALIDATION, THIRD, BAND)
LONGEST_LABEL = 20
WIDTH = 4.5


def axes(width: float = WIDTH, height: float = 2.6) -> Axes:
    """Axes of a figure of their own, in inches."""
    return Figure(figsize=(width, height), layout="constrained").add_subplot()


def inked(ax: Axes) -> Axes:
    """The axes in the page's colours, with what does not help to read them taken away."""
    ax.tick_params(colors=INK, labelsize="small", length=2.5)
    for label in (ax.xaxis.label, ax.yaxis.label, ax.title):
        label.set_color(INK)
        label.set_fontsize("small")
    ax.yaxis.get_offset_text().set(fontsize="x-small", color=INK)
    for side, spine in ax.spines.items():
        spine.set_color(INK)
        spine.set_alpha(0.35)
        spine.set_visible(side in ("left", "bottom"))
    return ax


def label(name: str, longest: int = LONGEST_LABEL) -> str:
    """A name as it fits beside an axis: of a long one the end, which tells layers apart."""
    name = "".join(character if character.isprintable() else "\ufffd" for character in name)
    return name if len(name) <= longest else "…" + name[1 - longest :]


def legend(ax: Axes, beside: bool = False) -> None:
    """A legend without a frame, where there is anything to tell apart; `beside` the axes where lines fill them."""
    handles, _ = ax.get_legend_handles_labels()
    if handles:
        place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "borderaxespad": 0.0} if beside else {}
        found = ax.legend(frameon=False, fontsize=7.6, labelcolor=INK, handlelength=1.4, **place)
        for text in found.get_texts():
            text.set_parse_math(False)


def whole_numbers(ax: Axes) -> None:
    """Ticks at whole numbers along x, where epochs and steps are."""
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))


def decades(axis: Axis) -> None:
    """Ticks of a logarithmic axis as `1e-3`: laying out powers as formulas takes as long as all the rest."""
    low, high = axis.get_view_interval()
    if low > 0 and high / low > 10:
        axis.set_major_locator(LogLocator(numticks=8))
        axis.set_major_formatter(
            FuncFormatter(lambda value, _: f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e"))
        )
    else:
        axis.set_major_locator(MaxNLocator(nbins=5))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axis.set_minor_locator(NullLocator())


def spans_decades(values: np.ndarray) -> bool:
    """Whether values are so far apart that a linear scale would hide the small ones; zeros take more to be left out."""
    known = values[np.isfinite(values)]
    positive = known[known > 0]
    if not len(positive) or len(known[known < 0]):
        return False
    return bool(np.log10(positive.max() / positive.min()) > (1.5 if len(positive) == len(known) else 4.0))


def nothing(ax: Axes, why: str) -> Axes:
    """Says in empty axes what is missing."""
    ax.text(0.5, 0.5, why, ha="center", va="center", color=INK, fontsize="small", transform=ax.transAxes)
    ax.set_xticks([])
    ax.set_yticks([])
    return inked(ax)


@contextmanager
def any_script() -> Iterator[None]:
    """A block in which a name may have letters that the font for measuring lacks: the browser has them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph .* missing from", UserWarning)
        yield
