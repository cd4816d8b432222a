"""How a trial is run."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import keras_tuner
from keras_tuner.errors import FailedTrialError, FatalError, FatalValueError
from rich.console import Console

from kregtools.tuning.files import read_json, write_json
from kregtools.tuning.oracle import derive_seed

if TYPE_CHECKING:
    from collections.abc import Callable


class Tuner(keras_tuner.Tuner):
    """A KerasTuner tuner whose trials are seeded, stopped early, and scored by the weights they keep.

    Every trial starts from a cleared session and its own seed, trains under early stopping on `val_loss`, and
    keeps the weights of the epoch with the lowest `val_loss`. Its metrics are those of that epoch, so the score
    is what the kept weights achieve and not the best value that any epoch touched. A trial whose loss leaves the
    finite numbers is scored below all others. Any other error in a trial ends the search, since it would meet the
    next trial too; `keras_tuner.errors.FailedTrialError` rejects one trial alone.

    The directory holds from the first moment all that is needed to go on: `search` resumes what it finds there.

    Args:
        oracle: `keras_tuner.Oracle`, which says what to try.
        hypermodel: `keras_tuner.HyperModel`, or a function of the hyperparameters that returns a compiled model.
        directory: String or path, where the search is kept.
        seed: Integer, not negative, from which the seed of every trial is derived. Defaults to `0`.
        patience: Integer, the epochs without a lower `val_loss` before a trial is stopped. Defaults to `3`.
        verbose: Integer, 1 to print a line for each trial. Defaults to `0`.

    Example:
        >>> oracle = kregtools.tuning.DefaultsFirstOracle(max_trials=5)
        >>> tuner = kregtools.tuning.Tuner(oracle, kregtools.models.DigitsDense(), "runs/digits")
        >>> tuner.search(x, y, validation_data=(x_val, y_val), epochs=20, verbose=0)
    """

    def __init__(
        self,
        oracle: keras_tuner.Oracle,
        hypermodel: keras_tuner.HyperModel | Callable[[keras_tuner.HyperParameters], keras.Model],
        directory: str | Path,
        *,
        seed: int = 0,
        patience: int = 3,
        verbose: int = 0,
    ) -> None:
        self.seed = seed
        self.patience = patience
        self.verbose = verbose
        path = Path(directory).resolve()
        super().__init__(oracle, hypermodel, directory=str(path.parent), project_name=path.name)
        self.hypermodel: keras_tuner.HyperModel

    def on_search_begin(self) -> None:
        if Path(self.oracle._get_oracle_fname()).exists():
            self.oracle.reload()
        self.save()

    def save(self) -> None:
        # KerasTuner's own file of the tuner would make its constructor reload, which a search stopped in its
        # first trial does not have; the oracle's file is enough and is there from the start.
        self.oracle.save()

    def on_trial_end(self, trial: Any) -> None:
        super().on_trial_end(trial)
        if self.verbose:
            Console(highlight=False).print(self._line(trial.trial_id), soft_wrap=True)

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        started = time.perf_counter()
        try:
            result = self._train(trial, *fit_args, **fit_kwargs)
        except (FailedTrialError, FatalError):
            raise
        except Exception as error:
            raise FatalError(
                f"Trial {trial.trial_id} failed. Received: {type(error).__name__}: {error}, with the "
                f"hyperparameters {trial.hyperparameters.values}. The trials before it are kept in "
                f"{self.project_dir}; mend the cause and search there again."
            ) from error
        write_json(self._result_path(trial.trial_id), {**result, "seconds": time.perf_counter() - started})
        objective = self.oracle.objective
        if result["diverged"]:
            return {objective.name: math.copysign(sys.float_info.max, -1 if objective.direction == "max" else 1)}
        return {name: value for name, value in result["metrics"].items() if value is not None}

    def load_model(self, trial: Any) -> keras.Model:
        model = self._build_hypermodel(trial.hyperparameters)
        if not model.built:
            model.build_from_config(read_json(self._get_build_config_fname(trial.trial_id)))
        if model.optimizer is not None:
            model.optimizer.build(model.trainable_variables)  # its variables are in the file too
        model.load_weights(self._get_checkpoint_fname(trial.trial_id))
        return model

    def result_of(self, trial_id: str) -> dict[str, Any] | None:
        """Read what a finished trial left: its metrics, history, epochs and seconds."""
        path = self._result_path(trial_id)
        return read_json(path) if path.exists() else None

    def _train(self, trial: Any, *args: Any, callbacks: Any = (), **kwargs: Any) -> dict[str, Any]:
        _clear_session()
        keras.utils.set_random_seed(derive_seed(self.seed, int(trial.trial_id)))
        model = self._build_hypermodel(trial.hyperparameters)
        stopping = keras.callbacks.EarlyStopping("val_loss", patience=self.patience, restore_best_weights=True)
        callbacks = [*self._deepcopy_callbacks(list(callbacks)), stopping]
        history = self.hypermodel.fit(trial.hyperparameters, model, *args, callbacks=callbacks, **kwargs)
        self._check_metrics(history.history)
        model.save_weights(self._get_checkpoint_fname(trial.trial_id))
        write_json(self._get_build_config_fname(trial.trial_id), model.get_build_config())
        return _summary(history.history, stopping.best_epoch, self.oracle.objective.name)

    def _check_metrics(self, history: dict[str, list[float]]) -> None:
        missing = {"val_loss", self.oracle.objective.name} - set(history)
        if missing:
            raise FatalValueError(
                f"The search needs {', '.join(sorted(missing))}, which training does not report. "
                f"Available: {', '.join(history)}. Pass validation data and another `objective`, or compile the "
                "model with that metric."
            )

    def _result_path(self, trial_id: str) -> Path:
        return Path(self.get_trial_dir(trial_id)) / "result.json"

    def _line(self, trial_id: str) -> str:
        result = self.result_of(trial_id)
        values = self.oracle.trials[trial_id].hyperparameters.values
        tried = "  ".join(f"{name}={short(value)}" for name, value in values.items())
        if result is None:
            return f"trial {trial_id}  {tried}  rejected"
        best = " [bold]best[/]" if self.oracle.get_best_trials(1)[0].trial_id == trial_id else ""
        outcome = "[red]diverged[/]" if result["diverged"] else _outcome(result, self.oracle.objective.name) + best
        return f"trial {trial_id}  {tried}  epoch {result['best_epoch']}/{result['epochs']}  {outcome}"


def _clear_session() -> None:
    # Clearing the session also drops the user's dtype policy, mixed precision included.
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy)


def _summary(history: dict[str, list[float]], best: int, objective: str) -> dict[str, Any]:
    curves = {name: [_finite(value) for value in values] for name, values in history.items()}
    return {
        "diverged": None in (*curves["loss"], *curves["val_loss"], curves[objective][best]),
        "epochs": len(curves["val_loss"]),
        "best_epoch": best + 1,
        "metrics": {name: values[best] for name, values in curves.items()},
        "history": curves,
    }


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(float(value)) else None


def _outcome(result: dict[str, Any], objective: str) -> str:
    names = dict.fromkeys(("val_loss", objective))
    return "  ".join(f"{name} {short(result['metrics'][name])}" for name in names)


def short(value: Any) -> str:
    """Write a value in at most four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
