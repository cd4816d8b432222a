"""What a person sees of a diagnosis."""

from kregtools.report.html import write_html

__all__ = ["write_html"]
