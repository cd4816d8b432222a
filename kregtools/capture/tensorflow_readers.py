"""How the tensors of a step are read on the TensorFlow backend."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import tensorflow as tf

from kregtools.capture.recorder import FIRING, Reader, Statistics
from kregtools.capture.taps import current, replaced


class _Following(Reader):
    """Asks a gradient tape for the gradients of activations, in the very backward pass of the step."""

    def __init__(self) -> None:
        self._followed: list[_Followed] = []
        self._open: list[Any] = []

    def follow(self, tensor: Any, tell: Callable[[Any], None], layer: keras.Layer) -> Any:
        self._followed.append(_Followed(tensor, tell, _ids(layer.trainable_variables)))
        return tensor

    def taps(self) -> contextlib.AbstractContextManager[Any]:
        return _followed_gradients()

    def opened(self, tape: Any) -> None:
        self._open.append(tape)

    def closed(self, tape: Any) -> None:
        self._open = [other for other in self._open if other is not tape]

    def asks(self, tape: Any, target: Any, sources: Any) -> bool:
        """Whether this is the backward pass of the step, and not one inside another."""
        outermost = all(other is tape for other in self._open)
        trains = any(isinstance(source, (tf.Variable, keras.Variable)) for source in tf.nest.flatten(sources))
        return bool(self._followed) and outermost and trains and all(map(self.reachable, tf.nest.flatten(target)))

    def gradient(self, ask: Callable[[list[Any]], list[Any]], sources: list[Any]) -> list[Any]:
        # Of two tapes, as in a GAN, a layer's gradient is that of the one by which it is trained.
        trained = _ids(sources)
        followed = [each for each in self._followed if not each.variables or each.variables & trained]
        found = ask([*sources, *(each.tensor for each in followed)])
        for each, gradient in zip(followed, found[len(sources) :], strict=True):
            if gradient is not None:  # else another tape may know it
                self._followed.remove(each)
                each.tell(gradient)
        return found[: len(sources)]


@dataclass(frozen=True, eq=False)
class _Followed:
    """A layer's output, who is told of its gradient, and the variables that the layer trains."""

    tensor: Any
    tell: Callable[[Any], None]
    variables: frozenset[int]


def _ids(variables: Iterable[Any]) -> frozenset[int]:
    """What tells variables apart, be they Keras' or TensorFlow's own."""
    return frozenset(id(each._value if isinstance(each, keras.Variable) else each) for each in variables)


@contextlib.contextmanager
def _followed_gradients() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for name, make in (("gradient", _gradient), ("__enter__", _enter), ("__exit__", _exit)):
            stack.enter_context(replaced(tf.GradientTape, name, make))
        yield


def _reader() -> _Following | None:
    recorder = current()
    return recorder.reader if recorder is not None and isinstance(recorder.reader, _Following) else None


def _gradient(owner: Any, original: Any) -> Any:
    def gradient(self: Any, target: Any, sources: Any, *args: Any, **kwargs: Any) -> Any:
        reader = _reader()
        if reader is None or not reader.asks(self, target, sources):
            return original(self, target, sources, *args, **kwargs)
        flat = tf.nest.flatten(sources)
        found = reader.gradient(lambda wanted: original(self, target, wanted, *args, **kwargs), flat)
        return tf.nest.pack_sequence_as(sources, found)

    return gradient


def _enter(owner: Any, original: Any) -> Any:
    def enter(self: Any) -> Any:
        reader = _reader()
        if reader is not None:
            reader.opened(self)
        return original(self)

    return enter


def _exit(owner: Any, original: Any) -> Any:
    def leave(self: Any, *error: Any) -> Any:
        reader = _reader()
        if reader is not None:
            reader.closed(self)
        return original(self, *error)

    return leave


class EagerReader(_Following):
    """Reads tensors that have their values already."""

    def reachable(self, tensor: Any) -> bool:
        return not tf.is_symbolic_tensor(tensor)

    def read(self, tensor: Any, rows: int | None = None) -> Any:
        return super().read(tf.stop_gradient(tf.convert_to_tensor(tensor)), rows)


