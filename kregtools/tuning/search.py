"""The search in one call."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kregtools.tuning.exports import export
from kregtools.tuning.oracle import GuidedOracle
from kregtools.tuning.result import TuningResult
from kregtools.tuning.tuner import Tuner
from kregtools.tuning.workers import Pool

if TYPE_CHECKING:
    import os

    import keras
    import keras_tuner


def tune(
    hypermodel: keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model],
    train: Any,
    validation: Any,
    *,
    test: Any = None,
    trials: int = 10,
    epochs: int = 20,
    batch_size: int | None = None,
    seed: int = 0,
    directory: str | os.PathLike[str] | None = None,
    objective: str | keras_tuner.Objective | list[Any] = "val_accuracy",
    patience: int = 3,
    callbacks: Sequence[keras.callbacks.Callback | Callable[[], Any]] = (),
    workers: int = 1,
    client: Any = None,
    minutes: float | None = None,
    total_epochs: int | None = None,
    keep: int = 3,
    oracle: keras_tuner.Oracle | None = None,
    verbose: int = 1,
) -> TuningResult:
    """Search the hyperparameters of a model on training and validation data.

    The first trial is the default of every hyperparameter; the next take the steps that the diagnosis of the best
    trial asks for; then Optuna's sampler takes over, and a search of twelve trials or more ends with repeats of the
    best three: see `kregtools.tuning.GuidedOracle`. Each trial trains under early stopping on `val_loss` and is scored
    by the objective at the epoch with the lowest `val_loss`, whose weights it keeps. The objective is not `val_loss`
    itself, since that contains the L2 penalty and so cannot be compared between trials of different L2. A trial that
    diverges is scored last, one that fails is put down as failed; neither ends the search.

    The same arguments give the same trials. With a `directory`, a search that was interrupted goes on where it
    stopped when it is called again with the same arguments: finished trials are kept, the interrupted one is run
    again from its beginning. More `trials` add to a finished search. The directory holds for every trial
    its curves, diagnosis, record and times, and in the end `trials.csv`, `report.html`, `best_model.keras`,
    `best_config.json` and `best_recipe.py`, which trains the best model anew without kregtools' search.

    Every trial clears the Keras session, sets the global random seed, and takes from TensorFlow's registry the custom
    gradients that it traced, which would hold its graphs for ever.

    Args:
        hypermodel: `keras_tuner.HyperModel`, such as those of `kregtools.models`, or a function of the
            hyperparameters that returns a compiled model. Its attribute `roles`, if it has one, says which
            hyperparameter is the learning rate, the dropout, the L2 and the capacity; else their names do.
        train: Tuple of arrays `(x, y)` or `(x, y, sample_weight)`, or a data set that can be iterated again and
            again, such as a `tf.data.Dataset` or a `keras.utils.PyDataset`.
        validation: The validation data, in either form.
        test: Test data in either form, on which the best model is evaluated once, when the search has ended: a second
            call on the same directory reads what the first one found. Defaults to `None`.
        trials: Integer, the number of trials. Defaults to `10`.
        epochs: Integer, the most epochs of a trial. Defaults to `20`.
        batch_size: Integer, the batch size for arrays. Defaults to `None`, which is the hypermodel's or Keras' own.
        seed: Integer, not negative; 0 is a seed like any other. Defaults to `0`.
        directory: String or path, where the search is kept. Defaults to `None`, a temporary directory that goes
            with the result.
        objective: String or `keras_tuner.Objective`, what to optimize, or a list of them, whose sum is minimized: what
            is to be high counts negative. Defaults to `"val_accuracy"`.
        patience: Integer, the epochs without a lower `val_loss` before a trial is stopped. Defaults to `3`.
        callbacks: Sequence of Keras callbacks for every trial. Each trial has a copy; a function in the place of a
            callback is called for each trial and makes one. Defaults to `()`.
        workers: Integer, how many trials run at once, each in a process of its own on this machine, with one GPU each
            where there are GPUs. Trial k is then chosen from the trials up to k − `workers`. Defaults to `1`: this
            process.
        client: `distributed.Client` of a Dask cluster to run the trials on. Defaults to `None`.
        minutes: Number, after which no trial is begun. Defaults to `None`.
        total_epochs: Integer, after how many epochs of all trials together none is begun. Defaults to `None`.
        keep: Integer, how many of the best trials keep their weights on disk. Defaults to `3`.
        oracle: `keras_tuner.Oracle` to use in place of the guided one; `trials`, `objective` and the seed of the
            values are then its own. Defaults to `None`.
        verbose: Integer, 1 shows a live table in a terminal, and prints a line for each trial elsewhere. Defaults to
            `1`.

    Returns:
        `kregtools.tuning.TuningResult`.

    Raises:
        ValueError: an argument is out of range, or the directory holds a search that differs from this one.
        RuntimeError: another process searches in the directory.
        ImportError: `workers` or `client` without Dask.
        keras_tuner.errors.FatalError: the first trial failed.

    Example:
        >>> result = kregtools.tune(kregtools.models.DigitsDense(), (x, y), (x_val, y_val), trials=10)
        >>> result.best_hyperparameters.values
        >>> model = result.best_model()
    """
    _check(trials=trials, epochs=epochs, patience=patience, workers=workers, keep=keep, seed=seed)
    _check_budget(minutes=minutes, total_epochs=total_epochs)
    pool = Pool(workers if client is None else None, client) if workers > 1 or client is not None else None
    if oracle is None:
        oracle = GuidedOracle(objective, trials, seed, parallel=pool.size if pool else 1)
    data = _fit_arguments(train, validation)
    if batch_size is not None:
        data["batch_size"] = batch_size
    where = Path(tempfile.mkdtemp(prefix="kregtools-") if directory is None else directory)
    tuner = Tuner(
        oracle, hypermodel, where, seed=seed, patience=patience, keep=keep, minutes=minutes,
        total_epochs=total_epochs, pool=pool, verbose=verbose,
    )  # fmt: skip
    if directory is None:
        weakref.finalize(tuner, shutil.rmtree, where, ignore_errors=True)
    tuner.search(**data, epochs=epochs, callbacks=callbacks, verbose=0)
    result = TuningResult(tuner)
    export(result, test, files=directory is not None)
    return result


def _check(*, seed: int, **positive: int) -> None:
    for name, value in {"seed": seed, **positive}.items():
        least = 0 if name == "seed" else 1
        if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
            raise ValueError(f"`{name}` must be an integer from {least} on. Received: {name}={value!r}.")


def _check_budget(**budget: float | None) -> None:
    for name, value in budget.items():
        if value is not None and not value > 0:
            raise ValueError(f"`{name}` must be a positive number or None. Received: {name}={value!r}.")


def _fit_arguments(train: Any, validation: Any) -> dict[str, Any]:
    for name, data in (("train", train), ("validation", validation)):
        if data is None or isinstance(data, Iterator):
            raise ValueError(
                f"`{name}` must hold data for every trial: a tuple of arrays or a data set, not None and not an "
                f"iterator, which is empty after the first. Received: {name} of type {type(data).__name__}."
            )
    parts = train if isinstance(train, tuple) else (train,)
    return {**dict(zip(("x", "y", "sample_weight"), parts, strict=False)), "validation_data": validation}
