"""What kregtools raises and warns with."""

from __future__ import annotations


class KregtoolsWarning(UserWarning):
    """Something kregtools could not do; the training run goes on without it."""


class NotWatchable(Exception):  # noqa: N818 -- no error of the run: it says what kregtools cannot do
    """The model's training steps cannot be looked into; the message says why.

    Attributes:
        of_the_run: What the model's own step fails with, where that is the reason; else `None`.
    """

    def __init__(self, why: str, of_the_run: Exception | None = None) -> None:
        super().__init__(why)
        self.of_the_run = of_the_run


class RecordError(ValueError):
    """A record on disk that cannot be read."""
