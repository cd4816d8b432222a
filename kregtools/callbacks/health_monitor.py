"""Diagnosis of a fit from its training steps."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import pandas as pd

from kregtools.callbacks._guard import guarded
from kregtools.callbacks._pace import is_milestone
from kregtools.callbacks.fit_diagnosis import FitDiagnosis, Verbosity
from kregtools.capture import Capture, Schedule
from kregtools.capture.moving_averages import MovingAverages
from kregtools.capture.reduce import MAGNITUDES
from kregtools.errors import KregtoolsWarning, NotWatchable
from kregtools.record import Key

DETAILS = frozenset((*MAGNITUDES, "gradient_zero_fraction"))


class HealthMonitor(FitDiagnosis):
    """Says after `fit` whether it went well, from the logs and from the training steps themselves.

    On the steps it samples, it measures the activations, gradients, weights and updates of every layer on the very
    batch that is trained on. Watching changes nothing: the steps in between run the train function that Keras built,
    and the weights at the end are bit for bit those of a run without it. At the end it prints what it found, with the
    probable cause and the remedy, and nothing for a healthy run.

    Every sample has, of a layer, mean, std, rms, extremes, share of zeros, dead units and saturated share of its
    activation (of a very large one, of evenly spaced rows: `count` says of how many values), and norm and rms of the
    gradient of each variable; and of all of them, whether there are values that are not finite. A detailed sample looks
    at all values, counts those that are not finite, and adds the norms of each variable and of its update, the gradient
    of the activation, the share of zeros in gradients, the shares in each decade of magnitude, and what went in and
    came out: inputs, targets, outputs. From epoch 200 on, the last four of these are kept of the epochs after which the
    fit is judged. Masked time steps are left out, and a loss scale is taken off. Between epochs it infers, of each
    BatchNormalization, how far its moving averages are behind what the batches have.

    The sampled step is the training step with PyTorch and with TensorFlow's `run_eagerly`. With JAX the step is
    computed twice, and only the first time looked into: a sample costs about as much as a step. With TensorFlow's
    graphs a second train function takes the place of the first; it is tried out on the run's own batches now and
    then, and where it would not end in the same bits, TensorFlow goes JAX' way. It goes so from the start with a
    `train_step` of the user's own, and where numbers are drawn from `tf.random`: a sample then sees other ones.

    What `FitDiagnosis` says of logs, files and the place in the list of callbacks holds here as well. Where the steps
    cannot be looked into, one warning says why, and the logs are judged. Steps taken by `train_on_batch` are not
    watched.

    Args:
        sample_every: Positive integer or `"auto"`. Every how many steps to look. `"auto"` looks at steps 0, 1, 3, 7,
            15, … of the fit, then at every hundredth, and at one of every epoch. With gradient accumulation, a
            sample waits for the step that updates. Defaults to `"auto"`.
        directory: See `FitDiagnosis`.
        verbose: See `FitDiagnosis`.
        ignore: See `FitDiagnosis`.
        stop_on: See `FitDiagnosis`.
        budget: Positive float. The share of the training time that `"auto"` may spend on watching: it skips samples,
            other than the first dozen steps' and one an epoch, until it is within the budget. Tracing, once, is not
            counted. Defaults to 0.01.
        details: Boolean. Whether samples are detailed: all of them with `"auto"`, else those at steps 0, 1, 3, 7,
            15, and then at least ten steps apart. Defaults to `True`.
        tensorboard: See `FitDiagnosis`.
        resume: See `FitDiagnosis`.

    Raises:
        ValueError: If an argument is invalid, or `directory` holds the record of an earlier run and
            `resume` is not set.

    Example:
    ```python
    monitor = kregtools.callbacks.HealthMonitor()
    model.fit(x, y, validation_split=0.2, epochs=10, callbacks=[monitor])
    monitor.report("run.html")
    ```
    """

    def __init__(
        self,
        sample_every: int | Literal["auto"] = "auto",
        directory: str | Path | None = None,
        verbose: Verbosity = "auto",
        ignore: Collection[str] = (),
        stop_on: Collection[str] = (),
        budget: float = 0.01,
        details: bool = True,
        tensorboard: str | Path | None = None,
        resume: bool = False,
    ) -> None:
        super().__init__(directory, verbose, ignore, stop_on, tensorboard, resume)
        self.sample_every = sample_every
        self.budget = budget
        self.details = details
        self._schedule = Schedule(sample_every, budget, details)
        self._capture: Capture | None = None
        self._watched: keras.Model | None = None
        self._averages: MovingAverages | None = None
        self._first_step = 0
        self._spent = 0.0

    @property
    def coverage(self) -> pd.DataFrame:
        """What is watched: columns `layer`, `class`, `watched`, and `reason` for what is not; a row a layer.

        It is empty before the first sample, and where the steps cannot be looked into.
        """
        rows = self.record.facts.get("watching", {}).get("coverage", [])
        return pd.DataFrame(rows, columns=["layer", "class", "watched", "reason"])

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._stop_watching()
        super().on_train_end(logs)

    def __getstate__(self) -> dict[str, Any]:
        # A compiled train function belongs to this process, and to this model.
        return {**self.__dict__, "_capture": None, "_watched": None, "_averages": None}

    @guarded
    def _begin(self) -> None:
        super()._begin()
        self._spent = 0.0
        try:
            if self._capture is None or self._watched is not self.model:
                self._capture, self._watched = Capture(self.model), self.model
        except NotWatchable as why:
            self._judge_logs_alone(str(why))
            return
        self.record.add_facts({"watching": {"taps": True}})
        self._averages = MovingAverages(self.model)
        self._capture.install(self._schedule)

    @guarded
    def _begin_epoch(self, epoch: int) -> None:
        super()._begin_epoch(epoch)
        if self._capture is not None:
            self._first_step = self._last_step(epoch - 1) + 1
            if self._averages is not None:
                self._averages.begin()
            self._capture.begin_epoch(epoch, self._first_step, (self.params or {}).get("steps"))

    @guarded
    def _end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        self._add_samples()
        self._add_lag(epoch)
        super()._end_epoch(epoch, logs)

    def _add_lag(self, epoch: int) -> None:
        if self._capture is None or self._averages is None:
            return
        began, last = time.perf_counter(), self._last_step(epoch)
        lag = self._averages.lag(last + 1 - self._first_step)
        if lag and is_milestone(epoch):
            self.record.add_sample(last, epoch, lag)
        self._own_seconds += time.perf_counter() - began

    def _last_step(self, epoch: int) -> int:
        # A train step of the user's own may call several optimizers, or one several times.
        capture = self._capture
        return capture.last_step if capture is not None and capture.steps else super()._last_step(epoch)

    def _add_samples(self) -> None:
        if self._capture is not None:
            self._take_samples(self._capture)

    def _take_samples(self, capture: Capture) -> None:
        for sample in capture.drain():
            values = sample.values if is_milestone(sample.epoch) else _in_brief(sample.values)
            self.record.add_sample(sample.step, sample.epoch, values)
        self._spent = capture.seconds
        if capture.given_up is not None:
            self._judge_logs_alone(capture.given_up)
        elif capture.steps == 0:
            self._judge_logs_alone("its `fit` does not call `train_function`")
        else:
            watching = {"taps": True, "exact": capture.exact, "coverage": capture.coverage}
            if watching != self.record.facts.get("watching"):
                self.record.add_facts({"watching": watching, "weighted": capture.weighted})

    def _judge_logs_alone(self, why: str) -> None:
        self._stop_watching()
        self._capture = None
        self.record.add_facts({"watching": {"taps": False, "reason": why}})
        warnings.warn(
            f"HealthMonitor judges the logs alone, the training steps cannot be looked into: {why}. Training goes on.",
            KregtoolsWarning,
            stacklevel=2,
        )

    def _stop_watching(self) -> None:
        if self._capture is not None:
            self._capture.remove()

    def _watching_seconds(self) -> float:
        return super()._watching_seconds() + self._spent


def _in_brief(values: dict[Key, float]) -> dict[Key, float]:
    """What is kept of every epoch of a long fit."""
    return {key: value for key, value in values.items() if not _is_detail(*key)}


def _is_detail(layer: str, tensor: str, statistic: str) -> bool:
    of_data = not layer and tensor != "loss"
    of_activation = tensor.startswith("activation") and statistic.startswith("gradient")
    return of_data or of_activation or statistic in DETAILS
