"""Collects the tensors of one training step, and reduces them once the step is done."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from keras import ops, tree

from kregtools.capture import reduce
from kregtools.capture.facts import is_relu
from kregtools.capture.names import cells, layer_names, variable_names

Key = tuple[str, str, str]


class Layout(NamedTuple):
    """What the numbers of a payload are: one key a scalar, and the firing units of each layer in a row."""

    scalars: tuple[Key, ...]
    firing: tuple[tuple[str, int], ...]


class Tap(NamedTuple):
    """A tensor of the step and how it is reduced."""

    layer: str
    tensor: str
    reduce: Callable[..., dict[str, Any]]
    arguments: tuple[Any, ...]


class Recorder:
    """Lives for one trace of a train step (or one eager step).

    Nothing here may disturb the step: the tensors are kept as they are, and every statistic is computed after the
    step's last operation, from them. What cannot be measured is noted in `skipped`.

    Args:
        model: The model that is trained.
        reachable: Whether a tensor can be read where the step ends.
    """

    def __init__(self, model: keras.Model, reachable: Callable[[Any], bool]) -> None:
        self._reachable = reachable
        self._layers = layer_names(model)
        self._model = model
        self._cells = cells(model)
        self._calls: Counter[str] = Counter()
        self._taps: list[Tap] = []
        self._firing: dict[str, Any] = {}
        self._loss_seen = False
        self.skipped: dict[str, str] = {}

    # ---- seen while the step runs

    def layer_called(self, layer: keras.Layer, outputs: Any) -> None:
        with self.noting_failure(layer.name):
            self._note_outputs(layer, outputs)

    def loss_computed(self, model: keras.Model, loss: Any, y: Any, y_pred: Any) -> None:
        with self.noting_failure("loss"):
            self._note_loss(model, loss, y, y_pred)

    def optimizer_applied(self, variables: Any, gradients: Any, before: Any, after: Any, scale: Any) -> None:
        with self.noting_failure("gradients"):
            self._note_step(variables, gradients, before, after, scale)

    # ---- after the step

    def finish(self, read: Callable[[Any], Any]) -> tuple[Layout, dict[str, Any]]:
        """The layout, and the statistics as one vector of floats and one of booleans.

        Args:
            read: Turns a tensor of the step into one that may be used without disturbing the step.
        """
        scalars: dict[Key, Any] = {}
        for tap in self._in_forward_order():
            with self.noting_failure(f"{tap.layer}/{tap.tensor}"):
                statistics = tap.reduce(*(read(argument) for argument in tap.arguments))
                scalars.update({(tap.layer, tap.tensor, name): _scalar(value) for name, value in statistics.items()})
        firing: dict[str, Any] = {}
        for name, tensor in self._firing.items():
            with self.noting_failure(name):
                firing[name] = reduce.firing(read(tensor))
                rows: Any = ops.shape(tensor)
                scalars[name, "activation", "rows"] = _scalar(rows[0])
        layout = Layout(tuple(scalars), tuple((name, units.shape[-1]) for name, units in firing.items()))
        return layout, {
            "scalars": ops.stack(list(scalars.values())) if scalars else ops.zeros((0,)),
            "firing": ops.concatenate(list(firing.values())) if firing else ops.zeros((0,), "bool"),
        }

    # ---- private

    def _note_outputs(self, layer: keras.Layer, outputs: Any) -> None:
        name = self._layers.get(id(layer))
        if name is None or id(layer) in self._cells or isinstance(layer, keras.Model):
            return
        self._calls[name] += 1
        called = name if self._calls[name] == 1 else f"{name}#{self._calls[name] - 1}"
        flat = tree.flatten(outputs)
        for index, tensor in enumerate(flat):
            if not _is_float(tensor):
                continue
            if not self._reachable(tensor):
                self.skipped[called] = "it is called inside a loop"
                continue
            self._tap(called, "activation" + (f":{index}" if len(flat) > 1 else ""), reduce.activation, tensor)
            if is_relu(layer) and len(tensor.shape) > 1 and tensor.shape[-1] and index == 0:
                self._firing[called] = tensor

    def _note_loss(self, model: keras.Model, loss: Any, y: Any, y_pred: Any) -> None:
        if self._loss_seen or not self._reachable(loss):
            return
        self._loss_seen = True
        penalties = list(model.losses)
        self._tap("", "loss", reduce.loss, loss)
        self._tap("", "loss", reduce.penalty, *penalties)
        if _is_tensor(y_pred):
            self._tap("", "output", reduce.activation, y_pred)
            if _is_tensor(y):
                self._tap("", "target", reduce.target, y, y_pred)

    def _note_step(self, variables: Any, gradients: Any, before: Any, after: Any, scale: Any) -> None:
        names = variable_names(self._model)  # only now: the first step of a model that is not built yet builds it
        for variable, gradient, old, new in zip(variables, gradients, before, after, strict=True):
            layer, name = names.get(id(variable), ("", variable.path))
            if gradient is not None:
                self._tap(layer, name, lambda g: reduce.gradient(_unscaled(g, scale)), gradient)
            self._tap(layer, name, reduce.update, old, new)

    @contextlib.contextmanager
    def noting_failure(self, what: str) -> Iterator[None]:
        """Around everything that is done for watching's sake: what is unknown to us must not end the run."""
        try:
            yield
        except Exception as error:
            self.skipped[what] = repr(error)

    def _tap(self, layer: str, tensor: str, how: Callable[..., dict[str, Any]], *arguments: Any) -> None:
        self._taps.append(Tap(layer, tensor, how, arguments))

    def _in_forward_order(self) -> list[Tap]:
        order = {name: index for index, name in enumerate(self._calls)}
        return sorted(self._taps, key=lambda tap: order.get(tap.layer.split("#")[0], -1))


def _is_tensor(value: Any) -> bool:
    return ops.is_tensor(value) and not isinstance(value, keras.KerasTensor)


def _is_float(value: Any) -> bool:
    return _is_tensor(value) and "float" in keras.backend.standardize_dtype(value.dtype)


def _scalar(value: Any) -> Any:
    value = ops.cast(value, "float32")
    if len(value.shape):
        raise ValueError(f"a statistic must be a scalar, and this has the shape {value.shape}")
    return value


def _unscaled(gradient: Any, scale: Any) -> Any:
    dense: Any = ops.cast(ops.convert_to_tensor(gradient), "float32")
    return dense if scale is None else dense / ops.cast(scale, "float32")
