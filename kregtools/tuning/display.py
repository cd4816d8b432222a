"""What a person sees of a search while it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kregtools.tuning.space import searched

if TYPE_CHECKING:
    from collections.abc import Mapping

    import keras_tuner

    from kregtools.tuning.tuner import Tuner

ROWS = 12
COLOURS = {"diverged": "red", "failed": "red", "overfit": "yellow", "slow": "cyan", "balanced": "green"}


class Display:
    """A live table in a terminal, a line a trial anywhere else.

    Args:
        tuner: `kregtools.tuning.Tuner` that searches.
        live: Boolean, `False` to show nothing.
        console: `rich.console.Console`. Defaults to `None`: a new one.
    """

    def __init__(self, tuner: Tuner, live: bool, console: Console | None = None) -> None:
        self.tuner = tuner
        self.console = console or Console(highlight=False)
        self.shown = live
        self.rows: dict[str, dict[str, Any]] = {}
        self._began, self._ended = time.monotonic(), 0
        self._live: Live | None = None

    def __enter__(self) -> Display:
        if self.shown and self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=4, get_renderable=self.__rich__)
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None  # it holds this display, and with it the tuner

    def begin(self, trial: Any) -> None:
        self.rows[trial.trial_id] = {"values": self._values(trial), "verdict": "running"}

    def epoch(self, trial_id: str, epoch: int, logs: Mapping[str, float]) -> None:
        objective = self.tuner.oracle.objective
        row = self.rows.setdefault(trial_id, {"values": {}, "verdict": "running"})
        row |= {"epoch": str(epoch), "score": logs.get(objective.name), "gap": gap(logs, objective)}

    def end(self, trial: Any) -> None:
        self._ended += 1
        self.rows[trial.trial_id] = self._row(trial)
        if self.shown and not self.console.is_terminal:
            self.console.print(self._line(trial), soft_wrap=True)

    def __rich__(self) -> Group:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        rows = list(self.rows.items())  # another thread draws
        names = list(dict.fromkeys(name for _, row in rows for name in row["values"]))
        for name in ("trial", *names, "epoch", self.tuner.oracle.objective.name, "gap", "verdict"):
            table.add_column(name.replace("_", " "), justify="right" if name != "verdict" else "left")
        for trial_id, row in rows[-ROWS:]:
            values = (short(row["values"].get(name, "")) for name in names)
            told = (row.get("epoch", ""), short(row.get("score", "")), short(row.get("gap", "")))
            verdict = Text(row["verdict"], style=COLOURS.get(row["verdict"], ""))
            table.add_row(str(int(trial_id)), *values, *told, verdict)
        return Group(table, Text(self._progress()))

    def _row(self, trial: Any) -> dict[str, Any]:
        values, result = self._values(trial), self.tuner.result_of(trial.trial_id)
        if trial.status == "FAILED" or result is None:
            return {"values": values, "verdict": "failed"}
        objective = self.tuner.oracle.objective
        return {
            "values": values,
            "epoch": f"{result['best_epoch']}/{result['epochs']}",
            "score": result["metrics"].get(objective.name),
            "gap": gap(result["metrics"], objective),
            "verdict": "diverged" if result["diverged"] else result["verdict"],
            "val_loss": result["metrics"].get("val_loss"),
        }

    def _values(self, trial: Any) -> dict[str, Any]:
        names = searched(self.tuner.oracle.get_space())
        return {name: value for name, value in trial.hyperparameters.values.items() if name in names}

    def _line(self, trial: Any) -> Text:
        row = self.rows[trial.trial_id]
        tried = "  ".join(f"{name}={short(value)}" for name, value in row["values"].items())
        line = f"trial {int(trial.trial_id)}  {tried}"
        if "epoch" in row and row["verdict"] != "diverged":
            names = dict.fromkeys(("val_loss", self.tuner.oracle.objective.name))
            scores = "  ".join(f"{n} {short(row['val_loss' if n == 'val_loss' else 'score'])}" for n in names)
            line += f"  epoch {row['epoch']}  {scores}"
        best = self.tuner.oracle.get_best_trials(1)
        mark = "  best" if best and best[0].trial_id == trial.trial_id and row["verdict"] != "diverged" else ""
        return Text(f"{line}  {row['verdict']}{mark}{self._failure(trial)}")

    def _failure(self, trial: Any) -> str:
        last = (trial.message or "").strip().splitlines()[-1:] if trial.status == "FAILED" else []
        return f": {last[0]}" if last else ""

    def _progress(self) -> str:
        done = sum(row["verdict"] != "running" for row in list(self.rows.values()))
        left = self.tuner.oracle.max_trials and self.tuner.oracle.max_trials - len(self.tuner.oracle.trials)
        seconds = (time.monotonic() - self._began) / max(self._ended, 1)
        eta = f", about {left * seconds / 60:.0f} min to go" if left and self._ended else ""
        return f"{done} trials ended, {len(self.rows) - done} running{eta}"


def gap(logs: Mapping[str, float | None], of: keras_tuner.Objective) -> float | None:
    """How far validation is behind training, in the objective's own units; negative where it is ahead."""
    objective, direction = of.name, of.direction
    train, validation = logs.get(objective.removeprefix("val_")), logs.get(objective)
    if train is None or validation is None or objective == objective.removeprefix("val_"):
        return None
    return validation - train if direction == "min" else train - validation


def short(value: Any) -> str:
    """Write a value in at most four significant digits."""
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
