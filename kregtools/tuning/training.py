"""One trial: build, train, diagnose, keep the weights. It knows neither the oracle nor where it runs."""

from __future__ import annotations

import copy
import gc
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.errors import FatalValueError

from kregtools.callbacks import FitDiagnosis
from kregtools.capture.custom_gradients import forgotten_afterwards
from kregtools.diagnosis import Diagnosis
from kregtools.tuning.files import write_json
from kregtools.tuning.reading import Reading, read

WEIGHTS, BUILD, RECORD = "checkpoint.weights.h5", "build_config.json", "record"
# How a cause that kregtools' diagnosis names moves the search: notches of learning rate and of regularization.
REMEDIES = {
    "lr_too_high": (-2.0, None),
    "lr_too_low": (2.0, None),
    "too_few_epochs": (1.0, None),
    "missing_regularization": (None, 1.0),
    "insufficient_data": (None, 1.0),
    "over_regularization": (None, -2.0),
    "insufficient_capacity": (None, -1.0),
}
Progress = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Trial:
    """All that a trial needs, fit to be sent to another process."""

    hypermodel: keras_tuner.HyperModel
    hyperparameters: dict[str, Any]
    seed: int
    objective: str
    patience: int
    callbacks: Sequence[Any]


@forgotten_afterwards()
def run(trial: Trial, directory: Path, fit: tuple[Sequence[Any], Mapping[str, Any]], progress: Progress) -> dict:
    """Runs a trial from a cleared session and its own seed.

    Args:
        trial: What to run.
        directory: Where its files go.
        fit: The arguments of `fit`.
        progress: Is told each epoch and its logs.

    Returns:
        Metrics of the kept epoch, curves, verdict, times; ready for JSON.
    """
    began = time.perf_counter()
    clear_session()
    keras.utils.set_random_seed(trial.seed)
    hp = keras_tuner.HyperParameters.from_config(trial.hyperparameters)
    model = trial.hypermodel.build(hp)
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=trial.patience, restore_best_weights=True)
    callbacks = own_callbacks(trial.callbacks)
    monitor = _monitor(callbacks, directory)
    callbacks = [monitor, *(c for c in callbacks if c is not monitor), _Tell(progress), stopping]
    built = time.perf_counter()
    args, kwargs = fit
    history = trial.hypermodel.fit(hp, model, *args, callbacks=callbacks, **kwargs).history
    curves = {name: [_finite(v) for v in values] for name, values in history.items() if not name.startswith("kreg/")}
    _check_metrics(curves, trial.objective)
    model.save_weights(directory / WEIGHTS)
    write_json(directory / BUILD, model.get_build_config())
    result = _summary(curves, stopping.best_epoch, trial.objective)
    reading = read_all(curves, trial.objective, kwargs.get("epochs", 1), monitor.diagnosis)
    return {
        **result,
        **{name: getattr(reading, name) for name in ("verdict", "reason", "speed", "regularization")},
        "diagnosis": monitor.diagnosis.verdict,
        "causes": [cause.name for cause in monitor.diagnosis.causes],
        "parameters": model.count_params(),
        "seconds": time.perf_counter() - began,
        "seconds_building": built - began,
    }


def clear_session() -> None:
    """Frees what earlier models hold."""
    # Clearing the session also drops the user's dtype policy, mixed precision included.
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)
    gc.collect()


def own_callbacks(given: Sequence[Any]) -> list[keras.callbacks.Callback]:
    """Each trial's own callbacks: what a factory makes, and copies of what is no factory.

    Raises:
        keras_tuner.errors.FatalValueError: If one can neither be copied nor made.
    """
    own = []
    for item in given:
        if callable(item) and not isinstance(item, keras.callbacks.Callback):
            made = item()
            own += made if isinstance(made, (list, tuple)) else [made]
            continue
        try:
            own.append(copy.deepcopy(item))
        except Exception as error:
            raise FatalValueError(
                f"Every trial needs callbacks of its own, and one cannot be copied. Received: {item!r} "
                f"({type(error).__name__}: {error}). Expected callbacks that `copy.deepcopy` can copy, or a function "
                "that makes one: `callbacks=[lambda: MyCallback(...)]`."
            ) from error
    return own


def read_all(
    curves: Mapping[str, Sequence[float | None]], objective: str, epochs: int, diagnosis: Diagnosis
) -> Reading:
    """Reads the curves; where kregtools' diagnosis names a cause that moves the search, that decides."""
    metrics = {
        name: {epoch: math.nan if value is None else value for epoch, value in enumerate(values)}
        for name, values in curves.items()
    }
    reading = read(metrics, objective, epochs - 1)
    for cause in diagnosis.causes:
        if cause.name in REMEDIES and reading.verdict not in ("diverged", "stuck"):
            speed, regularization = REMEDIES[cause.name]
            return Reading(
                diagnosis.verdict if diagnosis.verdict in ("overfit", "underfit") else cause.name,
                f"{cause.name}: {cause.reason}",
                _firmer(reading.speed, speed),
                _firmer(reading.regularization, regularization),
            )
    return reading


def _firmer(read: float, named: float | None) -> float:
    """The notches of the cause, or those of the curves where they go further the same way."""
    if named is None:
        return read
    return max(read, named, key=abs) if read * named > 0 else named


class _Tell(keras.callbacks.Callback):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self.progress = progress

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        numbers = {k: float(v) for k, v in (logs or {}).items() if not k.startswith("kreg/") and _finite(v) is not None}
        self.progress(epoch + 1, numbers)


def _monitor(callbacks: list[keras.callbacks.Callback], directory: Path) -> FitDiagnosis:
    shutil.rmtree(directory / RECORD, ignore_errors=True)  # of an attempt that was interrupted
    monitor = next((c for c in callbacks if isinstance(c, FitDiagnosis)), None) or FitDiagnosis()
    monitor.verbose, monitor.directory = 0, directory / RECORD
    return monitor


def _check_metrics(history: Mapping[str, Any], objective: str) -> None:
    missing = {"val_loss", objective} - set(history)
    if missing:
        raise FatalValueError(
            f"The search needs {', '.join(sorted(missing))}, which training does not report. "
            f"Available: {', '.join(history)}. Pass validation data and another `objective`, or compile the "
            "model with that metric."
        )


def _summary(curves: Mapping[str, list[float | None]], best: int, objective: str) -> dict[str, Any]:
    return {
        "diverged": None in (*curves["loss"], *curves["val_loss"], curves[objective][best]),
        "epochs": len(curves["val_loss"]),
        "best_epoch": best + 1,
        "metrics": {name: values[best] for name, values in curves.items()},
        "history": curves,
    }


def _finite(value: Any) -> float | None:
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return None
