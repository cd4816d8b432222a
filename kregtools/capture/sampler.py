"""How a sampled step is run: what the backends have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kregtools.capture.coverage import Coverage
from kregtools.capture.recorder import Layout, Reader, Recorder
from kregtools.capture.taps import listening


class Payload(NamedTuple):
    """The statistics of a step, still on the device, and which of the layouts says what they are."""

    layouts: Sequence[Layout]
    index: Any
    values: Any


class Sample(NamedTuple):
    """A sampled step: what its train function returned, and what was seen.

    Attributes:
        result: What the model's own train function returns.
        payload: The statistics, `None` if the step was not looked into after all.
        seconds: What looking cost, NaN where it cannot be told from the step itself.
        plain_seconds: What the step itself cost, NaN likewise.
        traced: Whether the step was traced, which is not what the next one costs.
        sampler: What ran it.
        why_not: Why there will be no more samples, `None` if there may be.
    """

    result: Any
    payload: Payload | None
    seconds: float = float("nan")
    plain_seconds: float = float("nan")
    traced: bool = False
    sampler: Sampler | None = None
    why_not: str | None = None


class Sampler:
    """Runs a training step and measures it.

    Attributes:
        details: Whether its samples are detailed ones.
        exact: How the sampled step is kept from changing the run, in words.
        sees_last: Whether of several steps in one execution the last one is seen, else the first.
        coverage: What of each layer is watched, once a step was sampled.
    """

    exact = ""
    details = True
    sees_last = True
    coverage: Coverage | None = None

    def __call__(self, plain: Callable[..., Any], *args: Any) -> Sample:
        raise NotImplementedError


class EagerSampler(Sampler):
    """Where the train function runs operation by operation: it runs as it is, and is listened to."""

    exact = "the model's own train function runs, operation by operation"

    def __init__(self, model: Any, reader: Callable[[], Reader], details: bool) -> None:
        self._model, self._reader, self.details = model, reader, details

    def __call__(self, plain: Callable[..., Any], *args: Any) -> Sample:
        recorder, making = timed(Recorder, self._model, self._reader(), self.details)
        with listening(self._model, recorder):
            result, seconds = timed(plain, *args)
        listened, payload, finishing, why_not = recorder.seconds, None, 0.0, None
        try:
            with recorder.quiet():
                (layout, values), finishing = timed(recorder.finish)
            payload = Payload([layout], 0, values)
        except Exception as error:
            why_not = f"reducing what was seen failed ({type(error).__name__}: {error})"
        if not recorder.has_seen_training:
            why_not = "no layer and no optimizer is called inside its `train_step`"
        self.coverage = recorder.coverage
        return Sample(result, payload, making + listened + finishing, seconds - listened, why_not=why_not)


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    """What the function returns, and how long it took."""
    began = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - began
