"""How fast each kernel would learn, relative to its size."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import ops


class _SquaredGradients(keras.optimizers.Optimizer):
    """An optimizer that updates nothing and keeps the mean square of each gradient."""

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self.squares = [self.add_variable((), name=f"square_{index}") for index in range(len(variables))]

    def apply(self, grads: list[Any], trainable_variables: Any = None) -> None:
        # Not `update_step`: what comes after it applies the constraints of the variables.
        if trainable_variables is not None:
            self.build(list(trainable_variables))
        for gradient, square in zip(grads, self.squares, strict=True):
            if gradient is not None:
                square.assign(ops.mean(ops.square(ops.cast(ops.convert_to_tensor(gradient), "float32"))))


class _Outputs(keras.Model):
    """A model whose outputs are one row of numbers for each row of inputs."""

    def __init__(self, model: keras.Model) -> None:
        super().__init__(name="outputs")
        self.model = model

    def call(self, x: Any, training: bool | None = None) -> Any:
        outputs = self.model(x, **({"training": training} if self.model._call_has_training_arg else {}))
        flat: list[Any] = [ops.cast(output, "float32") for output in keras.tree.flatten(outputs)]
        return ops.concatenate([ops.reshape(each, (-1, math.prod(each.shape[1:]))) for each in flat], axis=-1)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, *_: Any, **__: Any) -> Any:
        """The outputs in the direction y, and no losses of regularizers, which have gradients of their own."""
        return ops.mean(ops.sum(y * y_pred, axis=-1))


class RatesOfChange:
    r"""Measures $\sqrt{E[g^2] / E[w^2]}$, with g the gradient of the outputs in a random direction.

    The gradient is that of a training step, dropout on, which leaves its marks on moving statistics and seeds.
    """

    def __init__(self, model: keras.Model, x: Any, rng: np.random.Generator) -> None:
        self.x = x
        self.outputs = _Outputs(model)
        self.optimizer = _SquaredGradients(learning_rate=0.0, name="squared_gradients")
        self.outputs.compile(optimizer=self.optimizer, auto_scale_loss=False)
        self.direction = rng.normal(size=self.outputs(x).shape).astype("float32")

    def __call__(self, variables: list[Any]) -> np.ndarray:
        """The rate of each variable; NaN where all its values are zero."""
        self.outputs.train_on_batch(self.x, self.direction)
        trained = [id(variable) for variable in self.outputs.trainable_variables]
        squares = dict(zip(trained, self.optimizer.squares, strict=True))
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.array([np.sqrt(_value(squares[id(each)]) / np.mean(_value(each) ** 2)) for each in variables])


def _value(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable), "float64")
