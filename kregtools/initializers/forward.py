"""One pass through a model in training mode that stops at every kernel on its way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from kregtools._batches import batches
from kregtools._intact import replaced, snapshot
from kregtools._numbers import integer, refuse
from kregtools.initializers.kernels import Kernel, kernel_of

# Is given the kernel, the input of its layer, and a function that computes the output before the activation.
Visit = Callable[[Kernel, Any, Callable[[], np.ndarray]], None]


class _Stopped(BaseException):
    """Carries an error out of a layer's call, where Keras would rewrite an `Exception`."""


class Pass:
    """A model and a batch of its inputs, which can be walked through again and again with the same dropout.

    Every walk visits the kernels in the order in which their layers are called, and each layer once. What a visit
    does to a kernel shows in the layers after it. Everything but the kernels and their biases is put back.

    Attributes:
        left_alone: Why a layer with a kernel was not visited, by the layer's name.
        kernels: Those that are visited.
        rows: How many rows the batch has.
        others: The variables that a walk puts back: all but the kernels and their biases.
    """

    def __init__(self, model: keras.Model, x: Any, samples: int) -> None:
        if not isinstance(model, keras.Model):
            refuse("model", model, "a Keras model")
        if not model.built:
            raise ValueError(
                f"The model '{model.name}' is not built, so it has no kernels yet. Call it on a batch, build it or "
                "give it an Input first."
            )
        samples = integer("samples", samples, 2, "2 or more")
        self.model = model
        self.x = _batch(x, samples)
        self.rows = len(keras.tree.flatten(self.x)[0])
        _check(self.x, self.rows)
        self.left_alone: dict[str, str] = {}
        self.kernels = self._kernels()
        if not self.kernels:
            raise ValueError(
                f"The model '{model.name}' has no trainable kernel that is known here. Expected at least one Dense, "
                "EinsumDense or convolution."
            )
        changed = {id(variable) for kernel in self.kernels for variable in (kernel.variable, kernel.bias)}
        self.others = [variable for variable in model.variables if id(variable) not in changed]

    def walk(self, visit: Visit) -> None:
        """Calls `visit` at every kernel."""
        waiting = {id(kernel): kernel for kernel in self.kernels}
        with contextlib.ExitStack() as stack:
            stack.callback(snapshot(self.others))
            for kernel in self.kernels:
                stack.enter_context(self._visiting(kernel, visit, waiting))
            try:
                self.model(self.x, **({"training": True} if self.model._call_has_training_arg else {}))
            except _Stopped as stopped:
                raise stopped.args[0] from None
        for kernel in waiting.values():
            self._leave(kernel, "the model did not call it on this data")
        if not self.kernels:
            reasons = set(self.left_alone.values())
            raise ValueError(
                f"No kernel of '{self.model.name}' could be measured: {'; '.join(sorted(reasons))}. The "
                "model is as it was."
            )

    @contextlib.contextmanager
    def undone_on_error(self) -> Iterator[None]:
        """If the block fails, the kernels and biases are as they were before it."""
        put_back = snapshot(
            variable for kernel in self.kernels for variable in (kernel.variable, kernel.bias) if variable is not None
        )
        try:
            yield
        except BaseException:
            put_back()
            raise

    def _leave(self, kernel: Kernel, why: str) -> None:
        self.kernels = [each for each in self.kernels if each is not kernel]
        self.left_alone[kernel.name] = why

    def _kernels(self) -> list[Kernel]:
        flat = {id(layer): layer for layer in self.model._flatten_layers()}
        found = []
        for layer in flat.values():
            kernel = kernel_of(layer)
            if kernel is not None and kernel.variable.trainable:
                found.append(kernel)
            elif kernel is not None:
                self.left_alone[kernel.name] = "frozen (trainable=False)"
            elif _has_kernel(layer):
                self.left_alone[layer.path or layer.name] = (
                    f"the output of a {type(layer).__name__} is not known to be linear in a kernel"
                )
        return found

    def _visiting(
        self, kernel: Kernel, visit: Visit, waiting: dict[int, Kernel]
    ) -> contextlib.AbstractContextManager[None]:
        inner = kernel.layer.call
        stored = np.asarray(keras.ops.convert_to_numpy(kernel.variable))

        def call(inputs: Any, *args: Any, **kwargs: Any) -> Any:
            def output() -> np.ndarray:
                with replaced(kernel.layer, "activation", None):
                    return _array(inner(inputs, *args, **kwargs))

            if waiting.pop(id(kernel), None):
                self._visit(kernel, inputs, output, stored, visit)
            return inner(inputs, *args, **kwargs)

        return replaced(kernel.layer, "call", call)

    def _visit(
        self, kernel: Kernel, inputs: Any, output: Callable[[], np.ndarray], stored: np.ndarray, visit: Visit
    ) -> None:
        try:
            now = np.asarray(keras.ops.convert_to_numpy(kernel.variable))
            output()
        except Exception:  # each backend has its own error for a tensor without a value
            self._leave(kernel, "it runs inside a compiled function or a loop")
            return
        # In mixed precision what is read here has been cast.
        if not np.array_equal(now, stored.astype(now.dtype), equal_nan=True):
            self._leave(kernel, "its kernel is computed at every call, by a layer around it")
            return
        try:
            visit(kernel, inputs, output)
        except Exception as error:
            raise _Stopped(error) from error


def _has_kernel(layer: Any) -> bool:
    within = layer._flatten_layers(include_self=False, recursive=False)
    return not list(within) and any("kernel" in weight.name for weight in layer.trainable_weights)


def _array(tensor: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")), "float64")


def _batch(x: Any, samples: int) -> Any:
    parts = [part for part, _ in batches(x, samples, samples, name="x")]
    if not parts:
        raise ValueError("`x` has no rows. Expected arrays, a dataset or an iterable that is not exhausted.")
    return keras.tree.map_structure(lambda *leaves: _joined(leaves), *parts)


def _joined(leaves: Iterable[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(leaf) for leaf in leaves])


def _check(x: Any, rows: int) -> None:
    if rows < 2:
        raise ValueError("`x` has 1 row. A variance takes at least two, and a few hundred are a good measure of it.")
    leaves = keras.tree.flatten(x)
    for leaf in leaves:
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            raise ValueError(
                f"`x` is not finite. Received: {int((~np.isfinite(leaf)).sum())} of {leaf.size} values NaN or "
                "infinite. The model was not changed; clean the data first."
            )
    if all((leaf == leaf[:1]).all() for leaf in leaves):
        raise ValueError(f"All {rows} rows of `x` are equal, so that they have no variance. Expected real data.")
