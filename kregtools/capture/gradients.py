"""The gradient of a loss, by the backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from kregtools.capture.forward import tensors

Loss = Callable[[list[Any]], Any]


def loss_of(model: Any, x: Any, y: Any) -> Loss:
    """The loss, penalties included, as a function of the values of the trainable variables; in inference mode."""
    x, y = tensors(x), tensors(y)
    others = [variable.value for variable in model.non_trainable_variables]
    arguments = {"training": False} if model._call_has_training_arg else {}

    def loss(values: list[Any]) -> Any:
        outputs, _, penalties = model.stateless_call(values, others, x, return_losses=True, **arguments)
        before = model._losses_override
        object.__setattr__(model, "_losses_override", penalties)
        try:
            return ops.sum(model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=None, training=False))
        finally:
            object.__setattr__(model, "_losses_override", before)

    return loss


def gradient(loss: Loss, values: list[Any]) -> list[np.ndarray]:
    """The gradient with respect to each value; zeros where the loss does not depend on it."""
    found = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()](loss, values)
    return [
        np.zeros(value.shape) if each is None else np.asarray(ops.convert_to_numpy(each), "float64")
        for each, value in zip(found, values, strict=True)
    ]


@contextlib.contextmanager
def floatx(dtype: str) -> Iterator[None]:
    """Inside the block Keras' default type is this one."""
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    try:
        yield
    finally:
        keras.config.set_floatx(before)


def _tensorflow(loss: Loss, values: list[Any]) -> list[Any]:
    import tensorflow as tf

    values = [tf.identity(value) for value in values]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        result = loss(values)
    return [None if each is None else tf.convert_to_tensor(each) for each in tape.gradient(result, values)]


def _jax(loss: Loss, values: list[Any]) -> list[Any]:
    import jax

    return jax.grad(loss)(values)


def _torch(loss: Loss, values: list[Any]) -> list[Any]:
    import torch

    with torch.enable_grad():
        leaves = [value.detach().clone().requires_grad_() for value in values]
        result = loss(leaves)
        return list(torch.autograd.grad(result, leaves, allow_unused=True))
