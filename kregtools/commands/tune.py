"""Search L2, dropout, learning rate of a recipe, steered by the diagnosis of each trial.

The same command goes on where an interrupted search stopped. The directory holds all trials, a report, the best
model, its hyperparameters, and a program that trains it anew.

Examples:
  kregtools tune digits_dense --trials 5
  kregtools tune imdb_bow --trials 20 --seed 1 --directory runs/imdb
  kregtools tune imdb_bow --trials 40 --minutes 60 --workers 2
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from kregtools.commands.arguments import positive
from kregtools.commands.output import show, tell_json

HELP = "search the hyperparameters of a recipe"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("recipe", metavar="RECIPE", help="its name, such as digits_dense or imdb_bow; a wrong one lists all")
    add("--trials", type=positive, default=20, help="the most trials (default: 20)")
    add("--epochs", type=positive, help="the most epochs of a trial (default: the recipe's)")
    add("--minutes", type=float, help="after how many minutes no trial is begun (default: no limit)")
    add("--total-epochs", type=positive, help="after how many epochs in all no trial is begun (default: no limit)")
    add("--seed", type=int, default=0, help="of the search, the weights and the data order (default: 0)")
    add("--workers", type=positive, default=1, help="trials at once, a process and a GPU each (default: 1)")
    add("--directory", help="where the search is kept (default: runs/RECIPE-seedSEED)")
    add("--data-dir", help="directory with the data (default: $KREGTOOLS_DATA, then a download)")
    add("--rows", type=positive, help="take only so many rows of the data (default: all)")
    add("--json", action="store_true", help="print JSON in place of text")


def run(options: argparse.Namespace) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import kregtools
    from kregtools.models import RECIPES

    if options.recipe not in RECIPES:
        raise ValueError(f"There is no such recipe. Received: {options.recipe!r}. Known are: {', '.join(RECIPES)}.")
    hypermodel = RECIPES[options.recipe]()
    data = hypermodel.load(options.data_dir, options.rows)
    result = kregtools.tune(
        hypermodel,
        data.train,
        data.validation,
        test=data.test,
        trials=options.trials,
        epochs=options.epochs or hypermodel.epochs,
        minutes=options.minutes,
        total_epochs=options.total_epochs,
        seed=options.seed,
        workers=options.workers,
        directory=options.directory or Path("runs") / f"{options.recipe}-seed{options.seed}",
        verbose=0 if options.json else 1,
    )
    if options.json:
        rows = result.frame().to_json(orient="records")
        best = result.best_hyperparameters.values if result.found else None
        tell_json({"trials": _loaded(rows), "best": best, "test": result.test, "directory": str(result.directory)})
        return 0
    show(result)
    for name, value in (result.test or {}).items():
        show(f"test {name}: {value:.4f}")
    show(f"the search is kept in {result.directory.resolve()}; look at report.html there")
    return 0


def _loaded(rows: str | None) -> object:
    import json

    return json.loads(rows or "[]")
