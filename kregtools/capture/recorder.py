"""Collects the tensors of one training step, and reduces them."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import keras
from keras import ops, tree
from keras.src.backend.common.masking import get_keras_mask

from kregtools.capture import data, reduce, sums
from kregtools.capture.coverage import Coverage
from kregtools.capture.facts import activation_name, ends_in_activation, is_relu, unit_axis
from kregtools.capture.names import cells, layer_names, variable_names
from kregtools.capture.places import is_tensor, named, paired

Key = tuple[str, str, str]
# Names to scalars, tuples of names to vectors.
Statistics = dict[Any, Any]

FIRING = "firing"


class Layout(NamedTuple):
    """What the numbers of a payload are: one key a value, then the firing units of each layer in a row."""

    keys: tuple[Key, ...]
    firing: tuple[tuple[str, int], ...]


class Reader:
    """How the tensors of a step are read on one backend, without disturbing the step.

    Attributes:
        at_once: Whether a tensor is reduced as soon as it is seen, else once the step has ended.
    """

    at_once = True

    def reachable(self, tensor: Any) -> bool:
        """Whether the tensor can be read where the step ends."""
        return True

    def read(self, tensor: Any, rows: int | None = None) -> Any:
        """A tensor of the same value, or its first rows, that may be used freely."""
        return tensor if rows is None else tensor[:rows]

    def reduced(self, how: Callable[..., Statistics], *tensors: Any) -> Statistics:
        """The statistics of tensors that were read."""
        return how(*tensors)

    def follow(self, tensor: Any, tell: Callable[[Any], None], layer: keras.Layer) -> Any:
        """Asks that `tell` be called with the gradient of the layer's output; returns what to use in its place."""
        return tensor

    def taps(self) -> contextlib.AbstractContextManager[Any]:
        """A block in which what only this backend has is listened to as well."""
        return contextlib.nullcontext()

    def merged(self, gradients: list[Any]) -> list[Any]:
        """The gradients over all replicas."""
        return gradients

    def quiet(self) -> contextlib.AbstractContextManager[Any]:
        """A block in which nothing is noted for gradients."""
        return contextlib.nullcontext()


@dataclass
class Tap:
    """A tensor of the step, how it is reduced, and the statistics once it is.

    Attributes:
        covers: What is watched once it is reduced.
    """

    layer: str
    tensor: str
    compute: Callable[[], Statistics]
    covers: str
    scaled: bool = False
    found: Statistics | None = None


