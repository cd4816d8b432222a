"""The searches that are compared: each yields the cells it tries, and is told the curves."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras_tuner
import numpy as np
import optuna
from tuning_tables import DROPOUT, EPOCHS, L2, LEARNING_RATE, METRICS, Table

Cell = tuple[int, int, int]
STARTS: dict[str, Cell] = {
    "default": (3, 1, 3),
    "over-regularised": (7, 4, 1),
    "lr too high": (0, 0, 6),
    "lr too low": (0, 0, 0),
}
GRID = {"l2": L2, "dropout": DROPOUT, "learning_rate": LEARNING_RATE}
ROLES = {name: name for name in GRID}
NEVER = 10**6
optuna.logging.set_verbosity(optuna.logging.ERROR)


class Trial:
    """A trial that ended: its cell, what it cost in epochs, its score."""

    def __init__(self, cell: Cell, epochs: int, score: float) -> None:
        self.cell, self.epochs, self.score = cell, epochs, score


def space(start: Cell) -> keras_tuner.HyperParameters:
    hp = keras_tuner.HyperParameters()
    for (name, values), index in zip(GRID.items(), start, strict=True):
        hp.Choice(name, list(values), default=values[index])
    return hp


def cell_of(values: dict[str, Any]) -> Cell:
    return tuple(GRID[name].index(values[name]) for name in GRID)  # pyright: ignore[reportReturnType]


def run_oracle(
    oracle: keras_tuner.Oracle, table: Table, seed: int, budget: int, stop_early: bool, by_epoch: bool = True
) -> Iterator[Trial]:
    """Runs a KerasTuner oracle as a tuner does, but reads the curves from the table."""
    rng = np.random.default_rng((seed, 77))
    oracle.verbose = 0
    with tempfile.TemporaryDirectory() as directory:
        oracle._set_project_dir(directory, "search")
        oracle._save_trial = lambda trial: None  # the files are not read
        oracle.save = lambda: None  # pyright: ignore[reportAttributeAccessIssue]
        spent = 0
        while spent < budget:
            trial = oracle.create_trial("tuner0")
            if trial.status != "RUNNING":
                return
            values = trial.hyperparameters.values
            curve = table.trial(cell_of(values), int(rng.integers(table.curves.shape[3])), stop_early)
            curve = curve[: values.get("tuner/epochs", EPOCHS)]
            cost = len(curve) - values.get("tuner/initial_epoch", 0)
            report(oracle, trial, curve, by_epoch)
            trial.status = "COMPLETED"
            oracle.end_trial(trial)
            spent += cost
            yield Trial(cell_of(values), cost, float(curve[:, METRICS.index("val_accuracy")].max()))


def report(oracle: keras_tuner.Oracle, trial: Any, curve: np.ndarray, by_epoch: bool) -> None:
    best = int(curve[:, METRICS.index("val_accuracy")].argmax())
    for epoch, row in enumerate(curve):
        if by_epoch or epoch == best:
            oracle.update_trial(trial.trial_id, dict(zip(METRICS, map(float, row), strict=True)), step=epoch)


def run_optuna(
    table: Table, seed: int, budget: int, *, stop_early: bool, start: Cell | None = None, pruner: Any = None
) -> Iterator[Trial]:
    """Optuna by ask and tell, over the indices of the grid."""
    rng = np.random.default_rng((seed, 77))
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=pruner or optuna.pruners.NopPruner(),
    )
    if start is not None:
        study.enqueue_trial(dict(zip(GRID, start, strict=True)))
    spent = 0
    while spent < budget:
        trial = study.ask()
        cell: Any = tuple(trial.suggest_int(name, 0, len(values) - 1) for name, values in GRID.items())
        curve = table.trial(cell, int(rng.integers(table.curves.shape[3])), stop_early)
        scores = curve[:, METRICS.index("val_accuracy")]
        epochs = _pruned_after(trial, scores)
        study.tell(trial, float(scores[:epochs].max()))
        spent += epochs
        yield Trial(cell, epochs, float(scores[:epochs].max()))


def _pruned_after(trial: optuna.Trial, scores: np.ndarray) -> int:
    for epoch, score in enumerate(scores):
        trial.report(float(score), epoch)
        if trial.should_prune():
            return epoch + 1
    return len(scores)


Method = Callable[[Table, int, int, Cell], Iterator[Trial]]


def oracle_method(make: Callable[..., keras_tuner.Oracle], stop_early: bool = True, by_epoch: bool = True) -> Method:
    def method(table: Table, seed: int, budget: int, start: Cell) -> Iterator[Trial]:
        return run_oracle(make(space(start), seed + 1), table, seed, budget, stop_early, by_epoch)

    return method
