"""How near to the truth the onset of overfitting is: the epoch where a large test set says that the network got worse.

    python benchmarks/faults/onset.py [--seeds 0 1 2 3 4]

The diagnosis sees training and validation data alone, 100 to 1,000 rows each. The truth is the epoch with the lowest
loss on thousands of other rows (digits: the 1,297 that are left).

- within 2: runs whose onset is within two epochs of the truth;
- off: epochs between the two, median and largest;
- excess: how far the test loss in the epoch named is above its lowest, median and largest, of the lowest.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import keras
import numpy as np
from data import Split, classes, digits, moons
from networks import mlp

from kregtools.callbacks import HealthMonitor

TEST = 10_000


class Case(NamedTuple):
    """How many of the rows are for training and validation, the others being for the test, and what is trained."""

    data: Callable[[int], Split]
    training: int
    validation: int
    model: Callable[[], keras.Model]
    rate: float
    epochs: int


class TestLoss(keras.callbacks.Callback):
    """The loss on the test set after each epoch, unseen by the monitor."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.x, self.y = x, y
        self.losses: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        probabilities = self.model.predict(self.x, batch_size=1024, verbose=0)
        of_label = probabilities[np.arange(len(self.y)), self.y]
        self.losses.append(float(-np.mean(np.log(np.maximum(of_label, 1e-7)))))


def noisy_classes(seed: int) -> Split:
    return classes(seed, rows=TEST + 2000, flipped=0.2)


def noisy_moons(seed: int) -> Split:
    return moons(seed, rows=TEST + 2000, noise=0.4)


CASES = {
    "100 digits": Case(digits, 100, 400, lambda: mlp(hidden=(256, 256)), 1e-3, 80),
    "classes, a fifth of the labels wrong": Case(noisy_classes, 300, 300, lambda: mlp(20, (128, 128), 2), 1e-3, 40),
    "the same, more rows": Case(noisy_classes, 1000, 1000, lambda: mlp(20, (256, 256), 2), 1e-3, 25),
    "the same, a tenth of the rate": Case(noisy_classes, 300, 300, lambda: mlp(20, (128, 128), 2), 1e-4, 150),
    "moons that overlap": Case(noisy_moons, 100, 200, lambda: mlp(2, (256, 256, 256), 2), 3e-3, 150),
}


def run(case: Case, seed: int) -> tuple[float | None, np.ndarray]:
    """The epoch named, counted from 1, and the test loss by epoch."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    data = case.data(seed)
    x, y = np.concatenate([data.x, data.x_val]), np.concatenate([data.y, data.y_val])
    end = case.training + case.validation
    model, monitor, test = case.model(), HealthMonitor(verbose=0), TestLoss(x[end:], y[end:])
    model.compile(keras.optimizers.Adam(case.rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(
        x[: case.training],
        y[: case.training],
        validation_data=(x[case.training : end], y[case.training : end]),
        epochs=case.epochs,
        verbose=0,
        callbacks=[monitor, test],
    )
    overfit = [symptom for symptom in monitor.diagnosis.symptoms if symptom.name == "overfit"]
    return (overfit[0].evidence["onset_epoch"] if overfit else None), np.array(test.losses)


def line(name: str, runs: list[tuple[float | None, np.ndarray]]) -> str:
    found = [(int(onset) - 1, losses) for onset, losses in runs if onset is not None]
    off = np.array([abs(onset - losses.argmin()) for onset, losses in found])
    excess = np.array([losses[onset] / losses.min() - 1 for onset, losses in found])
    truth = np.median([losses.argmin() + 1 for _, losses in runs])
    cells = (f"{len(found)}/{len(runs)}", f"{(off <= 2).sum()}/{len(found)}", f"{truth:g}")
    figures = (
        (f"{np.median(off):g}, {off.max()}", f"{np.median(excess):.1%}, {excess.max():.1%}") if found else ("", "")
    )
    return f"| {name} | {' | '.join((*cells, *figures))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options = parser.parse_args()
    print("| data | overfit found | within 2 | true onset | off | excess |\n|---|---|---|---|---|---|")
    for name, case in CASES.items():
        print(line(name, [run(case, seed) for seed in options.seeds]), flush=True)


if __name__ == "__main__":
    main()
