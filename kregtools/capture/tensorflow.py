"""The sampled train function on the TensorFlow backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from kregtools.capture.recorder import Layout, Recorder
from kregtools.capture.taps import listening
from kregtools.errors import NotWatchable

WATCH = "kregtools"


def build(model: keras.Model, every_step: bool) -> tuple[Callable[..., Any], list[Layout]]:
    """A train function like the model's own, made from the same `train_step`, that also hands out statistics.

    Args:
        model: The model.
        every_step: Whether no step is left to the model's own function.

    Returns:
        The function, whose result is `{"logs": what train_step returned, "kregtools": payload}`, and the list of
        layouts that it extends as it is traced; `payload["layout"]` is an index into that list.
    """
    train_step = model.train_step
    layouts: list[Layout] = []

    def sampled_step(data: Any) -> dict[str, Any]:
        reader = _Reader()
        recorder = Recorder(model, reader.reachable)
        with listening(model, recorder):
            logs = train_step(data)
        if not every_step:
            _refuse_random_streams()
        with recorder.noting_failure("links"):
            reader.step_ends(logs)
        layout, payload = recorder.finish(reader.read)
        if layout not in layouts:
            layouts.append(layout)
        return {"logs": logs, WATCH: {**payload, "layout": tf.constant(layouts.index(layout))}}

    return _make_train_function(model, sampled_step), layouts


def to_numpy(tensor: tf.Tensor) -> np.ndarray:
    """The value of a tensor; Keras' own conversion comes with a deprecation warning of NumPy's."""
    return tensor.numpy()


def _refuse_random_streams() -> None:
    """Refuses a step that draws from `tf.random`: there, each of two functions has a stream of its own."""
    if tf.executing_eagerly():
        return
    graph = tf.compat.v1.get_default_graph().as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    if any(node.attr["seed2"].i or node.attr["seed"].i for node in nodes if "seed2" in node.attr):
        raise NotWatchable(
            "it draws from `tf.random`, whose numbers would change; use `keras.random`, or `sample_every=1`"
        )


def reason_not_to_watch(model: keras.Model) -> str | None:
    """Why the model's steps cannot be looked into, or `None` where they can."""
    replicas = model.distribute_strategy.num_replicas_in_sync
    return f"it is trained on {replicas} replicas" if replicas > 1 else None


def _make_train_function(model: Any, train_step: Callable[..., Any]) -> Callable[..., Any]:
    plain, own_step = model.train_function, model.__dict__.get("train_step")
    object.__setattr__(model, "train_step", train_step)
    try:
        # As `fit` does it: an overridden one need not know `force`, or may hand out what is there.
        object.__setattr__(model, "train_function", None)
        model.make_train_function()
        return model.train_function
    finally:
        model.train_function = plain
        if own_step is None:
            object.__delattr__(model, "train_step")
        else:
            object.__setattr__(model, "train_step", own_step)


class _Reader:
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
    MARK = tf.compat.v1.AttrValue(b=True)

    def __init__(self) -> None:
        self._graph = None if tf.executing_eagerly() else tf.compat.v1.get_default_graph()
        self._copies: dict[str, tf.Tensor] = {}
        self._live: set[str] = set()

    def reachable(self, tensor: Any) -> bool:
        # Inside a loop or a branch a tensor belongs to a graph of its own, and cannot be read outside it.
        return not tf.is_symbolic_tensor(tensor) if self._graph is None else tensor.graph is self._graph

    def step_ends(self, logs: Any) -> None:
        """Notes which operations the step needs: TensorFlow drops the others, and only then looks at users."""
        if self._graph is None:
            return
        effects = [op for op in self._graph.get_operations() if op.op_def.is_stateful and op.type != "ReadVariableOp"]
        needed = [*effects, *(tensor.op for tensor in tf.nest.flatten(logs) if tf.is_symbolic_tensor(tensor))]
        while needed:
            op = needed.pop()
            if op.name not in self._live:
                self._live.add(op.name)
                needed += [*op.control_inputs, *(tensor.op for tensor in op.inputs)]

    def read(self, tensor: Any) -> Any:
        tensor = tf.convert_to_tensor(tensor) if isinstance(tensor, tf.IndexedSlices) else tensor
        if self._graph is None or not tf.is_symbolic_tensor(tensor) or not self._is_link(tensor):
            return tensor
        if tensor.name not in self._copies:
            inputs = [self.read(source) for source in tensor.op.inputs]
            attributes = {**dict(tensor.op.node_def.attr), f"_{WATCH}": self.MARK}
            copy = self._graph.create_op(tensor.op.type, inputs, [tensor.dtype], attrs=attributes)
            self._copies[tensor.name] = copy.outputs[0]
        return self._copies[tensor.name]

    def _is_link(self, tensor: tf.Tensor) -> bool:
        if tensor.op.type in self.LINKS:
            return True
        users = {user.type for user in tensor.consumers() if user.name in self._live}
        return bool(users) and users <= self.FUSED.get(tensor.op.type, frozenset())