class Recorder:
    """Lives for one trace of a train step, or one eager step.

    Args:
        model: The model that is trained.
        reader: How its tensors are read.
        details: Whether all statistics are wanted, else those that cost least.

    Attributes:
        reader: How tensors are read.
        seconds: Time spent on what was seen so far, where tensors have their values already.
        taps: What was seen so far.
        coverage: What of each layer is watched, and why the rest is not.
    """

    def __init__(self, model: keras.Model, reader: Reader, details: bool) -> None:
        self.model, self.reader, self.details = model, reader, details
        self._layers = layer_names(model)
        self._cells = cells(model)
        self._calls: Counter[str] = Counter()
        self._scale: Any = None
        self._inputs_seen, self._loss_seen = False, False
        self.seconds = 0.0
        self.taps: list[Tap] = []
        self.coverage = Coverage(model, details)

    def fresh(self) -> Recorder:
        """A recorder like this one that has seen nothing."""
        return type(self)(self.model, type(self.reader)(), self.details)

    # ---- seen while the step runs

    def data_given(self, batch: Any) -> None:
        """The batch that the step is about to be trained on."""
        with self.noting_failure("", "its input"):
            x, _, weights = keras.utils.unpack_x_y_sample_weight(batch)
            self.coverage.weighted = weights is not None
            self._note_inputs(x)

    def targets_given(self, model: keras.Model, y: Any, y_pred: Any) -> None:
        """The targets, and the outputs that they are for."""
        for name, target, output in paired(model, y, y_pred):
            self._tap_data(name, data.targets, target, output)

    def layer_called(self, layer: keras.Layer, outputs: Any) -> Any:
        """A layer was called; returns what the step is to go on with."""
        with self.noting_failure(self._layers.get(id(layer), str(layer.name))):
            return self._note_outputs(layer, outputs)
        return outputs

    def loss_computed(self, model: keras.Model, loss: Any, x: Any, y: Any, y_pred: Any) -> None:
        with self.noting_failure("", "its loss"):
            self._note_inputs(x)
            self._note_loss(model, loss, y, y_pred)

    def optimizer_applied(self, variables: Any, gradients: Any, before: Any, after: Any, scale: Any) -> None:
        with self.noting_failure("", "its gradients"):
            self._note_step(variables, gradients, before, after, scale)

    def quiet(self) -> contextlib.AbstractContextManager[Any]:
        return self.reader.quiet()

    # ---- after the step

    def finish(self) -> tuple[Layout, Any]:
        """The layout, and the statistics as one vector of floats."""
        scalars: dict[Key, Any] = {}
        vectors: dict[tuple[Key, ...], Any] = {}
        firing: dict[str, Any] = {}
        for tap in self._in_forward_order():
            for name, value in self._unscaled(tap).items():
                if name == FIRING:
                    firing[tap.layer] = value
                elif isinstance(name, tuple):
                    vectors[tuple((tap.layer, tap.tensor, each) for each in name)] = ops.cast(value, "float32")
                else:
                    scalars[tap.layer, tap.tensor, name] = ops.cast(value, "float32")
        keys = (*scalars, *(key for each in vectors for key in each))
        layout = Layout(keys, tuple((name, units.shape[-1]) for name, units in firing.items()))
        values = [ops.stack(list(scalars.values())), *vectors.values()] if scalars else [ops.zeros((0,))]
        units = [ops.cast(ops.concatenate(list(firing.values())), "float32")] if firing else []
        return layout, ops.concatenate([*values, *units])

    @property
    def has_seen_training(self) -> bool:
        """Whether any layer or optimizer was called."""
        return any(tap.layer for tap in self.taps)

    @contextlib.contextmanager
    def noting_failure(self, layer: str, what: str = "it") -> Iterator[None]:
        """Around everything that is done for watching's sake: what is unknown to us must not end the run."""
        began, spent = time.perf_counter(), self.seconds
        try:
            yield
        except Exception as error:
            self.coverage.failed(layer, what, error)
        finally:
            self.seconds = spent + time.perf_counter() - began

    # ---- private

    def _note_outputs(self, layer: keras.Layer, outputs: Any) -> Any:
        name = self._layers.get(id(layer))
        if name is None or id(layer) in self._cells or isinstance(layer, keras.Model):
            return outputs
        self._calls[name] += 1
        self.coverage.called(name)
        called = name if self._calls[name] == 1 else f"{name}#{self._calls[name] - 1}"
        flat = tree.flatten(outputs)
        used = [
            self._note_output(layer, name, called, "activation" if len(flat) == 1 else f"activation:{index}", tensor)
            for index, tensor in enumerate(flat)
        ]
        changed = any(new is not old for new, old in zip(used, flat, strict=True))
        return tree.pack_sequence_as(outputs, used) if changed else outputs

    def _note_output(self, layer: keras.Layer, name: str, called: str, tensor_name: str, tensor: Any) -> Any:
        values = getattr(tensor, "flat_values", tensor)  # of a ragged tensor those that there are
        if not _is_float(values):
            self.coverage.missed(name, "its output is not a floating-point tensor")
            return tensor
        if hasattr(values, "dense_shape"):
            self.coverage.missed(name, "its output is a sparse tensor")
            return tensor
        if not self._reachable(values):
            self.coverage.missed(name, "it is called inside a loop, a branch or another transformation")
            return tensor
        mask = get_keras_mask(values)
        mask = mask if mask is not None and self._reachable(mask) else None
        rows = None if self.details or mask is not None else sums.enough_rows(values.shape)
        how = self._of_activation(layer, tensor_name, len(values.shape))
        self._tap(called, tensor_name, how, values, mask, rows=rows, covers="activation")
        if not self.details:
            return tensor
        fused = getattr(values, "_keras_logits", None) is not None
        self.coverage.expects_gradient(name, fused)

        def tell(gradient: Any) -> None:
            self._note_gradient(name, called, tensor_name, gradient)

        followed = self.reader.follow(values, tell, layer)
        return followed if values is tensor else tensor

    def _of_activation(self, layer: keras.Layer, tensor: str, axes: int) -> _OfActivation:
        if not ends_in_activation(layer):
            return _OfActivation(self.details, None, fires=False)
        kind = activation_name(layer)
        saturated = kind if kind in reduce.saturation else None
        fires = tensor == "activation" and is_relu(layer)
        return _OfActivation(self.details, saturated, fires, unit_axis(layer, axes))

    def _note_gradient(self, name: str, called: str, tensor_name: str, gradient: Any) -> None:
        with self.noting_failure(name):
            self._tap(called, tensor_name, reduce.gradient, gradient, scaled=True, covers="activation gradient")

    def _note_inputs(self, x: Any) -> None:
        if self.details and not self._inputs_seen:
            self._inputs_seen = True
            for name, tensor in named("input", x):
                self._tap_data(name, data.inputs, tensor)

    def _note_loss(self, model: keras.Model, loss: Any, y: Any, y_pred: Any) -> None:
        if self._loss_seen or not self._reachable(loss):
            return
        self._loss_seen = True
        self._tap("", "loss", reduce.loss if self.details else sums.loss, loss)
        if self.details:
            self._tap("", "loss", reduce.penalty, *model.losses)
            for name, output in named("output", y_pred):
                self._tap_data(name, data.outputs, output)
            self.targets_given(model, y, y_pred)

    def _tap_data(self, name: str, how: Callable[..., Statistics], *tensors: Any) -> None:
        with self.noting_failure("", f"its {name}"):
            self._tap("", name, how, *tensors)

    def _note_step(self, variables: Any, gradients: Any, before: Any, after: Any, scale: Any) -> None:
        self._scale = scale if self._scale is None else self._scale
        scale = None if scale is None else ops.convert_to_tensor(scale, "float32")
        names = variable_names(self.model)  # only now: the first step of a model that is not built yet builds it
        gradients = self.reader.merged(list(gradients))
        for variable, gradient, old, new in zip(variables, gradients, before, after, strict=True):
            layer, name = names.get(id(variable), ("", variable.path))
            if gradient is None:
                self.coverage.missed(layer, f"no gradient reaches its {name}")
            elif not self._reachable(gradient.values if hasattr(gradient, "dense_shape") else gradient):
                self.coverage.missed(layer, f"its {name}: it is updated inside a function of its own")
            else:
                self._tap(layer, name, _OfGradient(self.details), gradient, scale)
            if self.details:
                self._tap(layer, name, reduce.update, old, new)

    def _tap(
        self,
        layer: str,
        tensor: str,
        how: Callable[..., Statistics],
        *arguments: Any,
        scaled: bool = False,
        rows: int | None = None,
        covers: str = "",
    ) -> None:
        def compute() -> Statistics:
            read = [argument if argument is None else self.reader.read(argument, rows) for argument in arguments]
            return self.reader.reduced(how, *read)

        tap = Tap(layer, tensor, compute, covers or tensor, scaled)
        if self.reader.at_once:
            with self.quiet():
                self._reduce(tap)
        self.taps.append(tap)

    def _reduce(self, tap: Tap) -> None:
        tap.found = tap.compute()
        self.coverage.seen(tap.layer.split("#")[0], tap.covers)

    def _unscaled(self, tap: Tap) -> Statistics:
        if tap.found is None:
            with self.noting_failure(tap.layer.split("#")[0], f"its {tap.tensor}"):
                self._reduce(tap)
        found = tap.found or {}
        if tap.scaled and self._scale is not None:
            return {name: self._off_scale(name, value) for name, value in found.items()}
        return found

    def _off_scale(self, name: Any, value: Any) -> Any:
        if isinstance(name, tuple):
            parts: Any = ops.unstack(value, len(name))
            return ops.stack([self._off_scale(each, part) for each, part in zip(name, parts, strict=True)])
        return _divided(value, self._scale) if name in ("gradient_norm", "gradient_rms") else value

    def _in_forward_order(self) -> list[Tap]:
        order = {name: index for index, name in enumerate(self._calls)}
        return sorted(self.taps, key=lambda tap: order.get(tap.layer.split("#")[0], -1))

    def _reachable(self, tensor: Any) -> bool:
        return is_tensor(tensor) and self.reader.reachable(tensor)


