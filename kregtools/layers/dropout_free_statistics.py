"""Moving statistics without dropout, followed in training."""

from __future__ import annotations

import contextlib
from typing import Any

import keras
from keras import ops, tree

from kregtools._numbers import integer
from kregtools.layers.batch_moments import BatchMoments
from kregtools.layers.dropout_aware_batch_normalization import DropoutAwareBatchNormalization


@keras.saving.register_keras_serializable(package="kregtools")
class DropoutFreeStatistics(keras.layers.Wrapper):
    r"""Runs a block, and lets the BatchNormalization in it follow statistics without dropout.

    In training the block runs as ever, and once more on the same batch with all noise off and no gradient: a stream
    free of dropout from the inputs of the block on, in which each BatchNormalization normalizes by that stream's own
    batch. Its moments m' and v' are what the moving statistics average,
    $\mu \leftarrow \lambda \mu + (1 - \lambda) m'$ and likewise for the variance; what the block puts out, and its
    gradient, do not change. A correction computed from one dropout rate is wrong further down, where the inputs
    themselves are noisy; a stream from the start is right at any depth. So the block should begin where no dropout
    has acted: wrap the whole network.

    It is exact, and not safe: in `benchmarks/batchnorm.py` it did nearly the same as `kregtools.recalibrate` in every
    net. That is better than the moving average in four of them, and worse with BatchNormalization right behind relu
    and dropout: the test error rose by 1.1 points (sd 1.1, five seeds), the negative log likelihood by .11. Compare the
    validation loss with that of the plain network. See `kregtools.recalibrate` for the other figures.

    It costs a forward pass in each step, measured as .07 to .22 of the time of training, or the share `rows` of that.
    `callbacks.RecalibrateBatchNorm` takes .5 to 1.0 of the time of an epoch of 8,192 rows, and no more of a longer
    one; it has not the lag of a moving average, and can undo what harms. Use this where the epochs are short, or
    nothing can be done between them.

    Args:
        layer: The block: a layer or model whose `call` takes `training`, with `DropoutAwareBatchNormalization` in it
            and no plain one; `kregtools.layers.convert` swaps these.
        rows: Positive integer. How many rows of each batch, the first ones, the second pass takes. Fewer cost less;
            below about 32 the variances of dense layers come out too small by the share 1 / `rows`. Defaults to
            `None`: all. Of several replicas the rows of the first count, as in BatchNormalization.
        **kwargs: As for `keras.layers.Layer`.

    Call arguments:
        inputs: What the block takes.
        training: Boolean. Whether to train the block, and update the statistics.
        mask: Mask of the inputs, handed on to the block.

    Raises:
        ValueError: If `rows` is not positive, or the block takes no `training`, has no
            `DropoutAwareBatchNormalization`, a plain BatchNormalization, or one with `renorm=True`, whose training
            depends on the moving statistics.

    Example:

    ```python
    model = kregtools.layers.convert(model)
    trained = keras.Sequential([keras.Input(shape), kregtools.layers.DropoutFreeStatistics(model)])
    trained.compile("adam", "sparse_categorical_crossentropy")
    trained.fit(x, y)
    model.save("model.keras")  # the weights are those of `model` itself
    ```

    Reference:

    - [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1607.02488)
    """

    def __init__(self, layer: keras.Layer, rows: int | None = None, **kwargs: Any) -> None:
        super().__init__(layer, autocast=False, **kwargs)
        if not layer._call_has_training_arg:
            raise ValueError(
                f"The `call` of '{layer.name}' takes no `training`, so that it cannot be run with dropout off. "
                "Add the argument, and hand it on to the layers inside."
            )
        self.rows = None if rows is None else integer("rows", rows, expected="a positive integer or None")
        self.told = Told(autocast=False)
        self.supports_masking = True

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        self._check()

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        norms: list[Any] = self._norms() if training else []
        before = [(ops.copy(norm.moving_mean), ops.copy(norm.moving_variance)) for norm in norms]
        # The inputs carry their mask.
        outputs = self.layer(inputs, training=training)
        followed = [(norm, old) for norm, old in zip(norms, before, strict=True) if norm.normalized_by_batch]
        for (norm, old), moments in zip(followed, self._moments([n for n, _ in followed], inputs, mask), strict=True):
            for variable, value, new in zip((norm.moving_mean, norm.moving_variance), old, moments, strict=True):
                variable.assign(ops.cast(value, new.dtype) * norm.momentum + new * (1.0 - norm.momentum))
        # Keras tells layers that are called without `training` what it was last told.
        return self.told(outputs, training=training)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return self.layer.compute_mask(inputs, previous_mask)

    @property
    def metrics(self) -> list[Any]:
        """Those of the layers inside; what a model was compiled with is not for the model around it."""
        parts: Any = self.layer._flatten_layers()
        return [metric for part in parts if not isinstance(part, keras.Model) for metric in part._metrics]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rows": self.rows}

    def _norms(self) -> list[DropoutAwareBatchNormalization]:
        found = {id(part): part for part in self.layer._flatten_layers()}.values()
        return [part for part in found if isinstance(part, DropoutAwareBatchNormalization)]

    def _moments(self, norms: list[DropoutAwareBatchNormalization], inputs: Any, mask: Any) -> list[tuple[Any, Any]]:
        """Mean and variance at each layer in a pass without dropout, which leaves every state as it was."""
        if not norms:
            return []
        collected: list[list[BatchMoments]] = [[] for _ in norms]
        first: Any = tree.map_structure(self._first_rows, (inputs, mask))
        inputs, mask = first
        with contextlib.ExitStack() as stack:
            for norm, moments in zip(norms, collected, strict=True):
                stack.enter_context(norm.collecting(moments.append))
            values = [(variable, ops.stop_gradient(variable.value)) for variable in self.layer.variables]
            stack.enter_context(keras.StatelessScope(state_mapping=values, initialize_variables=False))
            masked = {"mask": mask} if mask is not None and self.layer._call_has_mask_arg else {}
            self.layer(inputs, training=False, **masked)
        return [_pooled(moments) for moments in collected]

    def _first_rows(self, leaf: Any) -> Any:
        return None if leaf is None else ops.stop_gradient(leaf[: self.rows])

    def _check(self) -> None:
        norms, name = self._norms(), self.layer.name
        plain = [
            part.name
            for part in self.layer._flatten_layers()
            if isinstance(part, keras.layers.BatchNormalization) and part not in norms
        ]
        if plain or not norms:
            raise ValueError(
                f"'{name}' must hold `DropoutAwareBatchNormalization` and no plain BatchNormalization. "
                f"Received plain ones: {', '.join(plain) or 'none, and no others'}. Swap them by "
                "`kregtools.layers.convert(model)`."
            )
        renormed = [norm.name for norm in norms if norm.renorm]
        if renormed:
            raise ValueError(
                f"{', '.join(renormed)} in '{name}' has renorm=True: its training depends on the moving statistics, "
                "which must be those of training. Use `renorm=False`, or `kregtools.recalibrate` after training."
            )


class Told(keras.layers.Layer):
    """Hands on what it is given."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        return inputs


def _pooled(moments: list[BatchMoments]) -> tuple[Any, Any]:
    """The moments of all calls of a shared layer together."""
    if len(moments) == 1:
        return moments[0].mean, moments[0].variance
    total = sum(part.count for part in moments)
    mean = sum(part.count * part.mean for part in moments) / total
    variance = sum(part.count * (part.variance + (part.mean - mean) ** 2) for part in moments) / total
    return mean, variance
