"""What a search found."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from kregtools.tuning.display import gap, short
from kregtools.tuning.files import read_json
from kregtools.tuning.space import searched

if TYPE_CHECKING:
    import keras
    import keras_tuner

    from kregtools.tuning.tuner import Tuner


COLUMNS = (
    "trial", "status", "best_epoch", "epochs", "seconds", "loss", "val_loss", "gap", "last", "verdict", "reason",
    "phase", "why",
)  # fmt: skip


class TuningResult:
    """The trials of a search and the best of them.

    Args:
        tuner: `kregtools.tuning.Tuner` whose search has ended.

    Example:
        >>> result = kregtools.tune(kregtools.models.DigitsDense(), (x, y), (x_val, y_val))
        >>> result.frame().sort_values("val_accuracy")
        >>> model = result.best_model()
        >>> result.report("search.html")
    """

    def __init__(self, tuner: Tuner) -> None:
        self.tuner = tuner

    @property
    def directory(self) -> Path:
        """Where the search is kept; a temporary one goes when this result goes."""
        return Path(self.tuner.project_dir)

    @property
    def found(self) -> bool:
        """Whether any trial ended with a finite loss and has kept its weights."""
        return self._kept() is not None

    @property
    def best_hyperparameters(self) -> keras_tuner.HyperParameters:
        """The hyperparameters of the best trial, to pass to the hypermodel's `build`.

        Raises:
            ValueError: no trial ended with a finite loss.
        """
        return self._best().hyperparameters.copy()

    @property
    def test(self) -> dict[str, float] | None:
        """The scores on the test data, measured once when the search ended; `None` where there were none."""
        path = self.directory / "test.json"
        return read_json(path)["scores"] if path.exists() else None

    def best_model(self) -> keras.Model:
        """Build the best trial's model and load the weights it kept: those of its lowest `val_loss`.

        Raises:
            ValueError: no trial ended with a finite loss.
        """
        return self.tuner.load_model(self._best())

    @property
    def best_id(self) -> str:
        """The name of the best trial: its files are in `trial_<best_id>`."""
        return self._best().trial_id

    def best_row(self) -> dict[str, Any]:
        """The best trial's row of `frame()`."""
        return self._row(self._best())

    def best_mean(self) -> tuple[float, int]:
        """The mean score of the best hyperparameters, and over how many trials."""
        best, key = self._best(), getattr(self.tuner.oracle, "key", lambda trial: trial.hyperparameters.values)
        same = [trial.score for trial in self._ranked() if key(trial) == key(best)]
        return float(np.mean(same)), len(same)

    def frame(self) -> pd.DataFrame:
        """One row a trial, in the order tried.

        The columns are `trial`, one for each hyperparameter (`hp/loss` where its name, here `loss`, is that of another
        column), `status` (`"completed"`, `"diverged"`, `"failed"` or `"rejected"`), `best_epoch` (the first is 1),
        `epochs`, `seconds`, the metrics of the best epoch, such as `val_loss` and `val_accuracy`, `gap` (how far
        validation is behind training there), `last` (the objective in the last epoch), `verdict` and `reason` (what
        held the trial back), and `phase` and `why` (why it was tried).
        """
        ended = [t for t in self.tuner.oracle.trials.values() if t.status in ("COMPLETED", "FAILED")]
        return pd.DataFrame([self._row(trial) for trial in sorted(ended, key=lambda trial: int(trial.trial_id))])

    def curves(self) -> pd.DataFrame:
        """One row for every epoch of every trial: `trial`, `epoch` (the first is 1) and the metrics."""
        histories = {t: self.tuner.result_of(t) for t in sorted(self.tuner.oracle.trials, key=int)}
        frames = [
            pd.DataFrame(kept["history"]).assign(trial=int(trial), epoch=range(1, kept["epochs"] + 1))
            for trial, kept in histories.items()
            if kept
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["trial", "epoch"])

    def names(self) -> list[str]:
        """The columns of `frame()` that are hyperparameters which were searched."""
        return [self._column(name) for name in searched(self.tuner.oracle.get_space())]

    def importance(self) -> dict[str, float]:
        """How much of the spread of the scores each hyperparameter accounts for, by rank correlation; 0 to 1.

        Of few trials it is a rough hint: with ten trials, chance alone gives values up to 0.4.
        """
        frame = self.frame()
        good = frame[frame["status"] == "completed"] if len(frame) else frame
        names = [n for n in self.names() if n in good and good[n].nunique() > 1]
        found = {name: _correlation(good[name], good[self.tuner.oracle.objective.name]) ** 2 for name in names}
        return {name: value for name, value in sorted(found.items(), key=lambda item: -item[1]) if np.isfinite(value)}

    def report(self, path: str | Path = "search.html") -> Path:
        """Write the report of the search: one HTML file that needs no other.

        Args:
            path: Where to write it.

        Returns:
            The path.
        """
        from kregtools.tuning.report import write_report

        return write_report(self, Path(path))

    def __rich__(self) -> Table:
        objective = self.tuner.oracle.objective.name
        rows = [self._row(trial) for trial in self._ranked()]
        table = Table(title=f"{len(rows)} trials by {objective}, best first", box=box.SIMPLE_HEAD, padding=0)
        names = self.names()
        columns = dict.fromkeys(("trial", *names, "best_epoch", "epochs", "val_loss", objective, "gap", "verdict"))
        if any(row["status"] != "completed" for row in rows):
            columns["status"] = None
        for name in columns:
            table.add_column(name.replace("_", " "), justify="right", overflow="fold")
        for row in rows:
            table.add_row(*(_cell(row.get(name, "")) for name in columns))
        return table

    def __repr__(self) -> str:
        console = Console(width=140)
        with console.capture() as captured:
            console.print(self)
        return captured.get()

    def _best(self) -> Any:
        kept = self._kept()
        if kept is None:
            raise ValueError(
                f"No trial ended with a finite loss. Received: {len(self._ranked())} trials in {self.directory}. "
                "Expected at least one: look for bad values in the data, and let the search try lower learning rates."
            )
        return kept

    def _kept(self) -> Any:
        return next((t for t in self.tuner.kept_trials() if self._row(t)["status"] == "completed"), None)

    def _ranked(self) -> list[Any]:
        oracle = self.tuner.oracle
        return [t for t in oracle.get_best_trials(len(oracle.trials)) if t.status == "COMPLETED"]

    def _column(self, name: str) -> str:
        objective = self.tuner.oracle.objective.name
        return f"hp/{name}" if name in (*COLUMNS, objective, objective.removeprefix("val_")) else name

    def _row(self, trial: Any) -> dict[str, Any]:
        result = self.tuner.result_of(trial.trial_id)
        objective = self.tuner.oracle.objective.name
        row = {"trial": int(trial.trial_id), **{self._column(n): v for n, v in trial.hyperparameters.values.items()}}
        note = getattr(self.tuner.oracle, "notes", {}).get(trial.trial_id, {})
        if trial.status == "FAILED" or result is None:
            rejected = "FailedTrialError" in (trial.message or "")
            reason = (trial.message or "").strip().splitlines()[-1:]
            return {**row, "status": "rejected" if rejected else "failed", "reason": "".join(reason), **note}
        status = "diverged" if result["diverged"] else "completed"
        kept = {name: result[name] for name in ("best_epoch", "epochs", "seconds")}
        told = {name: result[name] for name in ("verdict", "reason")}
        metrics = result["metrics"]
        more = {"gap": gap(metrics, self.tuner.oracle.objective), "last": result["history"][objective][-1]}
        return {**row, "status": status, **kept, **metrics, **more, **note, **told}


def _correlation(values: Any, scores: Any) -> float:
    """The rank correlation; of names, by the order of the alphabet."""
    codes = values if values.dtype.kind in "biuf" else values.astype("category").cat.codes
    return float(codes.rank().corr(scores.rank()))


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else short(value)
