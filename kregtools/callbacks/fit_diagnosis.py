"""Diagnosis of a fit from its logs."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from rich.text import Text

from kregtools.callbacks._guard import guarded
from kregtools.callbacks._monitors import enter, shift_values
from kregtools.callbacks._outlets import Events, Outlet, Outlets, Page, Printed
from kregtools.callbacks._pace import is_milestone
from kregtools.capture import model_facts
from kregtools.capture.host import expect_nan
from kregtools.diagnosis import Diagnosis, check_names, diagnose
from kregtools.errors import KregtoolsWarning, RecordError
from kregtools.normalization import VarianceShift
from kregtools.record import Journal, Record, journal_path
from kregtools.report.summary import epoch_values

Verbosity = Literal["auto", 0, 1, 2]


class FitDiagnosis(keras.callbacks.Callback):
    """Says after `fit` whether it went well, from the logs alone.

    It judges what losses and metrics show: overfitting, underfitting, NaN. Use `HealthMonitor`, which looks into the
    training steps as well, unless the backend or the train step does not allow it. Put it first in the list of
    callbacks, so that the others see what it adds to the logs.

    The fit is judged at its end and after every epoch; from epoch 200 on after every second one, from 300 on after
    every third, and so on.

    Every epoch it adds to the logs, as floats, NaN where there is nothing to measure:

    - `kreg/grad_norm`: the norm of the gradient, the mean of the epoch's sampled steps (`HealthMonitor`);
    - `kreg/update_ratio`: the largest ratio of a kernel's update to its norm (`HealthMonitor`);
    - `kreg/dead_units`: the share of ReLU units that are off for every row (`HealthMonitor`);
    - `kreg/generalization_gap`: validation loss less training loss;
    - `kreg/findings`: the number of symptoms so far.

    Args:
        directory: Directory to keep the record in, as the run goes on; read it back with `kregtools.load`. Each run
            needs one of its own, unless `resume` is set. Defaults to `None`: the record stays in memory and no file
            is written.
        verbose: `"auto"`, 0, 1 or 2. `"auto"` prints the diagnosis at the end if there is something to say and
            nothing for a healthy run; 0 prints nothing, 1 always prints it at the end, 2 also a line after each
            epoch, with new findings. In a notebook, 2 is one output that follows the run. Defaults to `"auto"`.
        ignore: Names of symptoms and causes not to look for. Defaults to `()`.
        stop_on: Names of symptoms that end training after the epoch that showed them. Defaults to `()`: nothing
            ends it.
        tensorboard: Log directory for TensorBoard. Every epoch, scalars, histograms and the diagnosis are written to
            the run `kregtools` in it, next to what Keras' own `TensorBoard` callback writes there. Defaults to
            `None`: none.
        resume: Whether to go on with the record in `directory` if there is one, as `BackupAndRestore` goes on with
            the model: with a fit that starts at epoch k, what was seen before k is kept; with one that starts at
            epoch 0 the record starts anew. Defaults to `False`.

    Raises:
        ValueError: If an argument is not one of the above, or `directory` holds the record of an earlier run and
            `resume` is not set.

    Example:
    ```python
    diagnosis = kregtools.callbacks.FitDiagnosis()
    model.fit(x, y, validation_split=0.2, epochs=10, callbacks=[diagnosis])
    print(diagnosis.diagnosis)
    ```
    """

    # The batch hooks are not used: Keras need not wait for the logs of every step.
    async_safe = True
    # Set by Keras before any hook is called.
    model: Any
    params: Any

    def __init__(
        self,
        directory: str | Path | None = None,
        verbose: Verbosity = "auto",
        ignore: Collection[str] = (),
        stop_on: Collection[str] = (),
        tensorboard: str | Path | None = None,
        resume: bool = False,
    ) -> None:
        super().__init__()
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(
                f"Invalid value for argument `verbose`. Received: verbose={verbose!r}. Expected 'auto', 0, 1 or 2."
            )
        check_names("ignore", ignore)
        check_names("stop_on", stop_on, causes=False)
        if not resume:
            _check_directory(directory)
        self.directory = directory
        self.verbose = verbose
        self.ignore = tuple(ignore)
        self.stop_on = tuple(stop_on)
        self.tensorboard = tensorboard
        self.resume = resume
        self.record = Record()
        self._earlier: Record | None = None
        self.failed = False
        self._journal: Journal | None = None
        self._diagnosis: Diagnosis | None = None
        self._new_epochs = 0
        self._warned: set[str] = set()
        self._page: Path | None = None
        self._printed, self._outlets = Printed(False), Outlets({})
        self._began, self._seconds, self._own_seconds = 0.0, 0.0, 0.0

    # ---- what it found

    @property
    def diagnosis(self) -> Diagnosis:
        """The diagnosis of the last fit, as of its last epoch."""
        if self._diagnosis is None or self._new_epochs:
            self._diagnosis, self._new_epochs = diagnose(self.record, self.ignore), 0
        return self._diagnosis

    @property
    def overhead(self) -> float:
        """Seconds spent watching over seconds spent training, in the last fit; NaN where it cannot be told."""
        training = self._training_seconds()
        return self._watching_seconds() / training if training > 0 else math.nan

    def report(self, path: str | Path = "report.html", live: bool = False) -> Path:
        """Writes the report of the last fit: one HTML file that needs no other.

        Args:
            path: Where to write it. Defaults to `"report.html"`.
            live: Boolean. Whether to write it anew after every epoch of the fits to come, each time at once or not
                at all; called before `fit`. An open page loads itself anew. That takes a second or two an epoch.
                Defaults to `False`.

        Returns:
            The path.

        Raises:
            FileNotFoundError: If the directory does not exist.

        Example:
        ```python
        monitor.report("run.html", live=True)  # open it in a browser
        model.fit(x, y, epochs=50, callbacks=[monitor])
        ```
        """
        from kregtools.report import write_html

        written = write_html(path, self.record, self.diagnosis, live=live)
        self._page = written.resolve() if live else self._page
        return written

    def _repr_html_(self) -> str:
        from kregtools.report.notebook import view

        return view(self.diagnosis, self.record)

    def add(self, shift: VarianceShift, epoch: int | None = None) -> None:
        """Adds what `kregtools.variance_shift` measured on the model to the record, and judges it with the rest.

        A `RecalibrateBatchNorm` in the same list of callbacks does so by itself.

        Args:
            shift: What was measured.
            epoch: The epoch it belongs to. Defaults to the last one.
        """
        epoch = int(self.record.epochs[-1]) if epoch is None else epoch
        self._add_samples()
        self.record.add_sample(self._last_step(epoch), epoch, shift_values(self.model, shift))
        self._diagnosis = None
        self._flush()

    # ---- hooks

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.failed = False
        self._begin()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._begin_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._end_epoch(epoch, {} if logs is None else logs)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._end()

    # ---- what the hooks do

    @guarded
    def _begin(self) -> None:
        expect_nan()
        # Allow instances to be re-used across `model.fit()` calls.
        self._earlier = self.record if self.record.logs else None
        self.record = Record({**model_facts(self.model, self.params), "watching": {"taps": False}})
        self._diagnosis, self._new_epochs, self._warned = None, 0, set()
        self._began, self._seconds, self._own_seconds = time.perf_counter(), 0.0, 0.0
        self._facts_complete = self.record.facts["model"]["parameters"] is not None
        self._open_journal()
        self._started = False
        self._printed = Printed(self.verbose == 2)
        self._outlets = self._opened()
        enter(self)

    @guarded
    def _begin_epoch(self, epoch: int) -> None:
        self._printed.flush()
        if not self._started:
            self._started = True
            self._join_earlier(epoch)
            self._flush()

    def _join_earlier(self, epoch: int) -> None:
        """Goes on with the record of the fit that this one continues, if it does."""
        if epoch > 0 and self._earlier is not None:
            facts = self.record.facts
            self.record = self._earlier.resumed(epoch, self._journal)
            self.record.add_facts(facts)
        elif self._journal is not None:
            self.record.keep_in(self._journal)
        self._earlier = None

    def _add_samples(self) -> None:
        """Adds to the record what was sampled of the steps until now."""

    @guarded
    def _end_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        began = time.perf_counter()
        if not self._facts_complete:  # the model was built by its first step
            self.record.add_facts(model_facts(self.model, self.params))
            self._facts_complete = True
        self.record.add_epoch(epoch, self._last_step(epoch), _numbers(logs))
        diagnosis = self._diagnosis_after(epoch)
        self._warn_of_failed_rules(diagnosis)
        self._add_to(logs, diagnosis)
        self._outlets.show(self.record, diagnosis, live=True)
        self._stop_if_asked(diagnosis)
        self._flush()
        self._own_seconds += time.perf_counter() - began
        self._seconds = time.perf_counter() - self._began

    def _diagnosis_after(self, epoch: int) -> Diagnosis:
        self._new_epochs += 1
        return self.diagnosis if self._diagnosis is None or is_milestone(epoch) else self._diagnosis

    @guarded
    def _end(self) -> None:
        self._seconds = time.perf_counter() - self._began
        self.record.add_facts({"cost": {"watching": self._watching_seconds(), "training": self._training_seconds()}})
        self._flush()
        self._printed.flush()
        self._outlets.show(self.record, self.diagnosis, live=False)
        if self.verbose in (1, 2) or (self.verbose == "auto" and self.diagnosis.symptoms):
            self._printed.conclude(self.record, self.diagnosis)

    def _watching_seconds(self) -> float:
        return self._own_seconds

    def _training_seconds(self) -> float:
        return self._seconds - self._watching_seconds()

    def _opened(self) -> Outlets:
        outlets: dict[str, Outlet] = {"line of the epoch": self._printed}
        if self._page is not None:
            outlets["live report"] = Page(self._page)
        if self.tensorboard is not None:
            outlets["TensorBoard log"] = Events(self.tensorboard)
        return Outlets(outlets)

    def _last_step(self, epoch: int) -> int:
        optimizer = getattr(self.model, "optimizer", None)
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        if optimizer is not None and optimizer.built:
            # Of batches; where gradients are accumulated, `iterations` counts updates.
            before: Any = keras.ops.subtract(optimizer._iterations, 1)
            return int(before)
        return (epoch + 1) * ((self.params or {}).get("steps") or 1) - 1

    def _add_to(self, logs: dict[str, float], diagnosis: Diagnosis) -> None:
        values = epoch_values(self.record, diagnosis)
        taken = sorted(values.keys() & logs.keys())
        if taken and not self._warned & set(taken):
            self._warned |= set(taken)
            warnings.warn(
                f"The logs have {', '.join(taken)} already; kregtools leaves them as they are. Is there a second "
                "monitor in the list of callbacks?",
                KregtoolsWarning,
                stacklevel=2,
            )
        for name, value in values.items():
            logs.setdefault(name, value)

    def _warn_of_failed_rules(self, diagnosis: Diagnosis) -> None:
        for item in diagnosis.unchecked:
            if item.error and item.name not in self._warned:
                self._warned.add(item.name)
                warnings.warn(f"{item.name}: {item.reason}.\n{item.error}", KregtoolsWarning, stacklevel=2)

    def _stop_if_asked(self, diagnosis: Diagnosis) -> None:
        reasons = [symptom for symptom in diagnosis.symptoms if symptom.name in self.stop_on]
        if reasons:
            self.model.stop_training = True
            if self.verbose:
                said = f"kregtools: training is stopped, as asked, on {reasons[0].name}: {reasons[0].message}"
                self._printed.say(Text(said))

    # ---- the record on disk

    def _open_journal(self) -> None:
        if self.directory is None:
            return
        try:
            if self._journal is None:
                self._journal = Journal(self.directory, self.resume)
                self._earlier = Record.load(self.directory) if self.resume else None
        except (OSError, RecordError) as error:
            self._go_on_in_memory(error)

    def _flush(self) -> None:
        try:
            self.record.flush()
        except OSError as error:
            self._go_on_in_memory(error)

    def _go_on_in_memory(self, error: Exception) -> None:
        self.record.keep_in(None)
        self._journal = None
        warnings.warn(
            f"The record cannot be written to '{self.directory}' ({error}). It goes on in memory, and training "
            "goes on.",
            KregtoolsWarning,
            stacklevel=2,
        )


def _check_directory(directory: str | Path | None) -> None:
    if directory is not None and journal_path(directory).exists():
        raise ValueError(
            "Invalid value for argument `directory`: it holds the record of an earlier run. "
            f"Received: directory='{directory}'. Expected a directory of its own for each run. Choose another, pass "
            "`resume=True` to go on with that run, or read it with `kregtools.load(directory)` and delete it."
        )


def _numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    # Metrics can be one number a class, and a train step of the user's own returns what it likes.
    scalars = {name: np.asarray(value) for name, value in logs.items() if np.ndim(value) == 0}
    return {name: float(value) for name, value in scalars.items() if value.dtype.kind in "biuf"}
