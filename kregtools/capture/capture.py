"""A dispatcher between the model's own train function and the one that looks."""

from __future__ import annotations

import importlib
import math
import sys
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from kregtools.capture.decoding import Decoder, Pending, StepStatistics
from kregtools.capture.sampler import Sample, Sampler, timed
from kregtools.capture.schedule import Schedule
from kregtools.errors import NotWatchable

MOST_PENDING = 64


class Dispatcher:
    """Stands where `fit` looks for the train function, for the length of one fit.

    Several captures may look into the same fit: a step that is due for any of them is run once, and told to all for
    which it is due.
    """

    def __init__(self, plain: Callable[..., Any], model: Any) -> None:
        self.plain, self.captures = plain, list[Capture]()
        self._model = weakref.ref(model)
        self._history = weakref.ref(model.history) if getattr(model, "history", None) is not None else None

    def __call__(self, *args: Any) -> Any:
        model: Any = self._model()
        if self.is_stale(model):
            model.train_function = self.plain
            return self.plain(*args)
        if sys._getframe(1).f_code.co_name == "train_on_batch":  # no step of the fit
            return self.plain(*args)
        due = [capture for capture in self.captures if capture.is_due()]
        if due:
            detailed = any(capture.wants_details() for capture in due)
            sample = due[0].sample(detailed, self.plain, *args)
        else:
            result, seconds = timed(self.plain, *args)
            sample = Sample(result, None, plain_seconds=seconds)
        for capture in list(self.captures):
            capture.step_done(sample, capture in due)
        return sample.result

    def is_stale(self, model: keras.Model) -> bool:
        """Whether the fit that this was made for is over: an interrupted one has no chance to clean up."""
        return self._history is not None and self._history() is not getattr(model, "history", None)


