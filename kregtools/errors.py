"""What kregtools raises and warns with."""

from __future__ import annotations


class KregtoolsWarning(UserWarning):
    """Something kregtools could not do; the training run goes on without it."""


class RecordError(ValueError):
    """A record on disk that cannot be read."""
