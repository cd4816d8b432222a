"""A tuner of KerasTuner that survives what its trials meet."""

from __future__ import annotations

import errno
import json
import re
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_tuner
from filelock import FileLock, Timeout
from keras_tuner.errors import FailedTrialError, FatalError

from kregtools.tuning import training
from kregtools.tuning.display import Display
from kregtools.tuning.files import PROJECT, fingerprint, open_project, read_json, write_json
from kregtools.tuning.oracle import WORST, derive_seed
from kregtools.tuning.recipe import builder_of

if TYPE_CHECKING:
    import keras

RESULT, ATTEMPTS, LOCK = "result.json", "attempts.json", "search.lock"
MOST_ATTEMPTS = 3
IDLE_SECONDS = 0.05
DATA = ("x", "y", "sample_weight", "validation_data")
FULL = (errno.ENOSPC, errno.EDQUOT)
# PyTorch's error is an OutOfMemoryError, TensorFlow's a ResourceExhaustedError; JAX' tells it in the text alone.
OUT_OF_MEMORY = re.compile(r"out_?of_?memory|resource_?exhausted|out of memory", re.IGNORECASE)


class Tuner(keras_tuner.Tuner):
    """A tuner for KerasTuner whose trials are seeded, stopped early, diagnosed, and never the end of the search.

    Every trial starts from a cleared session and its own seed, trains under early stopping on `val_loss`, and
    keeps the weights of the epoch with the lowest `val_loss`. Its metrics are those of that epoch, so the score
    is what the kept weights achieve and not the best value that any epoch touched.

    A trial whose loss leaves the finite numbers is scored below all others. One that fails, for want of memory or of
    disk or because its model cannot be built, is put down as failed with its traceback, and the search goes on, unless
    it is the very first: an error there, but for want of memory or of disk, is one of the code or the data, and is
    raised. `KeyboardInterrupt` ends the search, and so does `keras_tuner.errors.FatalError`, or a disk so full that the
    outcome of a trial cannot be written.

    Hyperparameters that a trial asks for as it builds or fits, and that no build before the search did, are searched
    from then on. A callback of TensorBoard writes to a directory for each trial.

    The directory holds from the first moment all that is needed to go on: `search` resumes what it finds there, after
    `kill -9` too, and refuses it where the space, the data or the settings are others. A trial that was
    interrupted three times is put down as failed, so that one which takes the process with it does not do so for ever.
    Two searches cannot use one directory at a time.

    Args:
        oracle: `keras_tuner.Oracle`, which says what to try.
        hypermodel: `keras_tuner.HyperModel`, or a function of the hyperparameters that returns a compiled model. Its
            `fit` is called with what `search` is called with; it returns a `History`.
        directory: String or path, where the search is kept.
        seed: Integer, not negative, from which the seed of every trial is derived. Defaults to `0`.
        patience: Integer, the epochs without a lower `val_loss` before a trial is stopped. Defaults to `3`.
        keep: Integer, how many of the best trials keep their weights on disk; until a search that repeats the best has
            ended, as many more as it repeats. Defaults to `3`.
        minutes: Number, after which no trial is begun. Defaults to `None`: no limit.
        total_epochs: Integer, after how many epochs of all trials together none is begun. Defaults to `None`.
        pool: What runs the trials, such as `kregtools.tuning.workers.Pool`. Defaults to `None`: this process.
        verbose: Integer, 1 to show the search. Defaults to `0`.

    Example:
        >>> oracle = kregtools.tuning.GuidedOracle(max_trials=5)
        >>> tuner = kregtools.tuning.Tuner(oracle, kregtools.models.DigitsDense(), "runs/digits")
        >>> tuner.search(x, y, validation_data=(x_val, y_val), epochs=20, verbose=0)
        >>> model = tuner.get_best_models()[0]
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        hypermodel: keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model],
        directory: str | Path,
        *,
        seed: int = 0,
        patience: int = 3,
        keep: int = 3,
        minutes: float | None = None,
        total_epochs: int | None = None,
        pool: Any = None,
        verbose: int = 0,
    ) -> None:
        self.seed, self.patience, self.keep = seed, patience, keep
        self.minutes, self.total_epochs = minutes, total_epochs
        self.pool = pool
        self.verbose = verbose
        self._epochs: dict[str, int] = {}
        path = Path(directory).resolve()
        super().__init__(oracle, hypermodel, directory=str(path.parent), project_name=path.name)
        self.hypermodel: keras_tuner.HyperModel
        if isinstance(oracle, keras_tuner.oracles.HyperbandOracle):
            raise ValueError(
                "Hyperband goes on with trials that it stopped, which this tuner does not: it starts each anew and "
                f"stops it early. Received: oracle={type(oracle).__name__}. Expected another oracle, or "
                "`keras_tuner.Hyperband` itself."
            )
        if getattr(oracle, "roles", "") is None:
            oracle.roles = getattr(self.hypermodel, "roles", None)  # pyright: ignore[reportAttributeAccessIssue]
        if not self._is_worker():
            self._space = self.oracle.get_space().get_config()["space"]
            self._read_what_is_there()

    # ---- the search

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Runs trials until the oracle has no more, or the budget is spent.

        Args:
            *fit_args: What `fit` is called with.
            **fit_kwargs: The same by name. Items of `callbacks` are copied for every trial; a function among them is
                called for every trial and makes one.

        Raises:
            ValueError: The directory holds another search.
            RuntimeError: Another process searches there at the moment.
            keras_tuner.errors.FatalError: The first trial failed.
            OSError: The disk is full.
        """
        if self._is_worker():
            return super().search(*fit_args, **fit_kwargs)
        lock = FileLock(Path(self.project_dir) / LOCK)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RuntimeError(
                f"Another process searches in {self.project_dir} at the moment. Expected one search in a directory: "
                "wait for its end, or choose another directory."
            ) from None
        try:
            open_project(Path(self.project_dir), self._identity(fit_args, fit_kwargs))
            if Path(self.oracle._get_oracle_fname()).exists():
                self.oracle.reload()
            self.save()
            if "chief" in self.tuner_id:
                super().search(*fit_args, **fit_kwargs)
            else:
                with _full_disk_told(self.project_dir):
                    self._search(fit_args, fit_kwargs)
        finally:
            lock.release()
        return None

    def _search(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        fit = (args, {**kwargs, "verbose": kwargs.get("verbose", 0)})
        began, running = time.monotonic(), {}
        pool = self.pool or _ThisProcess()
        self.oracle.verbose = 0  # the table is ours
        with Display(self, live=bool(self.verbose)) as display, pool.opened(fit):
            while True:
                while len(running) < pool.size and not self._spent(began):
                    trial = self.oracle.create_trial(f"worker{_free(running)}")
                    if trial.status != "RUNNING":
                        break
                    if self._too_often(trial):
                        continue
                    running[trial.trial_id] = trial
                    display.begin(trial)
                    pool.submit(trial.trial_id, self._task(trial, fit[1]), Path(self.get_trial_dir(trial.trial_id)))
                if not running:
                    return self._drop_weights(ended=True)
                trial_id, outcome = pool.wait(display.epoch)
                trial = running.pop(trial_id)
                self._finish(trial, outcome)
                display.end(trial)

    def _finish(self, trial: Any, outcome: Any) -> None:
        """Puts down how a trial ended."""
        if isinstance(outcome, BaseException):
            self._fail(trial, outcome)
        else:
            self._take(trial, outcome)
            self.oracle.update_trial(trial.trial_id, self._metrics(outcome), step=outcome["best_epoch"] - 1)
            trial.status = "COMPLETED"
        self.oracle.end_trial(trial)
        self._drop_weights()

    def _fail(self, trial: Any, error: BaseException) -> None:
        first = not any(t.status in ("COMPLETED", "FAILED") for t in self.oracle.trials.values())
        expected = isinstance(error, (FailedTrialError, MemoryError)) or getattr(error, "errno", None) in FULL
        expected = expected or bool(OUT_OF_MEMORY.search(f"{type(error).__name__} {error}"))
        if isinstance(error, FatalError) or not isinstance(error, Exception):
            raise error
        if first and not expected:
            raise FatalError(
                f"Trial {trial.trial_id} failed. Received: {type(error).__name__}: {error}, with the "
                f"hyperparameters {trial.hyperparameters.values}. Nothing of {self.project_dir} is lost; mend the "
                "cause and search there again."
            ) from error
        trial.status = "FAILED"
        trial.message = "".join(traceback.format_exception(error))

    def _spent(self, began: float) -> bool:
        if self.minutes is not None and time.monotonic() - began >= 60 * self.minutes:
            return True
        if self.total_epochs is None:
            return False
        for trial_id in self.oracle.trials.keys() - self._epochs.keys():
            result = self.result_of(trial_id)
            if result is not None:
                self._epochs[trial_id] = result["epochs"]
        return sum(self._epochs.values()) >= self.total_epochs

    def _too_often(self, trial: Any) -> bool:
        """Counts how often a trial was begun; fails one that took its process with it again and again."""
        path = self._path(trial.trial_id, ATTEMPTS)
        attempts = 1 + (read_json(path) if path.exists() else 0)
        write_json(path, attempts)
        if attempts <= MOST_ATTEMPTS:
            return False
        trial.status = "FAILED"
        trial.message = f"It was begun {MOST_ATTEMPTS} times, and the process ended each time before the trial did."
        self.oracle.end_trial(trial)
        return True

    def _drop_weights(self, ended: bool = False) -> None:
        """Keeps the weights of the best trials that have them; until the end, of what may be among them by then too."""
        kept, key = self.kept_trials(), getattr(self.oracle, "key", lambda trial: trial.trial_id)
        best = kept[: self.keep]
        if not ended:
            first = {key(trial): trial for trial in reversed(kept)}
            best += list(reversed(first.values()))[: self.keep + getattr(self.oracle, "repeated", 0)]
        for trial_id, trial in self.oracle.trials.items():
            if trial.status != "RUNNING" and trial not in best:
                self._path(trial_id, training.WEIGHTS).unlink(missing_ok=True)

    def kept_trials(self) -> list[Any]:
        """The trials that have kept their weights, the best first."""
        ranked = (t for t in self.oracle.get_best_trials(len(self.oracle.trials)) if t.status == "COMPLETED")
        return [trial for trial in ranked if self._path(trial.trial_id, training.WEIGHTS).exists()]

    def get_best_models(self, num_models: int = 1) -> list[keras.Model]:
        """The models of the best trials that have kept their weights.

        Args:
            num_models: Integer, the most models. Defaults to `1`.
        """
        if self._is_worker():
            return super().get_best_models(num_models)
        return [self.load_model(trial) for trial in self.kept_trials()[:num_models]]

    # ---- a trial

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        # KerasTuner's own loop calls this one: in its workers, whose oracle is in another process.
        directory = Path(self.get_trial_dir(trial.trial_id))
        fit = (fit_args, {"verbose": 0, **fit_kwargs})
        try:
            result = training.run(self._task(trial, fit[1]), directory, _without_callbacks(fit), lambda *_: None)
        except FatalError as error:
            raise RuntimeError(str(error)) from error  # a worker that dies leaves KerasTuner's chief waiting for ever
        self._take(trial, result)
        return self._metrics(result)

    def pre_create_trial(self) -> None:
        if self._is_worker():
            time.sleep(IDLE_SECONDS)  # KerasTuner asks again and again without a pause where it has to wait

    def save(self) -> None:
        # KerasTuner's own file of the tuner would make its constructor reload, which a search stopped in its
        # first trial does not have; the oracle's file is enough and is there from the start.
        if not self._is_worker():
            self.oracle.save()

    def load_model(self, trial: Any) -> keras.Model:
        model = self.hypermodel.build(trial.hyperparameters)
        directory = Path(self.get_trial_dir(trial.trial_id))
        if not model.built:
            model.build_from_config(read_json(directory / training.BUILD))
        if model.optimizer is not None:
            model.optimizer.build(model.trainable_variables)  # its variables are in the file too
        model.load_weights(directory / training.WEIGHTS)
        return model

    def result_of(self, trial_id: str) -> dict[str, Any] | None:
        """Read what a finished trial left: its metrics, history, verdict, epochs and seconds."""
        path = self._path(trial_id, RESULT)
        return read_json(path) if path.exists() else None

    def seed_of(self, trial_id: str) -> int:
        """The seed of a trial's weights, dropout and data order."""
        return derive_seed(self.seed, int(trial_id))

    def _task(self, trial: Any, kwargs: Mapping[str, Any]) -> training.Trial:
        return training.Trial(
            f"trial_{trial.trial_id}",
            self.hypermodel,
            trial.hyperparameters.get_config(),
            self.seed_of(trial.trial_id),
            self.oracle.objective,
            self.patience,
            tuple(kwargs.get("callbacks") or ()),
        )

    def _take(self, trial: Any, result: dict[str, Any]) -> None:
        """Keeps what a trial left, with the hyperparameters that were first asked for there."""
        trial.hyperparameters = keras_tuner.HyperParameters.from_config(result.pop("hyperparameters"))
        write_json(self._path(trial.trial_id, RESULT), result)

    def _metrics(self, result: Mapping[str, Any]) -> dict[str, float]:
        steer = {f"diag/{name}": float(result[name]) for name in ("speed", "regularization")}
        known = {name: value for name, value in result["metrics"].items() if value is not None}
        objective = self.oracle.objective
        if result["diverged"]:
            directions = {**getattr(objective, "name_to_direction", {}), objective.name: objective.direction}
            known = {name: -WORST if direction == "max" else WORST for name, direction in directions.items()}
        return {**known, **steer, "diag/epochs": float(result["epochs"])}

    def _identity(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        data = (*args, *(kwargs.get(name) for name in DATA))
        told = {*DATA, "epochs", "batch_size", "callbacks", "verbose"}
        return {
            **self._own_identity(),
            "fit": {name: fingerprint(value) for name, value in kwargs.items() if name not in told},
            "epochs": kwargs.get("epochs", 1),
            "batch_size": kwargs.get("batch_size"),
            "data": fingerprint(data),
        }

    def _own_identity(self) -> dict[str, Any]:
        return {
            "hypermodel": builder_of(self.hypermodel).__qualname__,
            "space": self._space,
            "objective": str(self.oracle.objective),
            "seed": self.seed,
            "patience": self.patience,
        }

    def _read_what_is_there(self) -> None:
        """Reads an earlier search of this directory, whose results can then be asked for without another `search`."""
        project = Path(self.project_dir) / PROJECT
        if project.exists() and Path(self.oracle._get_oracle_fname()).exists():
            there, own = read_json(project), json.loads(json.dumps(self._own_identity()))
            if all(there.get(name) == value for name, value in own.items()):
                self.oracle.reload()

    def _path(self, trial_id: str, name: str) -> Path:
        return Path(self.get_trial_dir(trial_id)) / name


class _ThisProcess:
    """Runs one trial at a time, here."""

    size = 1

    def opened(self, fit: tuple[Sequence[Any], Mapping[str, Any]]) -> _ThisProcess:
        self.fit = _without_callbacks(fit)
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception: object) -> None:
        self.fit = (), {}

    def submit(self, trial_id: str, task: training.Trial, directory: Path) -> None:
        self.submitted = trial_id, task, directory

    def wait(self, progress: Callable[[str, int, dict[str, float]], None]) -> tuple[str, Any]:
        trial_id, task, directory = self.submitted
        try:
            return trial_id, training.run(task, directory, self.fit, lambda *told: progress(trial_id, *told))
        except Exception as error:
            return trial_id, error


@contextmanager
def _full_disk_told(directory: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise OSError(
            error.errno,
            f"The disk is full, and the search stops. Received: {error}. Nothing of what had ended is lost: make room "
            "and call again, and it goes on",
            directory,
        ) from error


def _without_callbacks(fit: tuple[Sequence[Any], Mapping[str, Any]]) -> tuple[Sequence[Any], dict[str, Any]]:
    return fit[0], {name: value for name, value in fit[1].items() if name != "callbacks"}


def _free(running: Mapping[str, Any]) -> str:
    # The oracle knows a trial by who runs it, and no two that run may share the name.
    return "-".join(sorted(running)) + "+" if running else "0"