class Capture:
    """Looks into the sampled steps of one model's `fit`.

    `fit` reads `model.train_function` at every step. `install` puts a dispatcher there: a step that is not due runs
    the very function that Keras built; one that is due is run by a sampler, which knows the backend. Statistics are
    queued without waiting for them.

    Args:
        model: A compiled model whose train function exists, as it does from `on_train_begin` on.

    Attributes:
        epoch: The epoch that the samples belong to.
        given_up: Why nothing more is sampled in this fit, `None` while all is well.
        steps: How many steps of this fit were seen, sampled or not.

    Raises:
        NotWatchable: If there is no way to look into the steps of this model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._adapter = importlib.import_module(f"kregtools.capture.{_adapter_name()}")
        compiled = getattr(model, "compiled", False)
        reason = self._adapter.reason_not_to_watch(model) if compiled else "it is not compiled"
        if reason is not None:
            raise NotWatchable(reason)
        self._model = weakref.ref(model)
        self._plain: Callable[..., Any] | None = None
        # Seconds of plain steps, after the first one, which is traced.
        self._usual: deque[float] | None = None
        self._samplers: dict[bool, Sampler] = {}
        # Those that run the samples: another capture's, where that was asked to.
        self._watching: dict[bool, Sampler] = {}

    @property
    def model(self) -> Any:
        model = self._model()
        if model is None:
            raise ReferenceError("the model that was watched is gone")
        return model

    def install(self, schedule: Schedule) -> None:
        """Puts the dispatcher in place for one fit.

        Args:
            schedule: Decides which steps are due.
        """
        self._schedule = schedule
        self.steps, self.epoch, self._first_step, self._epoch_end = 0, 0, 0, math.inf
        self._waited = 0
        self.given_up: str | None = None
        self._pending: list[Pending] = []
        self._decoded: list[StepStatistics] = []
        self._decoder = Decoder(self._adapter.to_numpy)
        self._began = time.perf_counter()
        self._tracing, self._spent = 0.0, 0.0
        self._unsplit = 0, 0.0  # sampled steps that cannot be told from what watching them cost, and their seconds
        schedule.reset()
        self.refresh()

    def refresh(self) -> None:
        """Puts the dispatcher back if the train function was made anew, as compiling again does."""
        model = self.model
        current = model.train_function
        while isinstance(current, Dispatcher) and current.is_stale(model):
            current = current.plain
        if current is None:  # in a loop of the user's own, which calls no train function
            return
        if not isinstance(current, Dispatcher):
            current = model.train_function = Dispatcher(current, model)
        if self not in current.captures:
            current.captures.append(self)
        if current.plain is not self._plain:
            self._plain, self._samplers, self._usual = current.plain, {}, None

    def remove(self) -> None:
        """Gives the model its own train function back."""
        model: Any = self._model()
        current = getattr(model, "train_function", None)
        if isinstance(current, Dispatcher) and self in current.captures:
            current.captures.remove(self)
            if not current.captures:
                model.train_function = current.plain

    def begin_epoch(self, epoch: int, step: int, steps: int | None) -> None:
        """Notes that `epoch` begins, at the global step `step`, and how many steps it has, if that is known."""
        if self.steps == 0:
            self._first_step = step
        self.epoch = epoch
        self._epoch_end = self.steps + steps if steps else math.inf
        self._schedule.begin_epoch(self.steps, steps)
        if self.given_up is None:
            self.refresh()

    def is_due(self) -> bool:
        """Whether the coming call of the train function is to be looked into."""
        last = self._last()
        if not self._schedule.due(last, self._share):
            return False
        optimizer = self.model.optimizer
        every = getattr(getattr(optimizer, "inner_optimizer", optimizer), "gradient_accumulation_steps", None)
        if not every or (self._first_step + last + 1) % every == 0 or self._waited >= every:
            self._waited = 0
            return True
        self._waited += 1
        return False

    def wants_details(self) -> bool:
        """Whether the coming sample is to have details."""
        return self._schedule.detailed(self._last())

    def sample(self, detailed: bool, plain: Callable[..., Any], *args: Any) -> Sample:
        """Runs one call of the train function and looks into it."""
        began = time.perf_counter()
        try:
            if detailed not in self._samplers:
                self._samplers[detailed] = self._adapter.sampler(self.model, detailed)
            sampler = self._samplers[detailed]
            sample = sampler(plain, *args)._replace(sampler=sampler)
        except NotWatchable as why:  # told before any of the step ran
            not_watchable = why
        else:
            self._note_costs(sample, time.perf_counter() - began)
            return sample
        try:
            result, seconds = timed(plain, *args)
            return Sample(result, None, plain_seconds=seconds, why_not=str(not_watchable))
        except Exception as error:
            # What a first trace has left behind lets a second one fail of something else.
            failed = not_watchable.of_the_run or error
        raise failed

    def step_done(self, sample: Sample, due: bool) -> None:
        """Notes that a call of the train function is over, sampled for this capture (`due`) or not."""
        if self._usual is not None and not np.isnan(sample.plain_seconds):
            self._usual.append(sample.plain_seconds)
        elif not np.isnan(sample.plain_seconds):
            self._usual = deque(maxlen=MOST_PENDING)
        first, last = self.steps, self._last()
        self.steps = last + 1
        if not due or self.given_up is not None:
            return
        detailed = sample.sampler is not None and sample.sampler.details
        self._schedule.sampled(last, detailed)
        if sample.why_not is not None:
            self._give_up(sample.why_not)
        if sample.payload is None or sample.sampler is None or sample.why_not is not None:
            return
        self._watching[detailed] = sample.sampler
        step = self._first_step + (last if sample.sampler.sees_last else first)
        self._pending.append(Pending(step, self.epoch, sample.payload))
        if len(self._pending) == MOST_PENDING:
            self._decode_pending()

    def drain(self) -> list[StepStatistics]:
        """The statistics queued since the last call; waits for the steps they belong to."""
        self._decode_pending()
        drained, self._decoded = self._decoded, []
        return drained

    @property
    def seconds(self) -> float:
        """Time spent in sampled steps beyond what plain ones take, tracing included; NaN if it cannot be told."""
        return self._tracing + self._recurring()

    @property
    def last_step(self) -> int:
        """The global step that was run last, sampled or not."""
        return self._first_step + self.steps - 1

    @property
    def weighted(self) -> bool:
        """Whether the rows of the sampled batches have weights."""
        found = (sampler.coverage for sampler in self._watching.values())
        return any(coverage is not None and coverage.weighted for coverage in found)

    @property
    def coverage(self) -> list[dict[str, Any]]:
        """What of each layer is watched, and why the rest is not; empty before the first sample."""
        found = [self._watching[detailed].coverage for detailed in sorted(self._watching, reverse=True)]
        return next((coverage.rows() for coverage in found if coverage is not None), [])

    @property
    def exact(self) -> dict[str, str]:
        """How the samples are kept from changing the run, by kind of sample."""
        return {"detailed" if detailed else "plain": sampler.exact for detailed, sampler in self._watching.items()}

    # ---- private

    def _note_costs(self, sample: Sample, seconds: float) -> None:
        watching = sample.seconds if not np.isnan(sample.seconds) else seconds
        if sample.traced:
            self._tracing += watching
        elif not np.isnan(sample.seconds):
            self._spent += watching
        else:
            self._unsplit = self._unsplit[0] + 1, self._unsplit[1] + watching

    def _last(self) -> int:
        return int(min(self.steps + self.model.steps_per_execution, self._epoch_end)) - 1

    def _share(self) -> float:
        elapsed = time.perf_counter() - self._began - self._tracing
        share = self._recurring() / elapsed if elapsed > 0 else 0.0
        return 0.0 if np.isnan(share) else share

    def _recurring(self) -> float:
        count, seconds = self._unsplit
        usual = float(np.median(self._usual)) if self._usual else float("nan")
        return self._spent + (max(seconds - count * usual, 0.0) if count else 0.0)

    def _give_up(self, reason: str) -> None:
        self.remove()
        self._pending.clear()
        self.given_up = reason

    def _decode_pending(self) -> None:
        pending, self._pending = self._pending, []
        try:
            self._decoded += self._decoder(pending)
        except Exception as error:
            self._give_up(f"the statistics cannot be read ({type(error).__name__}: {error})")


def _adapter_name() -> str:
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax", "torch"):
        raise NotWatchable(f"the backends that can be watched are tensorflow, jax and torch, and this is {backend}")
    return backend
