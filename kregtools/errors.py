"""What kregtools raises and warns with."""

from __future__ import annotations


class KregtoolsWarning(UserWarning):
    """Something kregtools could not do; the training run goes on without it."""


class NotWatchable(Exception):  # noqa: N818 -- no error of the run: it says what kregtools cannot do
    """The model's training steps cannot be looked into; the message says why."""


class RecordError(ValueError):
    """A record on disk that cannot be read."""
