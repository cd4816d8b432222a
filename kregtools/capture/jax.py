"""Sampled steps on the JAX backend."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from jax.extend.core import get_opaque_trace_state  # pyright: ignore[reportMissingImports]
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask

from kregtools.capture.host import unnoticed
from kregtools.capture.recorder import Layout, Reader, Recorder, Tap
from kregtools.capture.sampler import Payload, Sample, Sampler, timed
from kregtools.capture.taps import current, listening, replaced
from kregtools.errors import NotWatchable


def reason_not_to_watch(model: keras.Model) -> str | None:
    """Why the model's steps cannot be looked into, or `None` where they can."""
    return "its state is kept by Flax NNX" if keras.config.is_nnx_enabled() else None


def sampler(model: keras.Model, details: bool) -> Sampler:
    """What runs the sampled steps of the model."""
    return PureSampler(model, details)


def to_numpy(tensor: Any) -> np.ndarray:
    """The value of an array."""
    return np.asarray(tensor)


class PureSampler(Sampler):
    """Computes the step twice: once for its statistics alone, then as the model's own train function does.

    A step is a pure function of state and batch, so that the first has no effect on the second. One computation for
    both would not do: what is read besides changes how XLA fuses and rounds the rest.
    """

    exact = "the step is computed for its statistics first, then by the model's own train function"
    sees_last = False
    # Timed to the end now and then, as JAX does not wait for what it computes; other work only makes it longer.
    CALIBRATIONS = (2, 4, 16, 64)

    def __init__(self, model: Any, details: bool) -> None:
        self._model, self.details = model, details
        self._layouts: list[Layout] = []
        self._runs, self._traces, self._seconds = 0, 0, math.inf
        self._signatures: set[Any] = set()
        self._compiled = model.jit_compile and not model.run_eagerly
        self._watch = jax.jit(self._watch_step) if self._compiled else self._watch_step

    def __call__(self, plain: Callable[..., Any], *args: Any) -> Sample:
        state, iterator = args
        batches = list(itertools.islice(iterator, self._model.steps_per_execution))
        if not batches:
            return Sample(plain(state, iter(())), None)  # which raises what ends the epoch
        payload, why_not, traces = None, None, self._traces
        self._trace_plain(plain, state, batches[0])
        try:
            with unnoticed():
                payload, seconds = timed(self._look, state, batches[0])
        except NotWatchable as why:
            seconds, why_not = 0.0, str(why)
        except Exception as error:
            seconds, why_not = 0.0, f"computing a step for its statistics failed ({type(error).__name__}: {error})"
        traced = self._compiled and self._traces > traces
        result, plain_seconds = timed(plain, state, iter(batches))
        known = traced or why_not is not None or not self._compiled
        return Sample(result, payload, seconds if known else self._seconds, plain_seconds, traced, why_not=why_not)

    # ---- private

    def _trace_plain(self, plain: Callable[..., Any], state: Any, batch: Any) -> None:
        """Traces the model's own step before ours: what a trace makes for good is to come from its draws."""
        signature = jax.tree.structure(batch), tuple((each.shape, each.dtype) for each in jax.tree.leaves(batch))
        if signature in self._signatures or not inspect.isfunction(plain):
            return
        self._signatures.add(signature)
        for own in inspect.getclosurevars(plain).nonlocals.values():
            if hasattr(own, "trace"):
                with contextlib.suppress(Exception):  # which the step itself will raise
                    own.trace(state, batch)

    def _look(self, state: Any, batch: Any) -> Payload:
        self._runs += 1
        traces, due = self._traces, self._runs in self.CALIBRATIONS or math.isinf(self._seconds)
        calibrate = self._compiled and due
        if calibrate:
            jax.block_until_ready(state)
        began = time.perf_counter()
        payload = self._watch(state, batch)
        if self._traces > traces:
            self._seconds = math.inf
        elif calibrate:
            jax.block_until_ready(payload)
            self._seconds = min(self._seconds, time.perf_counter() - began)
        return Payload(self._layouts, payload["layout"], payload["values"])

    def _watch_step(self, state: Any, batch: Any) -> dict[str, Any]:
        self._traces += 1
        recorder = Recorder(self._model, FrameReader(), self.details)
        recorder.data_given(batch)
        with listening(self._model, recorder):
            self._model.train_step(state, batch)
        if not recorder.has_seen_training:
            raise NotWatchable("no layer and no optimizer is called inside its `train_step`")
        layout, values = recorder.finish()
        self.coverage = recorder.coverage
        if layout not in self._layouts:
            self._layouts.append(layout)
        return {"values": values, "layout": jnp.asarray(self._layouts.index(layout))}


