"""One trial: build, train, diagnose, keep the weights. It knows neither the oracle nor where it runs."""

from __future__ import annotations

import copy
import errno
import gc
import math
import os
import shutil
import tempfile
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
from kregtools.tuning.files import put_file, write_json
from kregtools.tuning.reading import Reading, read

WEIGHTS, BUILD, RECORD = "checkpoint.weights.h5", "build_config.json", "record"
SPARE = 2**20
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

    name: str
    hypermodel: keras_tuner.HyperModel
    hyperparameters: dict[str, Any]
    seed: int
    objective: keras_tuner.Objective
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
        Metrics of the kept epoch, curves, verdict, times, and the hyperparameters with those that were first asked for
        here; ready for JSON.
    """
    began = time.perf_counter()
    clear_session()
    keras.utils.set_random_seed(trial.seed)
    hp = keras_tuner.HyperParameters.from_config(trial.hyperparameters)
    model = trial.hypermodel.build(hp)
    stopping = keras.callbacks.EarlyStopping("val_loss", patience=trial.patience, restore_best_weights=True)
    callbacks = own_callbacks(trial.callbacks, trial.name)
    monitor = _monitor(callbacks, directory)
    callbacks = [monitor, *(c for c in callbacks if c is not monitor), tell := _Tell(progress), stopping]
    built = time.perf_counter()
    args, kwargs = fit
    fitted = trial.hypermodel.fit(hp, model, *args, callbacks=callbacks, **kwargs)
    curves = _by_epoch(_history(fitted, trial.hypermodel), tell.reported, trial.objective)
    _check_metrics(curves, trial.objective)
    _save_weights(model, directory / WEIGHTS)
    write_json(directory / BUILD, model.get_build_config())
    result = _summary(curves, stopping.best_epoch, trial.objective.name)
    reading = read_all(curves, trial.objective, kwargs.get("epochs", 1), monitor.diagnosis)
    return {
        **result,
        **{name: getattr(reading, name) for name in ("verdict", "reason", "speed", "regularization")},
        "diagnosis": monitor.diagnosis.verdict,
        "causes": [cause.name for cause in monitor.diagnosis.causes],
        "parameters": model.count_params(),
        "hyperparameters": hp.get_config(),
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


def own_callbacks(given: Sequence[Any], name: str) -> list[keras.callbacks.Callback]:
    """Each trial's own callbacks: what a factory makes, and copies of what is no factory.

    TensorBoard tells runs apart by their directories: each trial writes to one of its own name.

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
    for callback in own:
        if isinstance(callback, keras.callbacks.TensorBoard):
            callback.log_dir = os.path.join(callback.log_dir, name)
    return own


Curves = Mapping[str, Mapping[int, float | None]]


def read_all(curves: Curves, objective: keras_tuner.Objective, epochs: int, diagnosis: Diagnosis) -> Reading:
    """Reads the curves; where kregtools' diagnosis names a cause that moves the search, that decides."""
    metrics = {
        name: {epoch: math.nan if value is None else value for epoch, value in curve.items()}
        for name, curve in curves.items()
    }
    reading = read(metrics, objective.name, epochs - 1, objective.direction)
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
        self.reported: list[set[str]] = []

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        self.reported = []

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        self.reported.append(set(logs or {}))
        numbers = {k: float(v) for k, v in (logs or {}).items() if not k.startswith("kreg/") and _finite(v) is not None}
        self.progress(epoch + 1, numbers)


def _monitor(callbacks: list[keras.callbacks.Callback], directory: Path) -> FitDiagnosis:
    shutil.rmtree(directory / RECORD, ignore_errors=True)  # of an attempt that was interrupted
    monitor = next((c for c in callbacks if isinstance(c, FitDiagnosis)), None) or FitDiagnosis()
    monitor.verbose, monitor.directory = 0, directory / RECORD
    return monitor


def _history(fitted: Any, hypermodel: Any) -> Mapping[str, Sequence[Any]]:
    if not isinstance(getattr(fitted, "history", None), Mapping):
        raise FatalValueError(
            f"`{type(hypermodel).__name__}.fit` must return what `model.fit` returns. Received: {fitted!r} of type "
            f"{type(fitted).__name__}. Expected a `keras.callbacks.History`: the search reads the curves, and stops "
            "trials early by the callbacks that it passes."
        )
    return fitted.history


def _by_epoch(
    history: Mapping[str, Sequence[Any]], reported: Sequence[set[str]], objective: keras_tuner.Objective
) -> dict[str, dict[int, float | None]]:
    """The curves by epoch: what is not in every epoch is in the history without its place."""
    curves = {}
    for name, values in history.items():
        seen = [epoch for epoch, names in enumerate(reported) if name in names]
        epochs = seen if len(seen) == len(values) else range(len(values))
        if not name.startswith("kreg/"):
            curves[name] = {epoch: _finite(value) for epoch, value in zip(epochs, values, strict=True)}
    wanted = _objective_by_epoch(curves, objective)
    return {**curves, objective.name: wanted} if wanted else curves


def _objective_by_epoch(curves: Curves, objective: keras_tuner.Objective) -> dict[int, float | None]:
    logs: dict[int, dict[str, float]] = {}
    for name, curve in curves.items():
        for epoch, value in curve.items():
            logs.setdefault(epoch, {})[name] = math.nan if value is None else value
    return {epoch: _finite(objective.get_value(logs[epoch])) for epoch in logs if objective.has_value(logs[epoch])}


def _check_metrics(curves: Curves, objective: keras_tuner.Objective) -> None:
    missing = {"val_loss", *getattr(objective, "name_to_direction", [objective.name])} - set(curves)
    if missing:
        raise FatalValueError(
            f"The search needs {', '.join(sorted(missing))}, which training does not report. "
            f"Available: {', '.join(curves)}. Pass validation data and another `objective`, or compile the "
            "model with that metric."
        )


def _summary(curves: Curves, best: int, objective: str) -> dict[str, Any]:
    epochs = 1 + max(max(curve) for curve in curves.values() if curve)
    metrics = {name: _at(curve, best) for name, curve in curves.items()}
    return {
        "diverged": None in (*curves["loss"].values(), *curves["val_loss"].values(), metrics[objective]),
        "epochs": epochs,
        "best_epoch": best + 1,
        "metrics": metrics,
        "history": {name: [curve.get(epoch) for epoch in range(epochs)] for name, curve in curves.items()},
    }


def _at(curve: Mapping[int, float | None], epoch: int) -> float | None:
    """What was last reported by the end of an epoch."""
    seen = [e for e in curve if e <= epoch]
    return curve[max(seen)] if seen else None


def _save_weights(model: keras.Model, path: Path) -> None:
    # HDF5 takes the process with it where the disk is full: it writes where there is room, and the file is then copied.
    with tempfile.TemporaryDirectory(prefix="kregtools-") as name:
        variables = [*model.variables, *(model.optimizer.variables if model.optimizer else ())]
        size = sum(math.prod(v.shape) * (8 if "64" in str(v.dtype) else 4) for v in variables)
        if shutil.disk_usage(name).free < 1.1 * size + SPARE:
            raise OSError(errno.ENOSPC, f"No space left on device for weights of {size / 1e6:.1f} MB", name)
        model.save_weights(Path(name) / WEIGHTS)
        put_file(path, Path(name) / WEIGHTS)


def _finite(value: Any) -> float | None:
    try:
        return float(value) if math.isfinite(float(value)) else None
    except (TypeError, ValueError):
        return None
