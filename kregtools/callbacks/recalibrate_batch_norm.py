"""Recalibration of BatchNormalization during training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import keras
import numpy as np

from kregtools._intact import snapshot
from kregtools.callbacks._guard import guarded
from kregtools.callbacks._monitors import beside
from kregtools.normalization import VarianceShift, recalibrate

RISING = ("acc", "auc", "precision", "recall", "f1")


class RecalibrateBatchNorm(keras.callbacks.Callback):
    """Takes the statistics of BatchNormalization again, without dropout, before every validation and at the end.

    It runs before `fit` validates, so that the `val_*` logs, `EarlyStopping` and `ModelCheckpoint` see the model with
    the corrected statistics. Training itself does not change: it normalizes by the batch. In the list of callbacks
    it belongs after those that put other weights into the model, `SwapEMAWeights` and
    `EarlyStopping(restore_best_weights=True)`, and before those that save it. Weights that were swapped after the
    validation get statistics of their own.

    The corrected statistics are not always the better ones: see `kregtools.recalibrate` for where they were not.
    `keep_best=True` keeps them only where they are.

    A `HealthMonitor` in the same list records what was measured, and judges `variance_shift` by it.

    Args:
        data: The training inputs, or rows like them. Anything that `kregtools.recalibrate` takes and that can be
            iterated over more than once.
        every: Positive integer. Every how many epochs to do so. At the end of training it is done once more, where
            the weights are not those of the last time. Defaults to `1`.
        update: See `kregtools.recalibrate`.
        samples: See `kregtools.recalibrate`.
        batch_size: See `kregtools.recalibrate`.
        validation_data: See `kregtools.recalibrate`: evaluates the model before and after, each time.
        keep_best: Boolean. Whether to undo a recalibration that makes `monitor` on `validation_data` worse. Defaults
            to `False`.
        monitor: The metric to judge by, with or without `val_` before its name. Defaults to `"val_loss"`.
        mode: `"min"`, `"max"`, or `"auto"`, which knows losses, errors, accuracies, AUC, precision and recall.
            Defaults to `"auto"`.

    Attributes:
        shift: What the last recalibration found, a `VarianceShift`; `None` before the first.

    Raises:
        ValueError: If `every` is not a positive integer, `keep_best` has no `validation_data` to judge by, or `mode`
            is unknown or cannot be told from `monitor`.

    Example:

    ```python
    recalibrate = kregtools.callbacks.RecalibrateBatchNorm(x_train)
    model.fit(x_train, y_train, validation_data=(x_val, y_val), callbacks=[recalibrate, checkpoint])
    ```
    """

    async_safe = True
    # Set by Keras before any hook is called.
    model: Any

    def __init__(
        self,
        data: Any,
        every: int = 1,
        update: Literal["both", "variance"] = "both",
        samples: int = 8192,
        batch_size: int = 512,
        validation_data: Any = None,
        keep_best: bool = False,
        monitor: str = "val_loss",
        mode: Literal["auto", "min", "max"] = "auto",
    ) -> None:
        super().__init__()
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise ValueError(
                f"Invalid value for argument `every`. Received: every={every!r}. Expected a positive number of epochs."
            )
        if keep_best and validation_data is None:
            raise ValueError(
                "`keep_best=True` compares the model before and after. Received: validation_data=None. Pass the "
                "`validation_data` that `fit` gets."
            )
        self.data = data
        self.every = every
        self.settings: dict[str, Any] = {
            "update": update,
            "samples": samples,
            "batch_size": batch_size,
            "validation_data": validation_data,
        }
        self.keep_best = keep_best
        self.monitor = monitor.removeprefix("val_")
        self.sign = _sign(self.monitor, mode)
        self.shift: VarianceShift | None = None
        self.failed = False
        self._training = False
        self._epoch = 0
        self._done: tuple[float, ...] = ()

    def __deepcopy__(self, memo: dict[int, Any]) -> RecalibrateBatchNorm:
        # KerasTuner copies callbacks for every trial; datasets cannot be copied, and arrays need not be.
        return copy.copy(self)

    def set_params(self, params: dict[str, Any]) -> None:
        # `fit` and a stand-alone `evaluate` begin here, and a fit that broke off never reached `on_train_end`.
        super().set_params(params)
        self._training = False

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.shift, self.failed, self._training, self._done = None, False, True, ()

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch, self._done = epoch, ()

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if self._training and (self._epoch + 1) % self.every == 0:
            self._recalibrate()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        if self._done:
            self._recalibrate()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._recalibrate()
        self._training = False

    @guarded
    def _recalibrate(self) -> None:
        model = self.model
        if self._done == _fingerprint(model):
            return
        put_back = snapshot(model.non_trainable_variables)
        shift = recalibrate(model, self.data, **self.settings)
        try:
            harmed = self.keep_best and self._harmed(shift)
        except ValueError:
            put_back()
            raise
        if harmed:
            put_back()
        self.shift = replace(shift, corrected=not harmed)
        self._done = _fingerprint(model)
        for monitor in beside(self):
            monitor.add(self.shift, self._epoch)

    def _harmed(self, shift: VarianceShift) -> bool:
        if self.monitor not in shift.after:
            raise ValueError(
                f"Invalid value for argument `monitor`. Received: monitor='{self.monitor}'. Expected one of: "
                f"{', '.join(shift.after)}."
            )
        before, after = (self.sign * metrics[self.monitor] for metrics in (shift.before, shift.after))
        return not (after >= before or np.isnan(before))


def _sign(monitor: str, mode: str) -> int:
    """1 where more of the metric is better, -1 where less is."""
    if mode == "auto" and ("loss" in monitor or "error" in monitor):
        mode = "min"
    elif mode == "auto" and any(name in monitor for name in RISING):
        mode = "max"
    if mode not in ("min", "max"):
        raise ValueError(
            f"Invalid value for argument `mode`. Received: mode={mode!r}, monitor={monitor!r}. Expected 'min' or "
            "'max', or 'auto' with a metric whose name tells which of the two is better."
        )
    return 1 if mode == "max" else -1


def _fingerprint(model: Any) -> tuple[float, ...]:
    """Changes with any weight: what swaps weights or restores them does not say so."""
    sums = [keras.ops.sum(keras.ops.cast(weight, "float32")) for weight in model.weights]
    return tuple(np.asarray(keras.ops.convert_to_numpy(value)).item() for value in sums)
