"""Residual networks without normalization."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from kregtools.initializers.kernels import Kernel, kernel_of


@dataclass(frozen=True)
class FixupReport:
    """What `fixup` did.

    Attributes:
        branches: The kernels of each residual branch, by their layers' paths, in the order of the computation.
        factors: By how much the kernels of each branch were scaled, all but the last, which is zero.
        outputs: The layers at the output, whose kernels are zero.
    """

    branches: tuple[tuple[str, ...], ...]
    factors: tuple[float, ...]
    outputs: tuple[str, ...]


def fixup(model: keras.Model) -> FixupReport:
    r"""Scales the residual branches of a model so that it trains without normalization.

    A residual network adds up its branches, and with L of them the outputs change by about L times as much in one
    step of training as one branch does. Fixup makes up for that at the start. In each branch of m kernels

    - the first $m - 1$ are multiplied by $L^{-1/(2m-2)}$,
    - the last becomes zero, and so does the kernel of a layer at the output, biases included.

    Build the model with a standard initializer (He, `DropoutAware`), call this before training, and leave out the
    normalization layers. The paper adds a scalar bias before each layer, and a learned scalar to each branch, for
    which there is `kregtools.layers.ResidualScale`; with it at the end of a branch, start it at 1: the last kernel is
    zero already, and two factors of zero would never learn.

    A branch is what lies between a merge (`Add`, or `+`) and the point where its inputs parted. Of two inputs, the
    one with more kernels is the residual branch; a projection on the other way is left as it is.

    Args:
        model: A built Sequential or Functional model that adds its residual branches up.

    Returns:
        A `FixupReport`.

    Raises:
        ValueError: If the graph of the model is not known, or no residual branch with a kernel is found.

    Reference:

    - [Zhang et al., 2019](https://arxiv.org/abs/1901.09321)
    """
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
    for branch, factor in zip(branches, factors, strict=True):
        for kernel in branch[:-1]:
            kernel.variable.assign(kernel.variable * factor)
        _zero(branch[-1])
    outputs = _at_outputs(model)
    for kernel in outputs:
        _zero(kernel)
    names = tuple(tuple(kernel.name for kernel in branch) for branch in branches)
    return FixupReport(names, factors, tuple(kernel.name for kernel in outputs))


def _branches(model: Any) -> list[list[Kernel]]:
    found = []
    for operation in model.operations:
        sources = _sources(operation) if _adds(operation) else []
        if len(sources) != 2:
            continue
        upstream = [_upstream(source) for source in sources]
        ways = [_kernels(model, own - other) for own, other in (upstream, upstream[::-1])]
        longer, shorter = sorted(ways, key=len, reverse=True)
        if len(longer) > len(shorter):
            found.append(longer)
    return found


def _adds(operation: Any) -> bool:
    return isinstance(operation, (keras.layers.Add, _plus()))


def _sources(operation: Any) -> list[Any]:
    """The operations whose results go into the first call of this one."""
    tensors = operation._inbound_nodes[0].input_tensors
    return [tensor._keras_history.operation for tensor in tensors]


def _upstream(operation: Any) -> frozenset[Any]:
    """The operation and all before it."""
    seen, waiting = set(), [operation]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += _sources(current)
    return frozenset(seen)


def _kernels(model: Any, operations: frozenset[Any]) -> list[Kernel]:
    """The kernels in these operations, nested ones included, in the order of the computation."""
    found = []
    for operation in model.operations:
        if operation in operations and isinstance(operation, keras.Layer):
            found += [kernel for layer in operation._flatten_layers() if (kernel := kernel_of(layer)) is not None]
    return found


def _at_outputs(model: Any) -> list[Kernel]:
    last = [tensor._keras_history.operation for tensor in keras.tree.flatten(model.outputs)]
    kernels = [kernel_of(operation) for operation in last if isinstance(operation, keras.Layer)]
    return [kernel for kernel in kernels if kernel is not None]


def _zero(kernel: Kernel) -> None:
    for variable in (kernel.variable, kernel.bias):
        if variable is not None:
            variable.assign(ops.zeros(variable.shape))


@functools.cache
def _plus() -> type:
    """The class of the operation behind `+`, which has no public name."""
    one: Any = keras.KerasTensor((1,))
    return type((one + one)._keras_history.operation)
