"""What every recipe shares: its command line, training with the monitor, the search, the report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_tuner
from rich.console import Console

import kregtools
from kregtools.callbacks import HealthMonitor
from kregtools.commands.arguments import positive
from kregtools.models import Data, RecipeModel
from kregtools.models.accelerator import use_gpu
from kregtools.models.hyperparameters import Choice

SMOKE_ROWS = 512
SMOKE_EPOCHS = 2


class Training(NamedTuple):
    """A trained model and what was seen of its training."""

    model: keras.Model
    monitor: HealthMonitor
    seconds: float


def main(recipe: type[RecipeModel], arguments: Sequence[str] | None = None) -> int:
    """Runs a recipe's command line.

    Args:
        recipe: The class of the model, one of `kregtools.models.RECIPES`.
        arguments: The words after the script's name. Defaults to `None`, those of the command line.

    Returns:
        The exit status: 0 done, 2 used wrongly or impossible, 130 interrupted.
    """
    options = _parser(recipe).parse_args(arguments)
    try:
        fixed = {name: getattr(options, name) for name in recipe.hyperparameters}
        hypermodel = recipe(search=options.search, **fixed)
        data = hypermodel.load(options.data_dir, rows=SMOKE_ROWS if options.smoke else None)
        print(use_gpu(recipe.mixed_precision))
        return (_tune if options.tune else _train)(options, hypermodel, data)
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(f"{recipe.name}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        again = "; the same command goes on from here" if options.tune else ""
        print(f"\n{recipe.name}: interrupted{again}", file=sys.stderr)
        return 130


def train(hypermodel: RecipeModel, data: Data, *, seed: int, epochs: int, verbose: int = 2) -> Training:
    """Trains the model with its hyperparameters as they are, watched by a `HealthMonitor`."""
    keras.utils.set_random_seed(seed)
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    monitor = HealthMonitor(verbose=0)
    began = time.perf_counter()
    hypermodel.fit(
        hp, model, *data.train, validation_data=data.validation, epochs=epochs, verbose=verbose, callbacks=[monitor]
    )
    return Training(model, monitor, time.perf_counter() - began)


def scores(model: Any, data: Data, batch_size: int) -> dict[str, float]:
    """The metrics on the test data, which nothing else may look at."""
    return model.evaluate(*data.test, batch_size=batch_size, verbose=0, return_dict=True)


def _train(options: argparse.Namespace, hypermodel: RecipeModel, data: Data) -> int:
    verbose = 1 if sys.stdout.isatty() else 2
    model, monitor, seconds = train(
        hypermodel, data, seed=options.seed, epochs=_epochs(options, hypermodel), verbose=verbose
    )
    print(f"trained for {seconds:.0f} s, monitor included")
    Console().print(monitor.diagnosis)
    _print_scores(scores(model, data, hypermodel.batch_size))
    if options.save:
        model.save(options.save)
        print(f"model: {Path(options.save).resolve()}")
    if options.report:
        print(f"report: {monitor.report(options.report).resolve()}")
    return 0


def _tune(options: argparse.Namespace, hypermodel: RecipeModel, data: Data) -> int:
    result = kregtools.tune(
        hypermodel,
        data.train,
        data.validation,
        test=data.test,
        trials=options.trials,
        epochs=_epochs(options, hypermodel),
        seed=options.seed,
        workers=options.workers,
        directory=options.directory or Path("runs") / f"{hypermodel.name}-seed{options.seed}",
    )
    Console().print(result)
    print(f"the search is kept in {result.directory.resolve()}")
    _print_scores(result.test or {})
    return 0


def _print_scores(found: Mapping[str, float]) -> None:
    print("test: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))


def _epochs(options: argparse.Namespace, hypermodel: RecipeModel) -> int:
    return options.epochs or (SMOKE_EPOCHS if options.smoke else hypermodel.epochs)


def _parser(recipe: type[RecipeModel]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{recipe.name}.py",
        description=sys.modules["__main__"].__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--epochs", type=positive, help=f"epochs of a training (default: {recipe.epochs})")
    add("--seed", type=int, default=0, help="of weights, data order and search (default: 0)")
    add("--data-dir", help="directory with the data (default: $KREGTOOLS_DATA, then a download)")
    add(
        "--report",
        type=_file,
        default="report.html",
        metavar="FILE",
        help="where to write the report, '' for none (default: report.html)",
    )
    add("--save", type=_file, metavar="FILE", help="where to save the trained model, as NAME.keras")
    add("--smoke", action="store_true", help=f"{SMOKE_ROWS} rows and {SMOKE_EPOCHS} epochs: does it run at all?")
    _add_hyperparameters(parser.add_argument_group("hyperparameters"), recipe)
    search = parser.add_argument_group("search").add_argument
    search("--tune", action="store_true", help="search hyperparameters instead of training once")
    search("--workers", type=positive, default=1, help="trials at once, a process and a GPU each (default: 1)")
    search("--trials", type=positive, default=10, help="trials of the search (default: 10)")
    search(
        "--search",
        nargs="+",
        choices=list(recipe.hyperparameters),
        metavar="NAME",
        help="what to search (default: l2 dropout learning_rate, but for those given)",
    )
    search("--directory", help="where to keep the search, and to go on with it (default: runs/NAME-seedSEED)")
    return parser


def _add_hyperparameters(group: Any, recipe: type[RecipeModel]) -> None:
    for name, declared in recipe.hyperparameters.items():
        help_text = f"default: {declared.default}"
        if isinstance(declared, Choice):
            help_text = f"{', '.join(declared.values)} ({help_text})"
        kind = type(declared.default)
        group.add_argument(f"--{name.replace('_', '-')}", type=kind, metavar=kind.__name__, help=help_text)


def _file(text: str) -> str:
    # Before training, not after it.
    if text and not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory '{Path(text).parent}'")
    return text
