"""Two train functions and a dispatcher between them."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from kregtools.capture.firing import FiringUnits
from kregtools.capture.names import named_layers
from kregtools.capture.recorder import Key, Layout
from kregtools.capture.schedule import Schedule
from kregtools.errors import NotWatchable

MOST_PENDING = 256


class StepStatistics(NamedTuple):
    """The statistics of one sampled step."""

    step: int
    epoch: int
    values: dict[Key, float]


class Dispatcher:
    """Stands where `fit` looks for the train function, for the length of one fit."""

    def __init__(self, capture: Capture, plain: Callable[..., Any], model: Any) -> None:
        self.capture, self.plain = capture, plain
        self._history = weakref.ref(model.history) if getattr(model, "history", None) is not None else None

    def __call__(self, *args: Any) -> Any:
        model = self.capture.model
        if self.is_stale(model):
            model.train_function = self.plain
            return self.plain(*args)
        return self.capture.step(self.plain, *args)

    def is_stale(self, model: keras.Model) -> bool:
        """Whether the fit that this was made for is over: an interrupted one has no chance to clean up."""
        return self._history is not None and self._history() is not getattr(model, "history", None)


class Capture:
    """Looks into the sampled steps of one model's `fit`.

    `fit` reads `model.train_function` at every step. `install` puts a dispatcher there: a step that is not due runs
    the very function that Keras built; one that is due runs a second function, built once from the same `train_step`
    with the taps on while it is traced. Its statistics leave the step as one extra output, which the dispatcher
    takes off and queues without waiting for it.

    Args:
        model: A compiled model whose train function exists, as it does from `on_train_begin` on.

    Attributes:
        epoch: The epoch that the samples belong to.
        given_up: Why nothing more is sampled in this fit, `None` while all is well.

    Raises:
        NotWatchable: If there is no way to look into the steps of this model.
    """

    def __init__(self, model: keras.Model) -> None:
        backend = keras.backend.backend()
        if backend != "tensorflow":
            raise NotWatchable(f"only the TensorFlow backend is supported so far, and this is {backend}")
        from kregtools.capture import tensorflow as adapter

        reason = adapter.reason_not_to_watch(model)
        if reason is not None:
            raise NotWatchable(reason)
        self._adapter = adapter
        self._model = weakref.ref(model)
        self._plain: Callable[..., Any] | None = None
        self._sampled: Callable[..., Any] | None = None
        self._layouts: list[Layout] = []

    @property
    def model(self) -> Any:
        model = self._model()
        if model is None:
            raise ReferenceError("the model that was watched is gone")
        return model

    def install(self, schedule: Schedule, first_step: int = 0) -> None:
        """Puts the dispatcher in place for one fit.

        Args:
            schedule: Decides which steps are due.
            first_step: The global step at which this fit begins.
        """
        self._schedule, self._first_step = schedule, first_step
        self._taken, self.epoch = 0, 0
        self.given_up: str | None = None
        self._pending: list[tuple[int, int, dict[str, Any]]] = []
        self._decoded: list[StepStatistics] = []
        self._firing = FiringUnits()
        self._usual = deque[float](maxlen=MOST_PENDING)
        self._sampled_seconds, self._sampled_steps = 0.0, 0
        schedule.reset()
        self.refresh()

    def refresh(self) -> None:
        """Puts the dispatcher back if the train function was made anew, as compiling again does."""
        model = self.model
        current = model.train_function
        while isinstance(current, Dispatcher) and current.is_stale(model):
            current = current.plain
        if isinstance(current, Dispatcher) and current.capture is self:
            return
        if current is not self._plain:
            self._plain, self._sampled = current, None
        model.train_function = Dispatcher(self, current, model)

    def remove(self) -> None:
        """Gives the model its own train function back."""
        model: Any = self._model()
        current = getattr(model, "train_function", None)
        if model is not None and isinstance(current, Dispatcher) and current.capture is self:
            model.train_function = current.plain

    def begin_epoch(self, epoch: int) -> None:
        self.epoch = epoch
        self._schedule.begin_epoch()
        if self.given_up is None:
            self.refresh()

    def step(self, plain: Callable[..., Any], *args: Any) -> Any:
        """One call of the train function: the plain one, or the sampled one where a sample is due."""
        last = self._taken + self.model.steps_per_execution - 1
        sampled = self._schedule.due(last)
        began = time.perf_counter()
        logs = self._sample(plain, last, *args) if sampled else plain(*args)
        seconds = time.perf_counter() - began
        if sampled:
            self._sampled_seconds += seconds
            self._sampled_steps += 1
        else:
            self._usual.append(seconds)
        self._taken = last + 1
        return logs

    def drain(self) -> list[StepStatistics]:
        """The statistics queued since the last call; waits for the steps they belong to."""
        self._decode_pending()
        decoded, self._decoded = self._decoded, []
        return decoded

    @property
    def seconds(self) -> float:
        """Time spent in sampled steps beyond what plain ones take, tracing included; NaN if every step was sampled."""
        usual = float(np.median(self._usual)) if self._usual else float("nan")
        return self._sampled_seconds - self._sampled_steps * usual

    # ---- private

    def _sample(self, plain: Callable[..., Any], last: int, *args: Any) -> Any:
        try:
            sampled = self._sampled or self._build()
        except Exception as error:  # an overridden `make_train_function` can do anything
            self._give_up(f"a second train function cannot be made ({type(error).__name__}: {error})")
            return plain(*args)
        try:
            result = sampled(*args)
        except NotWatchable as why:  # told while the step was traced, before any of it ran
            self._give_up(str(why))
            return plain(*args)
        if not (isinstance(result, dict) and self._adapter.WATCH in result):
            self._give_up("its `make_train_function` does not use `train_step`")
            return result
        try:
            self._keep(last, result[self._adapter.WATCH])
        except Exception as error:
            self._give_up(f"the statistics cannot be read ({type(error).__name__}: {error})")
        return result["logs"]

    def _keep(self, last: int, payload: dict[str, Any]) -> None:
        self._schedule.sampled(last)
        self._pending.append((self._first_step + last, self.epoch, payload))
        if len(self._pending) == MOST_PENDING:
            self._decode_pending()
        if not any(layout.scalars for layout in self._layouts):
            self._give_up("no layer and no optimizer is called inside its `train_step`")

    def _build(self) -> Callable[..., Any]:
        # Not sooner: other callbacks may have frozen layers when the fit began.
        _build_optimizer(self.model)
        self._sampled, self._layouts = self._adapter.build(self.model, self._schedule.every_step)
        return self._sampled

    def _give_up(self, reason: str) -> None:
        self.remove()
        self._pending.clear()
        self.given_up = reason

    def _decode_pending(self) -> None:
        pending, self._pending = self._pending, []
        for step, epoch, payload in pending:
            self._decoded.append(StepStatistics(step, epoch, self._decode(payload)))

    def _decode(self, payload: dict[str, Any]) -> dict[Key, float]:
        arrays = {name: self._adapter.to_numpy(value) for name, value in payload.items()}
        layout = self._layouts[int(arrays["layout"])]
        values = {key: float(value) for key, value in zip(layout.scalars, arrays["scalars"], strict=True)}
        start = 0
        for layer, units in layout.firing:
            firing = arrays["firing"][start : start + units]
            rows = int(values[layer, "activation", "rows"])
            values[layer, "activation", "dead_units"] = self._firing.dead(layer, rows, firing)
            values[layer, "activation", "units"] = float(units)
            start += units
        return values


def _build_optimizer(model: keras.Model) -> None:
    # As Keras would in the first step, under the same name; a custom train step knows its own variables best.
    optimizer = model.optimizer
    own_step = type(model).train_step is not keras.Model.train_step
    built = all(layer.built for _, layer in named_layers(model))
    if optimizer is None or optimizer.built or own_step or not built or not model.trainable_variables:
        return
    with keras.name_scope(optimizer.name):
        optimizer.build(model.trainable_variables)
