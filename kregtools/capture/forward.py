"""A forward pass that is looked into, and leaves everything as it was."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR

from kregtools.capture import reduce
from kregtools.capture.decoding import decoded
from kregtools.capture.host import random_state_kept
from kregtools.capture.names import variable_names
from kregtools.capture.recorder import Key, Reader, Recorder
from kregtools.capture.taps import listening


class Forward(NamedTuple):
    """What a batch showed.

    Attributes:
        values: The statistics.
        firing: Which units of each ReLU layer were positive for any row.
        outputs: What the model predicts.
        missed: What could not be measured of the model as a whole, in words.
        error: Why the loss could not be computed, `None` if it could.
    """

    values: dict[Key, float]
    firing: dict[str, np.ndarray]
    outputs: Any
    missed: tuple[str, ...]
    error: str | None


def forward(model: Any, x: Any, y: Any) -> Forward:
    """Statistics of layers, inputs, targets, outputs, loss and weights for one batch, in inference mode.

    The weights are measured as an update of size zero would be.
    """
    x, y = tensors(x), tensors(y)
    recorder, error = Recorder(model, Reader(), details=True), None
    with listening(model, recorder):
        outputs = call(model, x)
        try:
            loss = model.compute_loss(x=x, y=y, y_pred=outputs, sample_weight=None, training=False)
        except Exception as raised:
            loss, error = ops.convert_to_tensor(np.float32(np.nan)), f"{type(raised).__name__}: {raised}"
        recorder.loss_computed(model, loss, x, y, outputs)
    values, firing = _finished(recorder)
    if error is not None:
        values = {key: value for key, value in values.items() if key[:2] != ("", "loss")}
    missed = tuple(row["reason"] for row in recorder.coverage.rows() if not row["layer"])
    return Forward({**values, **weights(model)}, firing, outputs, missed, error)


def call(model: Any, x: Any) -> Any:
    """The outputs in inference mode."""
    return model(x, **({"training": False} if model._call_has_training_arg else {}))


def weights(model: keras.Model) -> dict[Key, float]:
    """Statistics of every variable."""
    variables, names = {id(variable): variable for variable in model.trainable_variables}, variable_names(model)
    return {
        (*names[key], statistic): float(_copied(value))
        for key, variable in variables.items()
        for statistic, value in reduce.update(variable, variable).items()
    }


def targets(model: Any, y: Any, outputs: Any) -> dict[Key, float]:
    """Statistics of any number of targets, given the outputs for some."""
    recorder = Recorder(model, Reader(), details=True)
    recorder.targets_given(model, tensors(y), outputs)
    return _finished(recorder)[0]


def tensors(structure: Any) -> Any:
    """The arrays as tensors of the types that `fit` gives them."""
    return tree.map_structure(_tensor, structure)


@contextlib.contextmanager
def untouched(model: Any) -> Iterator[None]:
    """Gives the model and all random state back as they were, whatever happens in the block."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(random_state_kept())
        stack.enter_context(_global_seeds_kept())
        stack.enter_context(_torch_seeds_kept())
        stack.callback(_put_back, [(variable, _copied(variable)) for variable in _not_trained(model)])
        stack.enter_context(_fresh_loss(model))
        yield


@contextlib.contextmanager
def _fresh_loss(model: Any) -> Iterator[None]:
    """Inside the block the model has a loss of its own: Keras builds one, with metrics, where it is first called."""
    before = model._compile_loss
    if before is None:
        yield
        return
    fresh = type(before)(before._user_loss, before._user_loss_weights, output_names=before.output_names)
    object.__setattr__(model, "_compile_loss", fresh)
    try:
        yield
    finally:
        object.__setattr__(model, "_compile_loss", before)


@contextlib.contextmanager
def _global_seeds_kept() -> Iterator[None]:
    generator = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    state = None if generator is None else _copied(generator.state)
    try:
        yield
    finally:
        global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, generator)
        if generator is not None:
            generator.state.assign(state)


@contextlib.contextmanager
def _torch_seeds_kept() -> Iterator[None]:
    """PyTorch's own random state is kept."""
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.random.fork_rng():
        yield


def _not_trained(model: Any) -> list[Any]:
    return [*model.non_trainable_variables, *model.metrics_variables]


def _put_back(kept: list[tuple[Any, np.ndarray]]) -> None:
    for variable, value in kept:
        if not np.array_equal(_copied(variable), value):
            variable.assign(value)


def _copied(variable: Any) -> np.ndarray:
    return np.array(ops.convert_to_numpy(variable))


def _finished(recorder: Recorder) -> tuple[dict[Key, float], dict[str, np.ndarray]]:
    layout, found = recorder.finish()
    keys, values, firing = decoded(layout, np.asarray(ops.convert_to_numpy(found))[None])
    return dict(zip(keys, values[0].tolist(), strict=True)), {layer: fired[0] for layer, fired in firing.items()}


def _tensor(array: Any) -> Any:
    kind = getattr(getattr(array, "dtype", None), "kind", None)
    return ops.convert_to_tensor(array, keras.backend.floatx() if kind == "f" else None)
