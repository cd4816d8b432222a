"""Searches replayed on real learning curves: the regret of each after 40, 120 and 400 epochs.

python benchmarks/tuning.py                              IMDB, all methods, n = 24
python benchmarks/tuning.py --problems held-out --starts all --methods ours "TPE + ES"

A trial costs the epochs it runs, 20 at most, or fewer under early stopping (ES: `val_loss`, patience 3); its seed is
drawn per trial; its score is the best validation accuracy. Regret is the mean score of the best cell of the grid less
that of the cell that the search holds best, in points of accuracy. The oracles are the real classes of KerasTuner,
Optuna and kregtools. See `tuning_tables.py` for the curves.
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras_tuner
import numpy as np
import optuna
from tuning_methods import ROLES, STARTS, Method, Trial, oracle_method, run_optuna
from tuning_tables import DEVELOPMENT, HELD_OUT, Table, load

from kregtools.tuning import GuidedOracle
from kregtools.tuning.reading import Reading

BUDGETS = (40, 120, 400)
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kregtools"


class Unguided(GuidedOracle):
    """The ablation: a random neighbour in the place of what the diagnosis asks for."""

    def reading(self, trial: Any) -> Reading:
        return Reading("unknown", "not looked at")


def guided(kind: type[GuidedOracle], by_epoch: bool = True) -> Method:
    def make(space: keras_tuner.HyperParameters, seed: int) -> GuidedOracle:
        return kind("val_accuracy", None, seed, hyperparameters=space, roles=ROLES)

    return oracle_method(make, by_epoch=by_epoch)


def tpe(stop_early: bool, start: bool, pruner: Any = None) -> Method:
    def method(table: Table, seed: int, budget: int, cell: Any) -> Iterable[Trial]:
        begin = cell if start else None
        return run_optuna(table, seed, budget, stop_early=stop_early, start=begin, pruner=pruner and pruner())

    return method  # pyright: ignore[reportReturnType]


def theirs(kind: Any, stop_early: bool, **arguments: Any) -> Method:
    def make(space: keras_tuner.HyperParameters, seed: int) -> keras_tuner.Oracle:
        return kind("val_accuracy", hyperparameters=space, seed=seed, **arguments)

    return oracle_method(make, stop_early)


O = keras_tuner.oracles  # noqa: E741
METHODS: dict[str, Method] = {
    "KerasTuner RandomSearch": theirs(O.RandomSearchOracle, False, max_trials=500),
    "KerasTuner RandomSearch + ES": theirs(O.RandomSearchOracle, True, max_trials=500),
    "KerasTuner BayesianOptimization + ES": theirs(O.BayesianOptimizationOracle, True, max_trials=500),
    "KerasTuner Hyperband": theirs(O.HyperbandOracle, False, max_epochs=20, factor=3, hyperband_iterations=20),
    "Optuna TPE": tpe(False, False),
    "Optuna TPE + ES": tpe(True, False),
    "Optuna TPE + ES + median pruning": tpe(True, False, optuna.pruners.MedianPruner),
    "default, Optuna TPE + ES": tpe(True, True),
    "ours with random neighbours (ablation)": guided(Unguided),
    "ours, told the best epoch alone": guided(GuidedOracle, by_epoch=False),
    "ours": guided(GuidedOracle),
}


def regrets(trials: Iterable[Trial], quality: np.ndarray) -> list[float]:
    """The regret of the best trial that had ended when each budget was spent; before any, that of the worst cell."""
    spent, best, held = 0, -np.inf, float(quality.min())
    found: list[float] = []
    for trial in trials:
        spent += trial.epochs
        while len(found) < len(BUDGETS) and spent > BUDGETS[len(found)]:
            found.append(held)
        if trial.score > best:
            best, held = trial.score, float(quality[trial.cell])
    found += [held] * (len(BUDGETS) - len(found))
    return [100 * (float(quality.max()) - value) for value in found]


def one(problem: str, method: str, start: str, seed: int) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = load(problem, CACHE)
        return regrets(METHODS[method](table, seed, BUDGETS[-1], STARTS[start]), table.quality())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=["imdb"], help="imdb, development, held-out, or names")
    parser.add_argument("--starts", nargs="+", default=["default"], help="all, or names")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    groups = {"development": list(DEVELOPMENT), "held-out": list(HELD_OUT)}
    problems = [name for given in options.problems for name in groups.get(given, [given])]
    starts = list(STARTS) if options.starts == ["all"] else options.starts
    for problem in problems:
        load(problem, CACHE)
    print("| problem | start | method | " + " | ".join(f"{budget} epochs" for budget in BUDGETS) + " | n |")
    print("|---|---|---|" + "---|" * (len(BUDGETS) + 1))
    with ProcessPoolExecutor(options.jobs) as pool:
        for problem in problems:
            for start in starts:
                for method in options.methods:
                    runs = [pool.submit(one, problem, method, start, seed) for seed in range(options.runs)]
                    found = np.array([run.result() for run in runs])
                    cells = zip(found.mean(axis=0), found.std(axis=0, ddof=1) / options.runs**0.5, strict=True)
                    text = " | ".join(f"{mean:.2f} ± {error:.2f}" for mean, error in cells)
                    print(f"| {problem} | {start} | {method} | {text} | {options.runs} |", flush=True)


if __name__ == "__main__":
    main()
