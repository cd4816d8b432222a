"""BatchNormalization whose statistics can be taken without dropout."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kregtools.layers.batch_moments import BatchMoments, normalize_by_batch


@keras.saving.register_keras_serializable(package="kregtools")
class DropoutAwareBatchNormalization(keras.layers.BatchNormalization):
    r"""A drop-in for `keras.layers.BatchNormalization` that can take its statistics without dropout.

    Dropout adds variance: of an input with mean m and variance v, dropout that keeps the share p makes
    $(v + m^2)/p - m^2$. BatchNormalization sees that in training, and uses it in inference, where there is no
    dropout. Two ways lead out of it: `kregtools.recalibrate(model, data)`, or `callbacks.RecalibrateBatchNorm`, takes
    the statistics again with dropout off; `kregtools.layers.DropoutFreeStatistics(block)` follows them in training.

    By itself this layer does what Keras' own does, to the bit. What it adds is `collecting`, the mode in which the
    two above run it. `recalibrate` works on plain BatchNormalization, too; this layer needs no patching for it, and
    states the intention.

    It has the same variables in the same order, and to Keras the same name: `set_weights` and files of weights
    (`.weights.h5`) work from plain BatchNormalization to this layer and back. `kregtools.layers.convert(model)` puts
    it in the place of every plain BatchNormalization of a model.

    Args:
        **kwargs: As for `keras.layers.BatchNormalization`.

    Call arguments:
        inputs: Input tensor of any rank.
        training: Boolean. Whether to normalize by the batch and update the moving statistics.
        mask: Boolean tensor of the shape of `inputs` without its last axis. Positions that are `False` do not count
            in the statistics.

    Example:

    ```python
    model = keras.Sequential([
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dropout(0.5),
        kregtools.layers.DropoutAwareBatchNormalization(),
        keras.layers.Dense(10, activation="softmax"),
    ])
    ...
    kregtools.recalibrate(model, x_train)
    ```

    Reference:

    - [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1607.02488)
    - [Li et al., 2019](https://arxiv.org/abs/1801.05134)
    """

    _collect: Callable[[BatchMoments], None] | None = None
    _by_batch = False

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self._collect is None:
            object.__setattr__(self, "_by_batch", bool(training and self.trainable))
            return super().call(inputs, training=training, mask=mask)
        outputs, moments = normalize_by_batch(self, inputs, mask)
        self._collect(moments)
        return outputs

    @property
    def normalized_by_batch(self) -> bool:
        """Whether the last call normalized by the batch, and so updated the moving statistics."""
        return self._by_batch

    @contextlib.contextmanager
    def collecting(self, collect: Callable[[BatchMoments], None]) -> Iterator[None]:
        """Inside the block, a call normalizes by the batch, hands its moments to `collect`, and updates nothing."""
        outer = self._collect
        object.__setattr__(self, "_collect", collect)
        try:
            yield
        finally:
            object.__setattr__(self, "_collect", outer)


# Keras names the groups of a weights file by the class: with this name those of plain BatchNormalization load.
DropoutAwareBatchNormalization.__name__ = "BatchNormalization"
