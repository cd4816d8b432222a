"""Sampled steps on the TensorFlow backend."""

from __future__ import annotations

import functools
import inspect
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kregtools.capture.host import process_state, random_state_kept, unnoticed
from kregtools.capture.names import named_layers
from kregtools.capture.recorder import Layout, Recorder
from kregtools.capture.retracing import count_as_traced, uncounted
from kregtools.capture.sampler import EagerSampler, Payload, Sample, Sampler, timed
from kregtools.capture.taps import listening
from kregtools.capture.tensorflow_readers import EagerReader, GraphReader
from kregtools.errors import NotWatchable

WATCH = "watched"


def reason_not_to_watch(model: keras.Model) -> str | None:
    """Why the model's steps cannot be looked into, or `None` where they can."""
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.experimental.ParameterServerStrategy):
        return "it is trained with a parameter server, whose steps run elsewhere"
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return "it is trained by several workers, each of which sees its own part"
    if strategy.num_replicas_in_sync > 1 and (model.run_eagerly or tf.config.functions_run_eagerly()):
        return "it is trained eagerly on several replicas"
    return None


def sampler(model: keras.Model, details: bool) -> Sampler:
    """What runs the sampled steps of the model."""
    if model.run_eagerly or tf.config.functions_run_eagerly():
        return EagerSampler(model, EagerReader, details)
    return GraphSampler(model, details)


def to_numpy(tensor: Any) -> np.ndarray:
    """The value of a tensor; Keras' own conversion comes with a deprecation warning of NumPy's."""
    return tensor.numpy() if tf.is_tensor(tensor) else np.asarray(tensor)


