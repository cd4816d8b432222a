"""Sampled steps on the PyTorch backend."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import torch

from kregtools.capture.host import random_state_kept
from kregtools.capture.recorder import Reader
from kregtools.capture.sampler import EagerSampler, Sample, Sampler, timed
from kregtools.capture.taps import optimizers


def reason_not_to_watch(model: keras.Model) -> str | None:
    """Why the model's steps cannot be looked into, or `None` where they can."""
    return None


def sampler(model: keras.Model, details: bool) -> Sampler:
    """What runs the sampled steps of the model."""
    if model.jit_compile and not model.run_eagerly:
        return CompiledSampler(model, TensorReader, details)
    return EagerSampler(model, TensorReader, details)


def to_numpy(tensor: Any) -> np.ndarray:
    """The value of a tensor."""
    return tensor.detach().cpu().numpy() if isinstance(tensor, torch.Tensor) else np.asarray(tensor)


class TensorReader(Reader):
    """Reads tensors that have their values already; gradients are told by the hooks of the tensors themselves."""

    def reachable(self, tensor: Any) -> bool:
        # Inside `torch.func` a tensor stands for many, and its values are not its own.
        return not torch._C._functorch.is_functorch_wrapped_tensor(tensor)

    def read(self, tensor: Any, rows: int | None = None) -> Any:
        return super().read(tensor.detach(), rows)

    def follow(self, tensor: Any, tell: Callable[[Any], None], layer: keras.Layer) -> Any:
        if tensor.requires_grad:
            tensor.register_hook(lambda gradient: tell(gradient))
        return tensor

    def quiet(self) -> contextlib.AbstractContextManager[Any]:
        return torch.no_grad()


class CompiledSampler(EagerSampler):
    """Where `torch.compile` has fused the step: an eager step is looked into and undone, then the compiled one runs."""

    exact = "a rehearsal that is undone, then the model's own train function"

    def __call__(self, plain: Callable[..., Any], *args: Any) -> Sample:
        variables = [*self._model.variables, *(v for optimizer in optimizers(self._model) for v in optimizer.variables)]
        before = [variable.value.detach().clone() for variable in variables]
        with random_state_kept(), torch.random.fork_rng():
            rehearsal, seconds = timed(super().__call__, lambda data: self._model.train_step(data[0]), *args)
        with torch.no_grad():
            for variable, value in zip(variables, before, strict=True):
                variable.value.copy_(value)
        result, plain_seconds = timed(plain, *args)
        return Sample(result, rehearsal.payload, seconds, plain_seconds, why_not=rehearsal.why_not)
