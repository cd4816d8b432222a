"""Which training steps are looked at."""

from __future__ import annotations

from typing import Literal

AUTO_INTERVAL = 100


class Schedule:
    """Decides which steps are sampled.

    An integer samples every so many steps. `"auto"` samples steps 0, 1, 3, 7, 15, … while training changes fastest,
    then every hundredth, and the first step of every epoch.

    Args:
        sample_every: Positive integer or `"auto"`.

    Raises:
        ValueError: If `sample_every` is neither.
    """

    def __init__(self, sample_every: int | Literal["auto"] = "auto") -> None:
        whole = isinstance(sample_every, int) and not isinstance(sample_every, bool)
        if sample_every != "auto" and not (whole and sample_every >= 1):
            raise ValueError(
                "Invalid value for argument `sample_every`. "
                f"Received: sample_every={sample_every!r}. Expected a positive integer (1 looks at every step) or "
                "'auto'. To watch nothing but the logs, use `FitDiagnosis` instead."
            )
        self._interval = None if sample_every == "auto" else int(sample_every)
        self.reset()

    @property
    def every_step(self) -> bool:
        """Whether no step is left out."""
        return self._interval == 1

    def reset(self) -> None:
        """Starts again at step 0."""
        self._next = 0

    def begin_epoch(self) -> None:
        """Makes the next step due, so that no epoch passes unseen."""
        if self._interval is None:
            self._next = 0

    def due(self, step: int) -> bool:
        """Whether `step`, counted from the beginning of this fit, is to be sampled."""
        return step >= self._next

    def sampled(self, step: int) -> None:
        """Notes that `step` was sampled. Steps may be skipped, as `steps_per_execution` does."""
        if self._interval is None:
            self._next = 2 * step + 1 if step < AUTO_INTERVAL else step + AUTO_INTERVAL
        else:
            self._next = (step // self._interval + 1) * self._interval