class GraphSampler(Sampler):
    """Runs a second train function, made from the same `train_step`, whose graph computes the statistics besides.

    That they are there can change how TensorFlow rounds the step itself: fusion and the order of sums depend on who
    else uses a tensor. So the first sampled steps, and then ever fewer, are rehearsed: the second function runs, what
    it changed is put back, the model's own function runs, and both must have ended in the same bits. As long as they
    do, the second function takes the place of the first in sampled steps. If ever they do not, all samples are
    rehearsals from then on, which are exact whatever the second function does. They are so from the beginning where
    the step is of the user's own, whose roundings may depend on the data, and where it draws from `tf.random`: each
    of the two functions has its own stream of that.
    """

    IN_PLACE = "a second train function with the same results bit for bit, as rehearsals have shown"
    REHEARSED = "a rehearsal that is undone, then the model's own train function"
    UNCHECKED = "a second train function; {}, so it could not be rehearsed"

    def __init__(self, model: keras.Model, details: bool) -> None:
        self._model, self.details = model, details
        self._layouts: list[Layout] = []
        self._outbox = _outbox(model)
        self._runs, self._traces = 0, 0
        self._next_check, self._spec = 1, _UNSEEN
        self._in_place = not _has_own_step(model)
        self._retraced: Any = None
        self._why_unchecked: str | None = None
        self._why_not: str | None = None
        try:
            # A `tf.function` of its own would hide what happens in it, and be traced with our taps in place.
            train_step = getattr(model.train_step, "python_function", model.train_step)
            self._function = _make_train_function(model, self._train_step(train_step))
        except Exception as error:  # an overridden `make_train_function` can do anything
            raise NotWatchable(_failed("making a second train function", error)) from error

    @property
    def exact(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        if self._why_unchecked is not None:
            return self.UNCHECKED.format(self._why_unchecked)
        return self.IN_PLACE if self._in_place else self.REHEARSED

    def __call__(self, plain: Callable[..., Any], *args: Any) -> Sample:
        traces = self._traces
        spec = getattr(args[0], "element_spec", None) if args else None
        if spec is not self._spec and spec != self._spec:
            self._runs, self._next_check = 0, 1
            self._why_unchecked = self._prepare(plain, *args)
        self._spec = spec
        rehearse = self._why_unchecked is None and (self._is_to_check() or not self._in_place)
        sample = self._rehearse(plain, args[0]) if rehearse else self._sample(self._called(self._function, *args))
        return sample._replace(traced=self._traces > traces)

    # ---- private

    def _is_to_check(self) -> bool:
        """Whether this is the first, second, 16th, 128th, … sample since the function was traced."""
        self._runs += 1
        if self._runs < self._next_check:
            return False
        self._next_check *= 2 if self._runs == 1 else 8
        return True

    def _train_step(self, train_step: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def sampled_step(batch: Any) -> dict[str, Any]:
            self._traces += 1
            logs, watched = None, {}
            try:
                reader = GraphReader()
                recorder = Recorder(self._model, reader, self.details)
                recorder.data_given(batch)
                with listening(self._model, recorder):
                    logs = train_step(batch)
                if not recorder.has_seen_training:
                    raise NotWatchable("no layer and no optimizer is called inside its `train_step`")
                with recorder.noting_failure("", "it"):
                    reader.step_ends(logs)
                watched = self._handed_out(*recorder.finish())
                self.coverage = recorder.coverage
            except NotWatchable as why:
                self._why_not = str(why)
            except Exception as error:
                self._why_not = _failed("tracing it", error)
            # What a trace that fails has created, weights and metrics, would never get its initial values.
            return {"logs": train_step(batch) if logs is None else logs, WATCH: watched}

        return sampled_step

    def _handed_out(self, layout: Layout, values: Any) -> dict[str, Any]:
        # In a variable: the order in which TensorFlow runs a graph follows from its results, and with the statistics
        # among them it was found to run an LSTM's backward loop much slower.
        if layout not in self._layouts:
            self._layouts.append(layout)
        handed_out = {"layout": tf.constant(self._layouts.index(layout)), "values": values}
        if self._outbox is not None:
            self._outbox.assign(handed_out.pop("values"))
        return {name: _one_slot_a_replica(value) for name, value in handed_out.items()}

    def _sample(self, result: Any) -> Sample:
        if not (isinstance(result, dict) and WATCH in result):
            return Sample(result, None, why_not="its `make_train_function` does not use `train_step`")
        if not result[WATCH]:
            return Sample(result["logs"], None, why_not=self._why_not)
        watched = result[WATCH]
        values = watched["values"] if self._outbox is None else self._outbox.value()
        return Sample(result["logs"], Payload(self._layouts, watched["layout"], values))

    def _prepare(self, plain: Callable[..., Any], *args: Any) -> str | None:
        """Traces the second function; returns why it cannot be rehearsed, `None` if it can."""
        function, own = _compiled(self._function), _compiled(plain)
        if (
            function is None
            or own is None
            or not isinstance(args[0], (tf.data.Iterator, tf.distribute.DistributedIterator))
        ):
            _build_optimizer(self._model)
            return "its train function is not the one Keras makes"
        # First the model's own: what a trace creates for good is to come from the draws that it would come from.
        before, traces = process_state(), own.experimental_get_tracing_count()
        try:
            own.get_concrete_function(*args)
        except Exception as error:
            raise NotWatchable(_failed("tracing the train function", error), of_the_run=error) from error
        self._retraced = own if own.experimental_get_tracing_count() > traces else None
        try:
            with unnoticed(before if self._retraced else None):
                graph = function.get_concrete_function(*args).graph
        except Exception as error:
            raise NotWatchable(_failed("tracing it", error)) from error
        if self._why_not is not None:
            raise NotWatchable(self._why_not)
        self._variables = [variable for variable in graph.variables if variable is not self._outbox]
        nodes = [*graph.as_graph_def().node, *_inner_nodes(graph)]
        if any(node.op.startswith("DebugNumericSummary") for node in nodes):
            raise NotWatchable(
                "`tf.debugging.enable_check_numerics` is on, and would end the run at a statistic that is not finite. "
                "Call `tf.debugging.disable_check_numerics()`: what is not finite is found all the same"
            )
        draws = any(node.attr["seed2"].i or node.attr["seed"].i for node in nodes if "seed2" in node.attr)
        self._in_place = self._in_place and not draws
        effects = ", ".join(sorted({node.op for node in nodes if _has_effects(node.op)} | _other_iterators(graph)))
        if effects and draws:
            raise NotWatchable(
                f"it draws from `tf.random`, whose numbers would change in a second train function, and has effects "
                f"that cannot be undone ({effects}), so that it cannot be rehearsed. Use `keras.random`"
            )
        return f"it has effects that cannot be undone ({effects})" if effects else None

    def _called(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls what is the step of the run, as if it were traced only now: TensorFlow counts the calls that are."""
        retraced, self._retraced = self._retraced, None
        if retraced is None:
            return function(*args)
        with uncounted():
            result = function(*args)
        count_as_traced(retraced)
        return result

    def _rehearse(self, plain: Callable[..., Any], iterator: Any) -> Sample:
        began = time.perf_counter()
        batches = _next_batches(iterator, self._model.steps_per_execution)
        if not batches:
            return Sample(plain(iterator), None)  # which raises what ends the epoch
        strategy, variables = self._model.distribute_strategy, self._variables
        before = [variable.value() for variable in variables]  # what is read stays as it is, and costs no copy
        sample, after, why_not = Sample(None, None), None, None
        try:
            with random_state_kept(), uncounted():
                sample = self._sample(self._function(_replayed(batches, iterator, strategy)))
            after = [variable.value() for variable in variables] if self._in_place else None
        except Exception as error:
            why_not = _failed("rehearsing a step", error)
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)
            del before
        logs, plain_seconds = timed(self._called, plain, _replayed(batches, iterator, strategy))
        if self._in_place:
            self._in_place = _same_bits((after, sample.result), ([variable.value() for variable in variables], logs))
        seconds = time.perf_counter() - began - plain_seconds
        return Sample(logs, sample.payload, seconds, plain_seconds, why_not=why_not or sample.why_not)


# Stands for the batches of a function that was not called yet.
_UNSEEN = object()


def _failed(what: str, error: Exception) -> str:
    return f"{what} failed ({type(error).__name__}: {error})"


def _has_own_step(model: Any) -> bool:
    return type(model).train_step is not keras.Model.train_step or "train_step" in vars(model)


def _build_optimizer(model: keras.Model) -> None:
    # As Keras would in the first step, under the same name; a custom train step knows its own variables best.
    optimizer = model.optimizer
    own_step = _has_own_step(model)
    built = all(layer.built for _, layer in named_layers(model))
    if optimizer is None or optimizer.built or own_step or not built or not model.trainable_variables:
        return
    with keras.name_scope(optimizer.name, caller=optimizer):
        optimizer.build(model.trainable_variables)


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


def _compiled(train_function: Any) -> Any:
    """The `tf.function` that a train function is, or calls."""
    candidates = [train_function]
    if inspect.isfunction(train_function):
        candidates += inspect.getclosurevars(train_function).nonlocals.values()
    return next((item for item in candidates if hasattr(item, "get_concrete_function")), None)


def _inner_nodes(graph: Any) -> list[Any]:
    return [node for function in graph.as_graph_def().library.function for node in function.node_def]


# What cannot be done twice, or put back afterwards: state outside of variables, the world outside of TensorFlow.
EFFECTS = re.compile(
    "(Eager)?PyFunc.*|Print.*|Write.*|.*Summary.*|.*Queue.*|(OrderedMap)?(Map)?(Uns|S)tage|Mutable.*|"
    "LookupTable(Insert|Remove|Import).*|Barrier.*|.*Accumulator.*|Send|Recv|Collective.*|Nccl.*|Save.*|Timestamp|"
    "Anonymous.*Seed.*"
)


def _has_effects(op: str) -> bool:
    return EFFECTS.fullmatch(op) is not None


def _other_iterators(graph: Any) -> set[str]:
    """Iterators that the step holds itself, which a rehearsal would move on."""
    captured = (str(outer) for outer, _ in graph.captures if outer.dtype == tf.resource)
    return {"IteratorGetNext" for handle in captured if 'type="tensorflow::data::' in handle}


def _next_batches(iterator: Any, count: int) -> list[Any]:
    batches = []
    while len(batches) < count:
        batch = iterator.get_next_as_optional()
        if not batch.has_value():
            break
        batches.append(batch.get_value())
    return batches


def _replayed(batches: list[Any], iterator: Any, strategy: Any) -> Iterator[Any]:
    """An iterator over the batches that a compiled function takes for the one they came from."""
    if isinstance(iterator, tf.data.Iterator):
        return iter(_dataset(batches, iterator.element_spec))
    replicas = range(strategy.num_replicas_in_sync)
    of_replicas = [_of_replica(strategy, batch, replica) for batch in batches for replica in replicas]
    spec = tf.nest.map_structure(lambda each: getattr(each, "_value_specs", (each,))[0], iterator.element_spec)
    return iter(strategy.distribute_datasets_from_function(lambda context: _dataset(of_replicas, spec)))


def _of_replica(strategy: Any, batch: Any, replica: int) -> Any:
    return tf.nest.map_structure(lambda values: strategy.experimental_local_results(values)[replica], batch)


def _dataset(batches: list[Any], spec: Any) -> Any:
    variants = [tf.data.experimental.to_variant(tf.data.Dataset.from_tensors(batch)) for batch in batches]
    datasets = [tf.data.experimental.from_variant(variant, spec) for variant in variants]
    return functools.reduce(lambda one, other: one.concatenate(other), datasets)


def _same_bits(one: Any, other: Any) -> bool:
    ones, others = tf.nest.flatten(one), tf.nest.flatten(other)
    return len(ones) == len(others) and all(map(np.array_equal, map(_bits, ones), map(_bits, others)))


def _bits(leaf: Any) -> np.ndarray:
    array = to_numpy(leaf)
    return array if array.dtype.hasobject else array.reshape(-1).view(np.uint8)


def _outbox(model: Any) -> tf.Variable | None:
    """A variable of any length, which neither replicas nor XLA could assign."""
    if model.jit_compile or model.distribute_strategy.num_replicas_in_sync > 1:
        return None
    return tf.Variable(tf.zeros((0,)), False, shape=(None,))


def _one_slot_a_replica(value: Any) -> Any:
    """Keras takes the mean of what replicas return: each gets a slot of its own, so that nothing is lost."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    if replicas == 1:
        return value
    own = tf.range(replicas) == tf.distribute.get_replica_context().replica_id_in_sync_group
    value = tf.cast(value, tf.float32)
    return tf.where(tf.reshape(own, (replicas, *[1] * value.shape.rank)), value[None] * float(replicas), 0.0)
