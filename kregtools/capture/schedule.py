"""Which training steps are looked at, and how closely."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

AUTO_INTERVAL = 100
DETAIL_INTERVAL = 10
# Multiples of it fall evenly between whole numbers, however many there are.
GOLDEN_RATIO = (5**0.5 - 1) / 2


class Schedule:
    """Decides which steps are sampled, and which of the samples are detailed.

    An integer samples every so many steps. `"auto"` samples steps 0, 1, 3, 7, 15, … while training changes fastest,
    then every hundredth, and one step of every epoch, never at the same place: with a fixed seed, Keras shuffles into
    the same order each time; nor the last, which is often smaller. The hundredths wait until the time spent watching
    is within the budget again.

    Every sample of `"auto"` is detailed, and else the first at or after steps 0, 1, 3, 7, 15, then ten steps apart.

    Args:
        sample_every: Positive integer or `"auto"`.
        budget: Positive float: the share of the training time that `"auto"` may spend on watching.
        details: Whether there are detailed samples at all.

    Raises:
        ValueError: If an argument is none of these.
    """

    def __init__(
        self, sample_every: int | Literal["auto"] = "auto", budget: float = 0.01, details: bool = True
    ) -> None:
        whole = isinstance(sample_every, int) and not isinstance(sample_every, bool)
        if sample_every != "auto" and not (whole and sample_every >= 1):
            raise ValueError(
                "Invalid value for argument `sample_every`. "
                f"Received: sample_every={sample_every!r}. Expected a positive integer (1 looks at every step) or "
                "'auto'. To watch nothing but the logs, use `FitDiagnosis` instead."
            )
        if isinstance(budget, bool) or not isinstance(budget, (int, float)) or not budget > 0:
            raise ValueError(
                f"Invalid value for argument `budget`. Received: budget={budget!r}. Expected a positive number: the "
                "share of the training time to spend on watching, such as 0.01."
            )
        self._interval = None if sample_every == "auto" else int(sample_every)
        self._budget, self._details = float(budget), bool(details)
        self.reset()

    def reset(self) -> None:
        """Starts again at step 0."""
        self._next, self._must = 0, True
        self._next_of_epoch, self._epochs = math.inf, 0
        self._next_detail = 0

    def begin_epoch(self, step: int = 0, steps: int | None = None) -> None:
        """Makes one step of the epoch due, so that none passes unseen.

        Args:
            step: Its first step, counted from the beginning of this fit.
            steps: How many it has, if that is known.
        """
        if self._interval is None:
            self._next_of_epoch = step + int(self._epochs * GOLDEN_RATIO % 1 * ((steps or 1) - 1))
            self._epochs += 1

    def due(self, step: int, share: Callable[[], float] = float) -> bool:
        """Whether `step` is to be sampled.

        Args:
            step: The step, counted from the beginning of this fit.
            share: Tells the share of this fit's time that was spent on watching so far.
        """
        return step >= self._next_of_epoch or (step >= self._next and (self._must or share() <= self._budget))

    def detailed(self, step: int) -> bool:
        """Whether the sample at `step` is to have details."""
        return self._details and (self._interval is None or step >= self._next_detail)

    def sampled(self, step: int, detailed: bool = False) -> None:
        """Notes that `step` was sampled. Steps may be skipped, as `steps_per_execution` does."""
        if detailed:
            self._next_detail = step + min(step + 1, DETAIL_INTERVAL)
        self._next_of_epoch = math.inf
        if self._interval is None:
            self._must = step < AUTO_INTERVAL
            self._next = 2 * step + 1 if self._must else step + AUTO_INTERVAL
        else:
            self._next = (step // self._interval + 1) * self._interval
