"""What a search found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from kregtools.tuning.tuner import Tuner


class TuningResult:
    """The trials of a search and the best of them.

    Args:
        tuner: `kregtools.tuning.Tuner` whose search has ended.

    Example:
        >>> result = kregtools.tune(kregtools.models.DigitsDense(), (x, y), (x_val, y_val))
        >>> result.frame().sort_values("val_accuracy")
        >>> model = result.best_model()
    """

    def __init__(self, tuner: Tuner) -> None:
        self.tuner = tuner

    @property
    def directory(self) -> Path:
        """Where the search is kept; a temporary one goes when this result goes."""
        return Path(self.tuner.project_dir)

    @property
    def best_hyperparameters(self) -> keras_tuner.HyperParameters:
        """The hyperparameters of the best trial, to pass to the hypermodel's `build`.

        Raises:
            ValueError: no trial ended with a finite loss.
        """
        return self._best().hyperparameters.copy()

    def best_model(self) -> keras.Model:
        """Build the best trial's model and load the weights it kept: those of its lowest `val_loss`.

        Raises:
            ValueError: no trial ended with a finite loss.
        """
        return self.tuner.load_model(self._best())

    def frame(self) -> pd.DataFrame:
        """One row a trial, in the order tried.

        The columns are `trial`, one for each hyperparameter, `status` (`"completed"`, `"diverged"` or
        `"rejected"`), `best_epoch` (the first is 1), `epochs`, `seconds`, and the metrics of the best epoch, such
        as `val_loss` and `val_accuracy`.
        """
        ended = [t for t in self.tuner.oracle.trials.values() if t.status in ("COMPLETED", "FAILED")]
        return pd.DataFrame([self._row(trial) for trial in sorted(ended, key=lambda trial: int(trial.trial_id))])

    def __rich__(self) -> Table:
        objective = self.tuner.oracle.objective.name
        rows = [self._row(trial) for trial in self._ranked()]
        table = Table(title=f"{len(rows)} trials by {objective}, best first", box=box.SIMPLE_HEAD, padding=0)
        searched = dict.fromkeys(hp.name for hp in self.tuner.oracle.get_space().space)
        columns = dict.fromkeys(("trial", *searched, "best_epoch", "epochs", "val_loss", objective))
        if any(row["status"] != "completed" for row in rows):
            columns["status"] = None
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right")
        for row in rows:
            table.add_row(*(_cell(row.get(name, "")) for name in columns))
        return table

    def __repr__(self) -> str:
        console = Console(width=140)
        with console.capture() as captured:
            console.print(self)
        return captured.get()

    def _best(self) -> Any:
        ranked = self._ranked()
        if not ranked or self._row(ranked[0])["status"] != "completed":
            raise ValueError(
                f"No trial ended with a finite loss. Received: {len(ranked)} trials in {self.directory}. Expected "
                "at least one: look for bad values in the data, and let the search try lower learning rates."
            )
        return ranked[0]

    def _ranked(self) -> list[Any]:
        oracle = self.tuner.oracle
        return [t for t in oracle.get_best_trials(len(oracle.trials)) if t.status == "COMPLETED"]

    def _row(self, trial: Any) -> dict[str, Any]:
        result = self.tuner.result_of(trial.trial_id)
        row = {"trial": int(trial.trial_id), **trial.hyperparameters.values}
        if result is None:
            return {**row, "status": "rejected"}
        status = "diverged" if result["diverged"] else "completed"
        kept = {name: result[name] for name in ("best_epoch", "epochs", "seconds")}
        return {**row, "status": status, **kept, **result["metrics"]}


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
