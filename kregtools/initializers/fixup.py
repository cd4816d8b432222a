"""Residual networks without normalization."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kregtools._numbers import refuse
from kregtools.initializers.kernels import Kernel, kernel_of


@dataclass(frozen=True)
class FixupReport:
    """What `fixup` did.

    Attributes:
        branches: The kernels of each residual branch, by their layers' paths, in the order of the computation.
        factors: By how much the kernels of each branch were scaled, all but the last, which is zero.
        outputs: The last layers with a kernel before the outputs, whose kernels are zero.
    """

    branches: tuple[tuple[str, ...], ...]
    factors: tuple[float, ...]
    outputs: tuple[str, ...]


def fixup(model: keras.Model) -> FixupReport:
    r"""Scales the residual branches of a model so that it trains without normalization.

    A residual network adds up its branches, and with L of them the outputs change by about L times as much in one
    step of training as one branch does. Fixup makes up for that at the start. In each branch of m kernels

    - the first $m - 1$ are multiplied by $L^{-1/(2m-2)}$,
    - the last becomes zero, and so does the kernel of the last layer before an output, biases included.

    Build the model with a standard initializer (He, `DropoutAware`), call this before training, and leave out the
    normalization layers. The paper adds a scalar bias before each layer, and a learned scalar to each branch, for
    which there is `kregtools.layers.ResidualScale`; with it at the end of a branch, start it at 1: the last kernel is
    zero already, and two factors of zero would never learn.

    A branch is what lies between a merge (`Add`, or `+`) and the point where its inputs parted. Of two inputs, the
    one with more kernels is the residual branch; a projection on the other way is left as it is.

    Args:
        model: A Functional model that adds its residual branches up. A layer that is called in several branches is
            scaled once.

    Returns:
        A `FixupReport`.

    Raises:
        ValueError: If the graph of the model is not known, or no residual branch with a kernel is found.

    Example:

    ```python
    inputs = x = keras.Input((64,))
    for _ in range(8):
        h = keras.layers.Dense(64, activation="relu", kernel_initializer="he_normal")(x)
        x = x + keras.layers.Dense(64, kernel_initializer="he_normal")(h)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    print(kregtools.initializers.fixup(model).branches)
    ```

    Reference:

    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321)
    """
    if not isinstance(model, keras.Model):
        refuse("model", model, "a Functional model")
    if not hasattr(model, "operations"):
        raise ValueError(
            f"The graph of '{model.name}' is not known. Received: a {type(model).__name__}. Expected a Functional "
            "model; scale the branches of a subclassed model in its `build`."
        )
    branches = _branches(model)
    if not branches:
        raise ValueError(
            f"'{model.name}' has no residual branch: no sum of two ways of which one has more kernels. Received: "
            f"{sum(_adds(operation) for operation in model.operations)} sums. Expected `keras.layers.Add`, or `+`."
        )
    factors = tuple(len(branches) ** (-1 / (2 * len(b) - 2)) if len(b) > 1 else 1.0 for b in branches)
    # A layer that several branches share is scaled once.
    scaled = {
        id(kernel.variable): (kernel, factor)
        for branch, factor in zip(branches, factors, strict=True)
        for kernel in branch[:-1]
    }
    for kernel, factor in scaled.values():
        kernel.variable.assign(kernel.variable * factor)
    outputs = _at_outputs(model)
    for kernel in (*(branch[-1] for branch in branches), *outputs):
        _zero(kernel)
    names = tuple(tuple(kernel.name for kernel in branch) for branch in branches)
    return FixupReport(names, factors, tuple(kernel.name for kernel in outputs))


def _branches(model: Any) -> list[list[Kernel]]:
    # By the calls of this model: a layer may be called several times, or in other models as well.
    nodes = [node for _, level in sorted(model._nodes_by_depth.items(), reverse=True) for node in level]
    found = []
    for node in nodes:
        sources = _sources(node) if _adds(node.operation) else []
        if len(sources) != 2:
            continue
        upstream = [_upstream(source) for source in sources]
        differences = (own - other for own, other in (upstream, upstream[::-1]))
        ways = [_kernels(node for node in nodes if node in way) for way in differences]
        longer, shorter = sorted(ways, key=len, reverse=True)
        if len(longer) > len(shorter):
            found.append(longer)
    return found


def _adds(operation: Any) -> bool:
    return isinstance(operation, (keras.layers.Add, _plus()))


def _sources(node: Any) -> list[Any]:
    """The calls whose results go into this one."""
    return [_made(tensor) for tensor in node.input_tensors]


def _made(tensor: Any) -> Any:
    """The call that made a tensor."""
    operation, index, _ = tensor._keras_history
    return operation._inbound_nodes[index]


def _upstream(node: Any) -> frozenset[Any]:
    """The call and all before it."""
    seen, waiting = set(), [node]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += _sources(current)
    return frozenset(seen)


def _kernels(nodes: Iterable[Any]) -> list[Kernel]:
    """The kernels in these calls, those of nested layers included, in the order of the calls."""
    outer = [node.operation for node in nodes if isinstance(node.operation, keras.Layer)]
    kernels = [kernel_of(layer) for each in outer for layer in each._flatten_layers()]
    return [kernel for kernel in kernels if kernel is not None]


def _at_outputs(model: Any) -> list[Kernel]:
    kernels = [kernel for tensor in keras.tree.flatten(model.outputs) for kernel in _at_output(_made(tensor))]
    return list({id(kernel.variable): kernel for kernel in kernels}.values())


def _at_output(node: Any) -> list[Kernel]:
    """The last kernel before an output; none where a merge, or weights that are not known here, are closer to it."""
    weights = getattr(node.operation, "weights", ())
    if any(len(weight.shape) > 1 for weight in weights) or len(node.input_tensors) != 1:
        return _kernels([node])[-1:]
    return _at_output(_made(node.input_tensors[0]))


def _zero(kernel: Kernel) -> None:
    for variable in (kernel.variable, kernel.bias):
        if variable is not None:
            variable.assign(ops.zeros(variable.shape))


@functools.cache
def _plus() -> type:
    """The class of the operation behind `+`, which has no public name."""
    one: Any = keras.KerasTensor((1,))
    return type((one + one)._keras_history.operation)
