"""What every recipe shares: its command line, training with the monitor, the search, the report."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np
from rich.console import Console

import kregtools
from kregtools.callbacks import HealthMonitor

SMOKE_ROWS = 512


class Data(NamedTuple):
    """Inputs and labels: to train on, to choose by, and to report once at the end."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Recipe:
    """Data, a model and how to train it, behind one command line.

    Args:
        name: The name of the script.
        hypermodel: Makes a `keras_tuner.HyperModel` whose hyperparameters `l2`, `dropout` and `learning_rate` are
            fixed to the given values, or left to their defaults and to the search where these are `None`.
        load: Reads the data; its argument is the directory given with `--data-dir`, or `None`.
        epochs: How many epochs to train.
        batch_size: Rows in a batch.
    """

    name: str
    hypermodel: Callable[..., keras_tuner.HyperModel]
    load: Callable[[str | None], Data]
    epochs: int
    batch_size: int

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Runs the command line; returns the exit status."""
        options = self._parser().parse_args(arguments)
        try:
            data = self.load(options.data_dir)
            if options.smoke:
                data = Data(*((x[:SMOKE_ROWS], y[:SMOKE_ROWS]) for x, y in data))
            return self._tune(options, data) if options.tune else self._train(options, data)
        except (ValueError, FileNotFoundError, ImportError) as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            again = "; the same command goes on from here" if options.tune else ""
            print(f"\n{self.name}: interrupted{again}", file=sys.stderr)
            return 130

    def _train(self, options: argparse.Namespace, data: Data) -> int:
        keras.utils.set_random_seed(options.seed)
        model = self._hypermodel(options).build(keras_tuner.HyperParameters())
        monitor = HealthMonitor(verbose=0)
        began = time.perf_counter()
        model.fit(
            *data.train,
            validation_data=data.validation,
            epochs=self._epochs(options),
            batch_size=self.batch_size,
            verbose=2,
            callbacks=[monitor],
        )
        print(f"trained for {time.perf_counter() - began:.0f} s, monitor included")
        console = Console()
        console.print(monitor.diagnosis)
        self._test(model, data)
        if options.report:
            console.print(f"report: {monitor.report(options.report).resolve()}", soft_wrap=True, highlight=False)
        return 0

    def _tune(self, options: argparse.Namespace, data: Data) -> int:
        result = kregtools.tune(
            self._hypermodel(options),
            data.train,
            data.validation,
            trials=options.trials,
            epochs=self._epochs(options),
            batch_size=self.batch_size,
            seed=options.seed,
            directory=options.directory or Path("runs") / f"{self.name}-seed{options.seed}",
        )
        console = Console()
        console.print(result)
        console.print(f"the search is kept in {result.directory.resolve()}", soft_wrap=True, highlight=False)
        self._test(result.best_model(), data)
        return 0

    def _test(self, model: Any, data: Data) -> None:
        scores = model.evaluate(*data.test, batch_size=self.batch_size, verbose=0, return_dict=True)
        print("test: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))

    def _hypermodel(self, options: argparse.Namespace) -> keras_tuner.HyperModel:
        return self.hypermodel(l2=options.l2, dropout=options.dropout, learning_rate=options.learning_rate)

    def _epochs(self, options: argparse.Namespace) -> int:
        return options.epochs or (2 if options.smoke else self.epochs)

    def _parser(self) -> argparse.ArgumentParser:
        parser = argparse.ArgumentParser(
            prog=f"{self.name}.py", description=sys.modules["__main__"].__doc__, formatter_class=_Help
        )
        add = parser.add_argument
        add("--epochs", type=_positive, help=f"epochs of a training (default: {self.epochs})")
        add("--l2", type=_number(), help="L2 penalty of the hidden kernels, 0 for none (default: the model's)")
        add("--dropout", type=_number(below=1), help="rate after each hidden layer, 0 for none (default: the model's)")
        add("--learning-rate", type=_number(), help="(default: the model's)")
        add("--seed", type=int, default=0, help="of weights, data order and search (default: 0)")
        add("--data-dir", help="directory with the data (default: $KREGTOOLS_DATA, then a download)")
        add(
            "--report",
            type=_report,
            default="report.html",
            help="where to write the report, '' for none (default: report.html)",
        )
        add("--smoke", action="store_true", help=f"{SMOKE_ROWS} rows and 2 epochs: does it run at all?")
        add("--tune", action="store_true", help="search l2, dropout and learning rate instead of training once")
        add("--trials", type=_positive, default=10, help="trials of the search (default: 10)")
        add("--directory", help="where to keep the search, and to go on with it (default: runs/NAME-seedSEED)")
        return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the recipe's docstring."""


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


def _number(below: float = float("inf")) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = float(text)
        if not 0 <= value < below:
            raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to below {below:g}")
        return value

    return number


def _report(text: str) -> str:
    # Before training, not after it.
    if text and not Path(text).parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no directory '{Path(text).parent}'")
    return text
