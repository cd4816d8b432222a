"""A lesson: one model trained in several ways on the same data, side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
import numpy as np

from kregtools.callbacks import HealthMonitor

if TYPE_CHECKING:
    import os

    from kregtools.models import Data, RecipeModel

SMOKE_ROWS, SMOKE_EPOCHS = 256, 2


def no_callbacks(_: Data) -> Sequence[keras.callbacks.Callback]:
    return ()


@dataclass(frozen=True)
class Variant:
    """One way to train.

    Args:
        model: `kregtools.models.RecipeModel`, with its hyperparameters.
        callbacks: Function of the data that makes callbacks for the training. Defaults to none.
        wrong_labels: Float, the share of the training labels that are replaced by others. Defaults to `0.0`.
    """

    model: RecipeModel
    callbacks: Callable[[Data], Sequence[keras.callbacks.Callback]] = no_callbacks
    wrong_labels: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What a variant came to: its last epoch, judged."""

    variant: str
    train: float
    validation: float
    metric: str
    verdict: str
    findings: tuple[str, ...]
    causes: tuple[str, ...]
    seconds: float


@dataclass(frozen=True)
class Lesson:
    """Variants and how long they are trained.

    Args:
        variants: Mapping from a label to a `Variant`, in the order to be shown.
        epochs: Integer.
        rows: Integer, the training rows to take, validation included. Defaults to `None`, which is all.
    """

    variants: Mapping[str, Variant]
    epochs: int
    rows: int | None = None

    def run(
        self, directory: str | os.PathLike[str] | None = None, seed: int = 0, smoke: bool = False
    ) -> Iterator[Outcome]:
        """Trains one variant after the other on the same data, with the same seed.

        Args:
            directory: String or path, where to look for the data first. Defaults to `None`.
            seed: Integer. Defaults to `0`.
            smoke: Boolean, whether a few rows and two epochs are enough. Defaults to `False`.

        Yields:
            An `Outcome` as soon as it is there.
        """
        rows = SMOKE_ROWS if smoke else self.rows
        epochs = min(self.epochs, SMOKE_EPOCHS) if smoke else self.epochs
        first = next(iter(self.variants.values()))
        data = first.model.load(directory, rows)
        for label, variant in self.variants.items():
            yield self._outcome(label, variant, data, epochs, seed)

    def _outcome(self, label: str, variant: Variant, data: Data, epochs: int, seed: int) -> Outcome:
        keras.utils.clear_session()
        keras.utils.set_random_seed(seed)
        hp = keras_tuner.HyperParameters()
        model: Any = variant.model.build(hp)
        monitor = HealthMonitor(verbose=0)
        x, y = data.train
        y = with_wrong_labels(y, variant.wrong_labels, seed)
        began = time.perf_counter()
        variant.model.fit(
            hp,
            model,
            x,
            y,
            epochs=epochs,
            validation_data=data.validation,
            verbose=0,
            callbacks=[monitor, *variant.callbacks(data)],
        )
        seconds = time.perf_counter() - began
        metric = variant.model.metrics[0]
        reached = [
            model.evaluate(*part, batch_size=512, verbose=0, return_dict=True)[metric]
            for part in ((x, y), data.validation)
        ]
        diagnosis = monitor.diagnosis
        return Outcome(
            label,
            *reached,
            metric=metric,
            verdict=diagnosis.verdict,
            findings=tuple(symptom.name for symptom in diagnosis.symptoms),
            causes=tuple(cause.name for cause in diagnosis.causes),
            seconds=seconds,
        )


def with_wrong_labels(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """A copy of integer labels in which the given share was replaced by other labels, all equally likely."""
    if not share:
        return y
    rng = np.random.default_rng(seed)
    classes = int(y.max()) + 1
    wrong = rng.random(len(y)) < share
    noisy = y.copy()
    noisy[wrong] = (noisy[wrong] + rng.integers(1, classes, size=noisy[wrong].shape)) % classes
    return noisy
