"""Diagnosis of a fit from its training steps."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import keras

from kregtools.callbacks._guard import guarded
from kregtools.callbacks.fit_diagnosis import FitDiagnosis, Verbosity
from kregtools.capture import Capture, Schedule
from kregtools.errors import KregtoolsWarning, NotWatchable


class HealthMonitor(FitDiagnosis):
    """Says after `fit` whether it went well, from the logs and from the training steps themselves.

    On the steps it samples, it measures the activations, gradients, weights and updates of every layer on the very
    batch that is trained on. Watching changes nothing: the steps in between run the train function that Keras built,
    and the weights at the end are bit for bit those of a run without it (TensorFlow, CPU). At the end it prints what
    it found, with the probable cause and the remedy, and nothing for a healthy run.

    What `FitDiagnosis` says of logs, files and the place in the list of callbacks holds here as well. The steps are
    looked into on the TensorFlow backend; elsewhere, one warning says so and the logs are judged.

    Args:
        sample_every: Positive integer or `"auto"`. Every how many steps to look. `"auto"` looks at steps 0, 1, 3, 7,
            15, … of the fit, then at every hundredth, and at the first of every epoch. Defaults to `"auto"`.
        directory: See `FitDiagnosis`.
        verbose: See `FitDiagnosis`.
        ignore: See `FitDiagnosis`.
        stop_on: See `FitDiagnosis`.

    Raises:
        ValueError: If an argument is invalid, or `directory` holds the record of an earlier run.

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
    ) -> None:
        super().__init__(directory=directory, verbose=verbose, ignore=ignore, stop_on=stop_on)
        self.sample_every = sample_every
        self._schedule = Schedule(sample_every)
        self._capture: Capture | None = None
        self._watched: keras.Model | None = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._begin_epoch(epoch)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._stop_watching()
        super().on_train_end(logs)

    def __getstate__(self) -> dict[str, Any]:
        # A compiled train function belongs to this process, and to this model.
        return {**self.__dict__, "_capture": None, "_watched": None}

    @guarded
    def _begin(self) -> None:
        super()._begin()
        try:
            if self._capture is None or self._watched is not self.model:
                self._capture, self._watched = Capture(self.model), self.model
        except NotWatchable as why:
            self._judge_logs_alone(str(why))
            return
        self.record.add_facts({"watching": {"taps": True}})
        self._capture.install(self._schedule, first_step=self._last_step(-1) + 1)

    @guarded
    def _begin_epoch(self, epoch: int) -> None:
        if self._capture is not None:
            self._capture.begin_epoch(epoch)

    @guarded
    def _end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        if self._capture is not None:
            for sample in self._capture.drain():
                self.record.add_sample(sample.step, sample.epoch, sample.values)
            if self._capture.given_up is not None:
                self._judge_logs_alone(self._capture.given_up)
        super()._end_epoch(epoch, logs)

    def _judge_logs_alone(self, why: str) -> None:
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
        sampled = self._capture.seconds if self._capture is not None else 0.0
        return super()._watching_seconds() + sampled
