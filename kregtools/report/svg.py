"""Figures as SVG inside a page."""

from __future__ import annotations

import io
import itertools
import re
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes

from kregtools.report.style import COLOURS, any_script

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
ElementTree.register_namespace("", SVG)
ElementTree.register_namespace("xlink", XLINK)
OPTIONS = {"svg.fonttype": "none", "svg.hashsalt": "kregtools", "font.family": "sans-serif"}
FONT = re.compile(r"font: ([\d.]+px)[^;]*")
REFERENCE = re.compile(r"(^|url\()#([\w-]+)")
REFERRING = ("style", "clip-path", f"{{{XLINK}}}href")
NUMBER = re.compile(r"-?\d+\.\d{3,}")


class Drawings:
    """Makes drawings for one page: the ids within them are unique on it."""

    def __init__(self) -> None:
        self._number = itertools.count()

    def svg(self, ax: Axes, title: str) -> Markup:
        """The figure of `ax` as an SVG element in the page's own font and colours.

        Args:
            ax: The axes.
            title: What it shows, for those who cannot see it.
        """
        buffer = io.StringIO()
        with mpl.rc_context(OPTIONS), any_script():  # pyright: ignore[reportArgumentType]
            ax.figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})  # pyright: ignore
        root = ElementTree.fromstring(buffer.getvalue())
        self._shorten(root)
        for name in ("width", "height", "version"):
            root.attrib.pop(name, None)
        root.set("role", "img")
        root.set("aria-label", title)
        return Markup(ElementTree.tostring(root, encoding="unicode"))

    def _shorten(self, root: ElementTree.Element) -> None:
        """Leaves out what matplotlib tells of itself, and gives the drawing's ids and colours those of the page."""
        for parent in list(root.iter()):
            for child in list(parent):
                if child.tag in (f"{{{SVG}}}metadata", f"{{{SVG}}}style"):
                    parent.remove(child)
        prefix = f"d{next(self._number)}-"
        values = [value for element in root.iter() for value in element.attrib.values()]
        used = {name for value in values for _, name in REFERENCE.findall(value)}
        for element in root.iter():
            if element.get("id") in used:
                element.set("id", prefix + element.attrib["id"])
            else:
                element.attrib.pop("id", None)
            for name, value in element.attrib.items():
                element.set(name, _as_on_the_page(name, value, prefix))


def _as_on_the_page(name: str, value: str, prefix: str) -> str:
    """An attribute of a drawing with the page's ids and colours, and no more digits than can be seen."""
    if name in ("d", "transform"):
        return NUMBER.sub(lambda number: f"{float(number[0]):.2f}", value)
    if name in REFERRING:
        value = REFERENCE.sub(rf"\1#{prefix}\2", value)
    if name == "style":
        value = FONT.sub(r"font-size: \1", value)
        for colour, hexadecimal in COLOURS.items():
            value = value.replace(hexadecimal, f"var(--{colour})")
    return value