class FrameReader(Reader):
    """Reads the arrays of the function that is being differentiated, and those of the step around it.

    Inside a function that is differentiated, an array belongs to that function and must leave it as a result. So
    statistics are computed inside, and leave as auxiliary results. The gradient of an activation is that of zeros
    which are added to it.
    """

    def __init__(self) -> None:
        self._where = get_opaque_trace_state()
        self._zeros: Iterator[Any] | None = None
        self.inside = False
        self.wanted: list[tuple[Any, Callable[[Any], None]]] = []

    def taps(self) -> contextlib.AbstractContextManager[Any]:
        return _watched_differentiation()

    def reachable(self, tensor: Any) -> bool:
        return get_opaque_trace_state() == self._where

    def follow(self, tensor: Any, tell: Callable[[Any], None], layer: keras.Layer) -> Any:
        # The gradient of an activation whose logits the loss uses would be zero, as it is not used.
        if not self.inside or getattr(tensor, "_keras_logits", None) is not None:
            return tensor
        self.wanted.append((jax.ShapeDtypeStruct(tensor.shape, tensor.dtype), tell))
        if self._zeros is None:
            return tensor
        moved = tensor + next(self._zeros)
        set_keras_mask(moved, get_keras_mask(tensor))
        return moved

    @contextlib.contextmanager
    def frame(self, zeros: list[Any] | None) -> Iterator[None]:
        """Around the function that is differentiated; `zeros` are what the activations are perturbed by."""
        before = self._where
        self._where, self.inside, self.wanted = get_opaque_trace_state(), True, []
        self._zeros = None if zeros is None else iter(zeros)
        try:
            yield
        finally:
            self._where, self.inside, self._zeros = before, False, None


@contextlib.contextmanager
def _watched_differentiation() -> Iterator[None]:
    with replaced(jax, "value_and_grad", _value_and_grad), replaced(jax, "grad", _grad):
        yield


def _value_and_grad(owner: Any, original: Any) -> Any:
    def value_and_grad(fun: Any, argnums: Any = 0, has_aux: bool = False, **options: Any) -> Any:
        recorder = current()
        if recorder is None or not isinstance(recorder.reader, FrameReader) or recorder.reader.inside:
            return original(fun, argnums, has_aux, **options)
        return _Differentiated(original, fun, argnums, has_aux, options, recorder)

    return value_and_grad


def _grad(owner: Any, original: Any) -> Any:
    def grad(fun: Any, argnums: Any = 0, has_aux: bool = False, **options: Any) -> Any:
        recorder = current()
        if recorder is None or not isinstance(recorder.reader, FrameReader) or recorder.reader.inside:
            return original(fun, argnums, has_aux, **options)
        both = jax.value_and_grad(fun, argnums, has_aux, **options)

        def gradient(*args: Any, **kwargs: Any) -> Any:
            value, gradients = both(*args, **kwargs)
            return (gradients, value[1]) if has_aux else gradients

        return gradient

    return grad


class _Differentiated:
    """What `jax.value_and_grad` returns, with the gradients of activations besides."""

    def __init__(self, original: Any, fun: Any, argnums: Any, has_aux: bool, options: Any, recorder: Recorder) -> None:
        self._original, self._fun, self._has_aux, self._options = original, fun, has_aux, options
        self._argnums = argnums
        self._recorder, self._reader = recorder, recorder.reader

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        single = isinstance(self._argnums, int)
        numbers = (self._argnums,) if single else tuple(self._argnums)
        moved = (0, *(number + 1 if number >= 0 else number for number in numbers))
        zeros = [jnp.zeros(shape.shape, shape.dtype) for shape in self._wanted(args, kwargs)]
        taken: list[Tap] = []
        tells: list[Callable[[Any], None]] = []

        def perturbed(zeros: list[Any], *args: Any, **kwargs: Any) -> Any:
            first = len(self._recorder.taps)
            with self._reader.frame(zeros):
                value = self._fun(*args, **kwargs)
                tells[:] = [tell for _, tell in self._reader.wanted]
            value, aux = value if self._has_aux else (value, None)
            taken[:] = self._recorder.taps[first:]
            return value, (aux, [list((tap.found or {}).values()) for tap in taken])

        differentiated = self._original(perturbed, moved, True, **self._options)
        (value, (aux, found)), gradients = differentiated(zeros, *args, **kwargs)
        for tap, values in zip(taken, found, strict=True):
            tap.found = dict(zip(tap.found or {}, values, strict=True))
        for tell, gradient in zip(tells, gradients[0], strict=True):
            tell(gradient)
        own = gradients[1] if single else gradients[1:]
        return ((value, aux) if self._has_aux else value), own

    def _wanted(self, args: Any, kwargs: Any) -> list[Any]:
        """The shapes of the activations, from a dry run that is listened to by another recorder."""
        if not self._recorder.details:
            return []
        dry = self._recorder.fresh()
        shapes: list[Any] = []

        def run(*args: Any) -> None:
            with dry.reader.frame(None):
                self._fun(*args, **kwargs)
                shapes[:] = [shape for shape, _ in dry.reader.wanted]

        with listening(dry.model, dry):
            jax.eval_shape(run, *args)
        return shapes
