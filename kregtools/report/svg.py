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
        used = {match for element in root.iter() for value in element.attrib.values() for match in _references(value)}
        for element in root.iter():
            for name, value in list(element.attrib.items()):
                if name == "id":
                    element.set(name, prefix + value) if value in used else element.attrib.pop(name)
                elif name in ("style", "d", "transform", "clip-path", f"{{{XLINK}}}href"):
                    element.set(name, _page_value(name, value, prefix))


def _references(value: str) -> list[str]:
    return re.findall(r"^#([\w-]+)$|url\(#([\w-]+)\)", value) and [
        one or other for one, other in re.findall(r"^#([\w-]+)$|url\(#([\w-]+)\)", value)
    ]


def _page_value(name: str, value: str, prefix: str) -> str:
    if name == "style":
        value = FONT.sub(r"font-size: \1", value)
        for colour, hexadecimal in COLOURS.items():
            value = value.replace(hexadecimal, f"var(--{colour})")
    elif name in ("d", "transform"):
        return NUMBER.sub(lambda number: f"{float(number[0]):.2f}", value)
    return (
        re.sub(r"(^|url\()#", rf"\1#{prefix}", value) if name != "style" else value.replace("url(#", f"url(#{prefix}")
    )
