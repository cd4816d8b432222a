"""Where a training step is listened to: layer calls, the loss, the optimizer.

The taps exist only while a sampled step is traced (or runs eagerly), and only in the threads that do so.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

import keras

from kregtools.capture.names import named_layers
from kregtools.capture.recorder import Recorder

_listening = threading.local()
_lock = threading.RLock()
_absent = object()
# What was in the place of a tap, and how many use it: each replica of a model is traced by a thread of its own.
_taps: dict[tuple[int, str], tuple[Any, int]] = {}


def current() -> Recorder | None:
    """The recorder that listens in this thread."""
    return getattr(_listening, "recorder", None)


@contextlib.contextmanager
def listening(model: keras.Model, recorder: Recorder) -> Iterator[None]:
    """Tells `recorder` of every layer called, loss computed and gradient applied inside the block."""
    outer = current()
    with contextlib.ExitStack() as stack:
        stack.enter_context(recorder.reader.taps())
        stack.enter_context(replaced(keras.Layer, "__call__", _layer_call))
        stack.enter_context(replaced(model, "compute_loss", _compute_loss))
        for optimizer in optimizers(model):
            if keras.backend.backend() == "jax":
                stack.enter_context(replaced(optimizer, "stateless_apply", _stateless_apply))
            else:
                stack.enter_context(replaced(optimizer, "apply", _apply))
        _listening.recorder = recorder
        try:
            yield
        finally:
            _listening.recorder = outer


@contextlib.contextmanager
def replaced(owner: Any, name: str, make: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Puts `make(owner, method)` in the place of the method `name` of a class or an instance, inside the block."""
    key = (id(owner), name)
    with _lock:
        before, users = _taps.get(key, (vars(owner).get(name, _absent), 0))
        _taps[key] = before, users + 1
        if users == 0:
            _set(owner, name, make(owner, getattr(owner, name)))
    try:
        yield
    finally:
        with _lock:
            before, users = _taps.pop(key)
            if users > 1:
                _taps[key] = before, users - 1
            else:
                _set(owner, name, before)


def optimizers(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """The model's optimizer, those that a custom train step keeps beside it, and those of models in it."""
    inner = (layer for _, layer in named_layers(model) if isinstance(layer, keras.Model))
    kept = [model.optimizer, *(each.optimizer for each in inner if each.compiled)]
    for value in vars(model).values():
        kept += value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else [value]
    return list({id(each): each for each in kept if isinstance(each, keras.optimizers.Optimizer)}.values())


def loss_scale(optimizer: Any) -> Any:
    """What the optimizer multiplies the loss with before gradients are taken, `None` for nothing."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return _read(optimizer.dynamic_scale) if optimizer.built else optimizer.initial_scale
    return getattr(optimizer, "loss_scale_factor", None)


def _set(owner: Any, name: str, method: Any) -> None:
    # Past Keras' own __setattr__, which would track the method.
    kind = type if isinstance(owner, type) else object
    if method is _absent:
        kind.__delattr__(owner, name)
    else:
        kind.__setattr__(owner, name, method)


def _layer_call(owner: Any, original: Any) -> Any:
    def call(self: keras.Layer, *args: Any, **kwargs: Any) -> Any:
        outputs = original(self, *args, **kwargs)
        recorder = current()
        return outputs if recorder is None else recorder.layer_called(self, outputs)

    return call


def _compute_loss(model: keras.Model, compute_loss: Any) -> Any:
    def listened(*args: Any, **kwargs: Any) -> Any:
        loss = compute_loss(*args, **kwargs)
        recorder = current()
        if recorder is not None:
            seen = {**dict(zip(("x", "y", "y_pred"), args, strict=False)), **kwargs}
            recorder.loss_computed(model, loss, seen.get("x"), seen.get("y"), seen.get("y_pred"))
        return loss

    return listened


def _apply(optimizer: Any, apply: Any) -> Any:
    def listened(grads: Any, trainable_variables: Any = None, *args: Any, **kwargs: Any) -> Any:
        recorder = current()
        if recorder is None:
            return apply(grads, trainable_variables, *args, **kwargs)
        grads = list(grads)
        variables = list(optimizer._trainable_variables if trainable_variables is None else trainable_variables)
        with recorder.quiet():
            before, scale = _values(variables, recorder), loss_scale(optimizer)
        result = apply(grads, None if trainable_variables is None else variables, *args, **kwargs)
        with recorder.quiet():
            after = _values(variables, recorder)
        recorder.optimizer_applied(variables, grads, before, after, scale)
        return result

    return listened


def _stateless_apply(optimizer: Any, apply: Any) -> Any:
    def listened(optimizer_variables: Any, grads: Any, trainable_variables: Any) -> Any:
        result = apply(optimizer_variables, grads, trainable_variables)
        recorder = current()
        if recorder is not None:
            scale = optimizer.loss_scale_factor
            if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                ids = [id(variable) for variable in optimizer.variables]
                scale = optimizer_variables[ids.index(id(optimizer.dynamic_scale))]
            recorder.optimizer_applied(optimizer._trainable_variables, grads, trainable_variables, result[0], scale)
        return result

    return listened


def _values(variables: list[Any], recorder: Recorder) -> list[Any]:
    return [_read(variable) if recorder.details else None for variable in variables]


def _read(variable: Any) -> Any:
    # Added to zero the value is a tensor of its own, which the update in place cannot reach.
    return keras.ops.add(keras.ops.convert_to_tensor(variable), 0)
