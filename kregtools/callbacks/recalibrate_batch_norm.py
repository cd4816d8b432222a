"""Recalibration of BatchNormalization during training."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal

import keras

from kregtools.callbacks._guard import guarded
from kregtools.normalization import VarianceShift, recalibrate


class RecalibrateBatchNorm(keras.callbacks.Callback):
    """Takes the statistics of BatchNormalization again, without dropout, before every validation and at the end.

    It runs before `fit` validates, so that the `val_*` logs, `EarlyStopping` and `ModelCheckpoint` see the model with
    the corrected statistics. Training itself does not change: it normalizes by the batch. In the list of callbacks
    it belongs after those that put other weights into the model, such as `SwapEMAWeights` and
    `EarlyStopping(restore_best_weights=True)`.

    Args:
        data: The training inputs, or rows like them. Anything that `kregtools.recalibrate` takes and that can be
            iterated over more than once.
        every: Positive integer. Every how many epochs to do so. At the end of training it is done once more, because
            the weights may have been swapped or restored. Defaults to `1`.
        update: See `kregtools.recalibrate`.
        samples: See `kregtools.recalibrate`.
        batch_size: See `kregtools.recalibrate`.

    Attributes:
        shift: What the last recalibration found, a `VarianceShift`; `None` before the first.

    Raises:
        ValueError: If `every` is not a positive integer.

    Example:

    ```python
    recalibrate = kregtools.callbacks.RecalibrateBatchNorm(x_train)
    model.fit(x_train, y_train, validation_data=(x_val, y_val), callbacks=[recalibrate, checkpoint])
    ```
    """

    async_safe = True

    def __init__(
        self,
        data: Any,
        every: int = 1,
        update: Literal["both", "variance"] = "both",
        samples: int = 8192,
        batch_size: int = 512,
    ) -> None:
        super().__init__()
        if not isinstance(every, int) or isinstance(every, bool) or every < 1:
            raise ValueError(
                f"Invalid value for argument `every`. Received: every={every!r}. Expected a positive number of epochs."
            )
        self.data = data
        self.every = every
        self.settings: dict[str, Any] = {"update": update, "samples": samples, "batch_size": batch_size}
        self.shift: VarianceShift | None = None
        self.failed = False
        self._training = False
        self._epoch = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> RecalibrateBatchNorm:
        # KerasTuner copies callbacks for every trial; datasets cannot be copied, and arrays need not be.
        return copy.copy(self)

    def set_params(self, params: dict[str, Any]) -> None:
        # `fit` and a stand-alone `evaluate` begin here, and a fit that broke off never reached `on_train_end`.
        super().set_params(params)
        self._training = False

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        self.shift, self.failed, self._training = None, False, True

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        if self._training and (self._epoch + 1) % self.every == 0:
            self._recalibrate()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self._recalibrate()
        self._training = False

    @guarded
    def _recalibrate(self) -> None:
        model: Any = self.model
        self.shift = recalibrate(model, self.data, **self.settings)
