"""The search in one call."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kregtools.tuning.files import fingerprint, open_project
from kregtools.tuning.oracle import DefaultsFirstOracle
from kregtools.tuning.result import TuningResult
from kregtools.tuning.tuner import Tuner

if TYPE_CHECKING:
    import os

    import keras
    import keras_tuner


def tune(
    hypermodel: keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model],
    train: Any,
    validation: Any,
    *,
    trials: int = 10,
    epochs: int = 20,
    batch_size: int | None = None,
    seed: int = 0,
    directory: str | os.PathLike[str] | None = None,
    objective: str | keras_tuner.Objective = "val_accuracy",
    patience: int = 3,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 1,
) -> TuningResult:
    """Search the hyperparameters of a model on training and validation data.

    The first trial is the default of every hyperparameter, the others are drawn at random from the space. Each
    trains under early stopping on `val_loss` and is scored by the objective at the epoch with the lowest
    `val_loss`, whose weights it keeps. The objective is not `val_loss` itself, since that contains the L2 penalty
    and so cannot be compared between trials of different L2. A trial that diverges is scored last.

    The same arguments give the same trials. With a `directory`, a search that was interrupted goes on where it
    stopped when it is called again with the same arguments: finished trials are kept, the interrupted one is run
    again from its beginning. A larger `trials` adds to a finished search. Test data have no place here: judge the
    chosen model on them once, afterwards.

    Every trial clears the Keras session and sets the global random seed. A callback is copied for each trial.

    Args:
        hypermodel: `keras_tuner.HyperModel`, such as those of `kregtools.models`, or a function of the
            hyperparameters that returns a compiled model.
        train: Tuple of arrays `(x, y)` or `(x, y, sample_weight)`, or a data set that can be iterated again and
            again, such as a `tf.data.Dataset` or a `keras.utils.PyDataset`.
        validation: The validation data, in either form.
        trials: Integer, the number of trials. Defaults to `10`.
        epochs: Integer, the most epochs of a trial. Defaults to `20`.
        batch_size: Integer, the batch size for arrays. Defaults to `None`, which is Keras' own.
        seed: Integer, not negative; 0 is a seed like any other. Defaults to `0`.
        directory: String or path, where the search is kept. Defaults to `None`, a temporary directory that goes
            with the result.
        objective: String or `keras_tuner.Objective`, what to optimize. Defaults to `"val_accuracy"`.
        patience: Integer, the epochs without a lower `val_loss` before a trial is stopped. Defaults to `3`.
        callbacks: Sequence of Keras callbacks for every trial. Defaults to `()`.
        verbose: Integer, 1 prints a line for each trial. Defaults to `1`.

    Returns:
        `kregtools.tuning.TuningResult`.

    Raises:
        ValueError: an argument is out of range, or the directory holds a search that differs from this one.
        keras_tuner.errors.FatalError: a trial failed; those before it are kept.

    Example:
        >>> result = kregtools.tune(kregtools.models.DigitsDense(), (x, y), (x_val, y_val), trials=10)
        >>> result.best_hyperparameters.values
        >>> model = result.best_model()
    """
    _check(trials=trials, epochs=epochs, patience=patience, seed=seed)
    oracle = DefaultsFirstOracle(objective, max_trials=trials, seed=seed)
    where = Path(tempfile.mkdtemp(prefix="kregtools-") if directory is None else directory)
    tuner = Tuner(oracle, hypermodel, where, seed=seed, patience=patience, verbose=verbose)
    if directory is None:
        weakref.finalize(tuner, shutil.rmtree, where, ignore_errors=True)
    data = _fit_arguments(train, validation)
    open_project(
        where,
        {
            "hypermodel": getattr(hypermodel, "__qualname__", type(hypermodel).__qualname__),
            "space": oracle.get_space().get_config()["space"],
            "objective": str(oracle.objective),
            "seed": seed,
            "epochs": epochs,
            "batch_size": batch_size,
            "patience": patience,
            "data": fingerprint([train, validation]),
        },
    )
    tuner.search(**data, epochs=epochs, batch_size=batch_size, callbacks=callbacks, verbose=0)
    return TuningResult(tuner)


def _check(*, seed: int, **positive: int) -> None:
    for name, value in {"seed": seed, **positive}.items():
        least = 0 if name == "seed" else 1
        if not isinstance(value, Integral) or int(value) < least:
            raise ValueError(f"`{name}` must be an integer from {least} on. Received: {name}={value!r}.")


def _fit_arguments(train: Any, validation: Any) -> dict[str, Any]:
    for name, data in (("train", train), ("validation", validation)):
        if data is None or isinstance(data, Iterator):
            raise ValueError(
                f"`{name}` must hold data for every trial: a tuple of arrays or a data set, not None and not an "
                f"iterator, which is empty after the first. Received: {name} of type {type(data).__name__}."
            )
    parts = train if isinstance(train, tuple) else (train,)
    return {**dict(zip(("x", "y", "sample_weight"), parts, strict=False)), "validation_data": validation}
