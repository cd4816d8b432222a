"""Train a small network on scikit-learn's embedded digits twice, sick and healthy, and write both reports.

No network is needed, and about half a minute. The sick run has a learning rate of 3.

Examples:
  kregtools demo
  kregtools demo --directory /tmp/demo
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

from kregtools.commands.arguments import positive
from kregtools.commands.output import show, tell_json

HELP = "train a sick and a healthy run on embedded data, and report them"
RATES = {"sick": 3.0, "healthy": None}
VALIDATION = 287


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--directory", default="kregtools-demo", help="where the reports go (default: kregtools-demo)")
    add("--epochs", type=positive, default=30, help="epochs of each run (default: 30)")
    add("--json", action="store_true", help="print JSON in place of text")


def run(options: argparse.Namespace) -> int:
    from kregtools.report.summary import summary

    directory = Path(options.directory)
    directory.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, learning_rate in RATES.items():
        monitor = _train(learning_rate, options.epochs)
        report = str(monitor.report(directory / f"{name}.html").resolve())
        found[name] = {**summary(monitor.record, monitor.diagnosis), "written": {"report": report}}
        if not options.json:
            show(f"---- learning rate {learning_rate or 'as the model has it'}")
            show(monitor.diagnosis)
            show(f"report: {report}\n")
    if options.json:
        tell_json(found)
    return 0


def _train(learning_rate: float | None, epochs: int) -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        import keras
    except ModuleNotFoundError as error:
        raise ImportError(
            f"The demo trains a network, and there is no module '{error.name}'. Expected a backend for Keras: "
            'pip install "kregtools[tensorflow,recipes]", or set KERAS_BACKEND to one that is installed.'
        ) from error
    import keras_tuner

    from kregtools import datasets
    from kregtools.callbacks import HealthMonitor
    from kregtools.models import DigitsDense

    (x, y), _ = datasets.load("digits")
    keras.utils.set_random_seed(0)
    model = DigitsDense(learning_rate=learning_rate).build(keras_tuner.HyperParameters())
    monitor = HealthMonitor(verbose=0)
    validation = (x[-VALIDATION:], y[-VALIDATION:])
    rows = slice(None, -VALIDATION)
    fit: Any = model.fit
    fit(x[rows], y[rows], validation_data=validation, epochs=epochs, verbose=0, callbacks=[monitor])
    return monitor