@dataclass(frozen=True)
class _OfActivation:
    """The statistics of a layer's output; equal ones are computed alike."""

    details: bool
    saturated: str | None
    fires: bool
    unit_axis: int = -1

    def __call__(self, x: Any, mask: Any) -> Statistics:
        mask = None if mask is None else _fitted(mask, x)
        if self.details:
            found: Statistics = {**reduce.activation(x, self.saturated, mask), **reduce.magnitudes(x, mask)}
        else:
            found = sums.activation(x, self.saturated) if mask is None else reduce.activation(x, self.saturated, mask)
        if self.fires and len(x.shape) > 1 and x.shape[self.unit_axis]:
            found[FIRING] = reduce.firing(x, mask, self.unit_axis)
            rows: Any = ops.shape(x)
            found["rows"] = rows[0]
        return found


@dataclass(frozen=True)
class _OfGradient:
    """The statistics of a variable's gradient, the loss scale taken off."""

    details: bool

    def __call__(self, gradient: Any, scale: Any) -> Statistics:
        gradient = _divided(gradient, scale)
        return {**reduce.gradient(gradient), **reduce.magnitudes(gradient)} if self.details else sums.gradient(gradient)


def _fitted(mask: Any, x: Any) -> Any:
    """The mask, or `None` or all true where the layer has handed on the one of an input of another length."""
    axes = len(mask.shape)
    if axes > len(x.shape) or any(
        None not in pair and pair[0] != pair[1] for pair in zip(mask.shape, x.shape[:axes], strict=True)
    ):
        return None
    dynamic = [axis for axis in range(1, axes) if None in (mask.shape[axis], x.shape[axis])]
    if not dynamic:
        return mask
    shape: Any = ops.shape(x)
    shape, given = shape[:axes], cast(Any, ops.shape(mask))
    fits = ops.all(ops.stack([ops.equal(given[axis], shape[axis]) for axis in dynamic]))
    return ops.cond(fits, lambda: ops.cast(mask, "bool"), lambda: ops.ones(shape, "bool"))


def _is_float(value: Any) -> bool:
    return is_tensor(value) and "float" in keras.backend.standardize_dtype(value.dtype)


def _divided(gradient: Any, scale: Any) -> Any:
    dense: Any = ops.cast(ops.convert_to_tensor(gradient), "float32")
    return dense if scale is None else dense / ops.cast(scale, "float32")