class GraphReader(_Following):
    """Reads the tensors of a step without changing how TensorFlow optimizes the graph they belong to.

    TensorFlow regroups chains of sums and products whose links are used once: lr * (a * b) becomes (lr * a) * b,
    which differs in the last bit. It also computes a product, its bias and an activation as one where nothing else
    uses what is between them, and then rounds differently and may lose a NaN. A statistic that used such a link would
    prevent that. It gets a copy of the chain instead, marked so that it is not taken for a common subexpression and
    merged back.
    """

    LINKS = frozenset(
        {"Add", "AddN", "AddV2", "Cast", "Div", "Identity", "Mul", "Neg", "RealDiv", "Reshape", "Square", "Sub"}
    )
    # What is computed as one with its users, if these are all it has: a gradient would be of another type.
    ACTIVATIONS = frozenset({"Elu", "LeakyRelu", "Mul", "Relu", "Relu6", "Sigmoid", "Softplus", "Tanh"})
    SUMS = frozenset({"Add", "AddV2", "BiasAdd"})
    FUSED: ClassVar[dict[str, frozenset[str]]] = {
        "BiasAdd": ACTIVATIONS | SUMS,
        "Tanh": frozenset({"Mul"}),
        "Sigmoid": frozenset({"Mul"}),
        "Softplus": frozenset({"Tanh"}),
        **dict.fromkeys(("Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul"), SUMS),
    }
    # What else is a link acts value by value.
    ROW_BY_ROW = frozenset({"BiasAdd", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "MatMul"})
    MARK = tf.compat.v1.AttrValue(b=True)
    MANY = 8

    at_once = False

    def __init__(self) -> None:
        super().__init__()
        self._graph = tf.compat.v1.get_default_graph()
        self._copies: dict[tuple[str, int | None], tf.Tensor] = {}
        self._live: set[str] = set()
        self._seen: Counter[Any] = Counter()
        self._functions: dict[Any, Callable[..., Statistics]] = {}

    def reachable(self, tensor: Any) -> bool:
        # Inside a loop or a branch a tensor belongs to a graph of its own, and cannot be read outside it.
        return tf.is_symbolic_tensor(tensor) and tensor.graph is self._graph and not self._is_of_one_element(tensor)

    def _is_of_one_element(self, tensor: tf.Tensor) -> bool:
        """Whether `tf.vectorized_map` tries its function out here, on one element, before it makes one for all."""
        scopes = [re.sub(r"_\d+$", "", scope) for scope in tensor.op.name.split("/")]
        return scopes.count("loop_body") > scopes.count("pfor")

    def merged(self, gradients: list[Any]) -> list[Any]:
        if tf.distribute.get_strategy().num_replicas_in_sync == 1:
            return gradients
        dense = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
        total = iter(tf.distribute.get_replica_context().all_reduce("SUM", dense))
        return [None if gradient is None else next(total) for gradient in gradients]

    def reduced(self, how: Callable[..., Statistics], *tensors: Any) -> Statistics:
        """The statistics of tensors; of many alike, by one function that is called for each.

        Each operation of a graph costs time before the first step: to trace it, to optimize it, to set it up.
        """
        alike = (how, *(tf.TensorSpec(each.shape, each.dtype) if tf.is_tensor(each) else each for each in tensors))
        self._seen[alike] += 1
        if self._seen[alike] < self.MANY:
            return how(*tensors)
        if alike not in self._functions:
            self._functions[alike] = _as_one_operation(how)
        return self._functions[alike](*tensors)

    def step_ends(self, logs: Any) -> None:
        """Notes which operations the step needs: TensorFlow drops the others, and only then looks at users."""
        effects = [op for op in self._graph.get_operations() if op.op_def.is_stateful and op.type != "ReadVariableOp"]
        needed = [*effects, *(tensor.op for tensor in tf.nest.flatten(logs) if tf.is_symbolic_tensor(tensor))]
        while needed:
            op = needed.pop()
            if op.name not in self._live:
                self._live.add(op.name)
                needed += [*op.control_inputs, *(tensor.op for tensor in op.inputs)]

    def read(self, tensor: Any, rows: int | None = None) -> Any:
        tensor = tf.convert_to_tensor(tensor) if isinstance(tensor, tf.IndexedSlices) else tensor
        if not tf.is_symbolic_tensor(tensor) or not self._is_link(tensor):
            return super().read(tensor, rows)
        of_inputs = [rows] * len(tensor.op.inputs) if rows is None else self._rows_of_inputs(tensor.op, rows)
        if of_inputs is None:
            return super().read(self.read(tensor), rows)
        if (tensor.name, rows) not in self._copies:
            inputs = [self.read(source, count) for source, count in zip(tensor.op.inputs, of_inputs, strict=True)]
            attributes = {**dict(tensor.op.node_def.attr), "_kregtools": self.MARK}
            copy = self._graph.create_op(tensor.op.type, inputs, [tensor.dtype], attrs=attributes)
            self._copies[tensor.name, rows] = copy.outputs[0]
        return self._copies[tensor.name, rows]

    def _rows_of_inputs(self, op: tf.Operation, rows: int) -> list[int | None] | None:
        """How many rows of each input (`None`: all) the first rows of the output follow from, `None` if unknown."""
        rank = op.outputs[0].shape.rank
        if op.type == "Reshape" or rank is None or (op.type == "MatMul" and op.get_attr("transpose_a")):
            return None
        if op.type in self.ROW_BY_ROW:
            return [rows, *[None] * (len(op.inputs) - 1)]
        return [rows if source.shape.rank == rank else None for source in op.inputs]

    def _users(self, tensor: tf.Tensor) -> list[str]:
        """The types of what uses a tensor; TensorFlow takes out what only hands several tensors on."""
        found = []
        for user in {op.name: op for op in tensor.consumers() if op.name in self._live}.values():
            handed_on = user.outputs if user.type == "IdentityN" else [None] * len(user.inputs)
            for given, same in zip(user.inputs, handed_on, strict=True):
                if given.name == tensor.name:
                    found += [user.type] if same is None else self._users(same)
        return found

    def _is_link(self, tensor: tf.Tensor) -> bool:
        users = self._users(tensor)
        if tensor.op.type in self.LINKS:
            return len(users) < 2
        return bool(users) and self.FUSED.get(tensor.op.type, frozenset()).issuperset(users)


def _as_one_operation(how: Callable[..., Statistics]) -> Callable[..., Statistics]:
    """What computes the same in one operation of the graph that calls it, with the numbers in one vector."""
    names: list[Any] = []

    def values(*tensors: Any) -> list[tf.Tensor]:
        found = how(*tensors)
        firing = {name: found.pop(name) for name in [FIRING] if name in found}
        vectors = {name if isinstance(name, tuple) else (name,): value for name, value in found.items()}
        names[:] = [tuple(name for each in vectors for name in each), *firing]
        parts = [tf.reshape(tf.cast(value, tf.float32), (-1,)) for value in vectors.values()]
        return [tf.concat(parts, axis=0), *firing.values()]

    # Were it put in place, the graph would be as large as without it.
    function = tf.function(values, autograph=False, experimental_attributes={"_noinline": True})
    return lambda *tensors: dict(zip(names, function(*tensors), strict=True))
