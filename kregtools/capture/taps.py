"""Where a training step is listened to: layer calls, the loss, the optimizer.

The taps exist only while a sampled step is traced (or runs eagerly), only in the thread that does so, and only
listen: no tensor is replaced.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import keras

from kregtools.capture.recorder import Recorder

_listening = threading.local()
_lock = threading.Lock()
_users = 0
_original_call = keras.Layer.__call__


@contextlib.contextmanager
def listening(model: keras.Model, recorder: Recorder) -> Iterator[None]:
    """Tells `recorder` of every layer called, loss computed and gradient applied inside the block."""
    outer = getattr(_listening, "recorder", None)
    _listening.recorder = recorder
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(_layer_calls())
            stack.enter_context(_replaced(model, "compute_loss", _listened_loss(model, recorder)))
            for optimizer in optimizers(model):
                listened = _listened_apply(optimizer, recorder)
                stack.enter_context(_replaced(optimizer, "apply", listened))
            yield
    finally:
        _listening.recorder = outer


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The model's optimizer and those that a custom train step keeps beside it."""
    found = {id(model.optimizer): model.optimizer} if model.optimizer is not None else {}
    for value in vars(model).values():
        if isinstance(value, keras.optimizers.Optimizer):
            found.setdefault(id(value), value)
    return list(found.values())


def _call(self: keras.Layer, *args: Any, **kwargs: Any) -> Any:
    outputs = _original_call(self, *args, **kwargs)
    recorder = getattr(_listening, "recorder", None)
    if recorder is not None:
        recorder.layer_called(self, outputs)
    return outputs


@contextlib.contextmanager
def _layer_calls() -> Iterator[None]:
    global _users, _original_call
    with _lock:
        if _users == 0:
            _original_call = keras.Layer.__call__
            keras.Layer.__call__ = _call
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                keras.Layer.__call__ = _original_call


@contextlib.contextmanager
def _replaced(owner: Any, name: str, method: Any) -> Iterator[None]:
    # Past Keras' own __setattr__, which would track the method.
    before = owner.__dict__.get(name)
    object.__setattr__(owner, name, method)
    try:
        yield
    finally:
        if before is None:
            object.__delattr__(owner, name)
        else:
            object.__setattr__(owner, name, before)


def _listened_loss(model: keras.Model, recorder: Recorder) -> Any:
    compute_loss = model.compute_loss

    def listened(*args: Any, **kwargs: Any) -> Any:
        loss = compute_loss(*args, **kwargs)
        seen = {**dict(zip(("x", "y", "y_pred"), args, strict=False)), **kwargs}
        recorder.loss_computed(model, loss, seen.get("y"), seen.get("y_pred"))
        return loss

    return listened


def _listened_apply(optimizer: keras.optimizers.Optimizer, recorder: Recorder) -> Any:
    apply = optimizer.apply

    def listened(grads: Any, trainable_variables: Any = None, *args: Any, **kwargs: Any) -> Any:
        grads = list(grads)
        variables = list(optimizer._trainable_variables if trainable_variables is None else trainable_variables)
        before = [_read(variable) for variable in variables]
        scale = _loss_scale(optimizer)
        result = apply(grads, None if trainable_variables is None else variables, *args, **kwargs)
        recorder.optimizer_applied(variables, grads, before, [_read(variable) for variable in variables], scale)
        return result

    return listened


def _read(variable: Any) -> Any:
    # Added to zero the value is a tensor of its own, which the update in place cannot reach.
    return keras.ops.add(keras.ops.convert_to_tensor(variable), 0)


def _loss_scale(optimizer: keras.optimizers.Optimizer) -> Any:
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return _read(optimizer.dynamic_scale)
    return optimizer.loss_scale_factor
