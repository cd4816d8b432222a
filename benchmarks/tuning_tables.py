"""Learning curves of whole grids, to search again and again at no cost.

The curves of IMDB are read from `$KREGTOOLS_DATA/imdb_tuning_curves.csv.gz`. The others are made here: small networks
of two hidden layers, a whole grid trained at once in NumPy on data that are drawn from the problem's own seed. Each is
made once and kept in the cache directory. Curves of `DEVELOPMENT` were looked at while the search was written; of
`HELD_OUT` only the regrets, and those of `three` and `shorttext` only when it was finished.
"""

from __future__ import annotations

import gzip
import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

L2 = (0.0, 1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
DROPOUT = (0.0, 0.2, 0.4, 0.6, 0.8)
LEARNING_RATE = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
SHAPE = (len(L2), len(DROPOUT), len(LEARNING_RATE))
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
EPOCHS, SEEDS = 20, 2
PATIENCE = 3


@dataclass(frozen=True)
class Table:
    """The curves of a grid: `curves[l2, dropout, learning_rate, seed, epoch, metric]`."""

    name: str
    curves: np.ndarray

    def trial(self, cell: Sequence[int], seed: int, stop_early: bool = True) -> np.ndarray:
        """The epochs that a trial of this cell runs: rows of `METRICS`."""
        curve = self.curves[(*cell, seed)]
        return curve[: stopped_after(curve[:, METRICS.index("val_loss")])] if stop_early else curve

    def quality(self, stop_early: bool = True) -> np.ndarray:
        """The mean score of each cell over its seeds."""
        scores = [
            max(self.trial(cell, seed, stop_early)[:, METRICS.index("val_accuracy")])
            for cell in np.ndindex(SHAPE)
            for seed in range(self.curves.shape[3])
        ]
        return np.reshape(scores, (*SHAPE, -1)).mean(axis=-1)


def stopped_after(val_loss: np.ndarray) -> int:
    """How many epochs Keras' `EarlyStopping("val_loss", patience=3)` lets pass."""
    best, waited = np.inf, 0
    for epoch, value in enumerate(val_loss):
        waited = 0 if value < best else waited + 1
        best = min(best, value) if np.isfinite(value) else best
        if waited >= PATIENCE:
            return epoch + 1
    return len(val_loss)


def load(name: str, cache: Path) -> Table:
    """Reads a table from the cache, and makes it first where it is not there."""
    path = cache / f"{name}.npz"
    if not path.exists():
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, curves=_imdb() if name == "imdb" else PROBLEMS[name]())
    with np.load(path) as file:
        return Table(name, file["curves"])


def _imdb() -> np.ndarray:
    path = Path(os.environ["KREGTOOLS_DATA"]) / "imdb_tuning_curves.csv.gz"
    with gzip.open(path, "rt") as file:
        rows = pd.read_csv(file, usecols=["l2", "dropout", "lr", "seed", "epoch", "loss", "acc", "val_loss", "val_acc"])
    rows = rows.sort_values(["l2", "dropout", "lr", "seed", "epoch"])
    return rows[["loss", "acc", "val_loss", "val_acc"]].to_numpy().reshape(*SHAPE, SEEDS, EPOCHS, len(METRICS))


# ---- made problems

Split = tuple[np.ndarray, np.ndarray]


def teacher(seed: int, rows: int, width: int, noise: float, classes: int = 1) -> tuple[Split, Split]:
    """Labels from a random network of eight hidden units, a share of them replaced by chance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows + 4000, width)).astype("float32")
    outputs = np.tanh(x @ rng.normal(size=(width, 8)) / width**0.5 * 2) @ rng.normal(size=(8, max(classes, 1)))
    y = (outputs[:, 0] > 0).astype(int) if classes == 1 else outputs.argmax(axis=1)
    wrong = rng.random(len(y)) < noise
    y[wrong] = rng.integers(0, max(classes, 2), wrong.sum())
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def text(seed: int, rows: int, words: int, length: int, strength: float) -> tuple[Split, Split]:
    """Bags of words of a Zipf vocabulary, some of which are more frequent in one of two classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, rows + 4000)
    frequency = 1 / np.arange(2, words + 2)
    lean = rng.normal(size=words) * strength * (rng.random(words) < 0.3)
    odds = frequency * np.exp(np.where(y[:, None] == 1, lean, -lean))
    x = (rng.random((len(y), words)) < 1 - np.exp(-odds / frequency.sum() * length)).astype("float32")
    return (x[:rows], y[:rows]), (x[rows:], y[rows:])


def train_grid(
    split: tuple[Split, Split], *, units: int = 16, batch: int = 64, classes: int = 1, optimizer: str = "rmsprop"
) -> np.ndarray:
    """The curves of every cell of the grid, all cells and seeds trained side by side."""
    cells = np.array([(a, b, c) for a in L2 for b in DROPOUT for c in LEARNING_RATE], "float32")
    networks = [_Networks(split, cells, units, classes, optimizer, seed) for seed in range(SEEDS)]
    runs = [np.stack([network.epoch(batch) for _ in range(EPOCHS)], axis=1) for network in networks]
    return np.stack(runs, axis=1).reshape(*SHAPE, SEEDS, EPOCHS, len(METRICS))


class _Networks:
    def __init__(
        self, split: tuple[Split, Split], cells: np.ndarray, units: int, classes: int, optimizer: str, seed: int
    ) -> None:
        (self.x, self.y), (self.x_val, self.y_val) = split
        self.rng = np.random.default_rng(seed)
        self.l2, self.dropout, self.rate = (column[:, None, None] for column in cells.T)
        sizes = [self.x.shape[1], units, units, classes]
        self.weights = [self._glorot(len(cells), *pair) for pair in itertools.pairwise(sizes)]
        self.weights += [np.zeros((len(cells), 1, size), "float32") for size in sizes[1:]]
        self.slots = [np.zeros_like(w) for w in self.weights]
        self.optimizer = optimizer

    def epoch(self, batch: int) -> np.ndarray:
        """Trains one epoch; the metrics of every cell after it, those of training as the running mean."""
        order, sums = self.rng.permutation(len(self.x)), []
        for begin in range(0, len(order) - batch + 1, batch):
            rows = order[begin : begin + batch]
            sums.append(self._step(self.x[rows], self.y[rows]))
        loss, accuracy = np.mean(sums, axis=0)
        val_loss, val_accuracy = np.mean(
            [self._score(self._forward(self.x_val[k : k + 500])[-1], self.y_val[k : k + 500])[:2]
             for k in range(0, len(self.x_val), 500)],
            axis=0,
        )  # fmt: skip
        penalty = self._penalty()
        return np.stack([loss, accuracy, val_loss + penalty, val_accuracy], axis=1)

    def _glorot(self, cells: int, ins: int, outs: int) -> np.ndarray:
        limit = (6 / (ins + outs)) ** 0.5
        return np.repeat(self.rng.uniform(-limit, limit, (1, ins, outs)).astype("float32"), cells, axis=0)

    def _penalty(self) -> np.ndarray:
        return sum(self.l2[:, 0, 0] * (w**2).sum(axis=(1, 2)) for w in self.weights[:2])  # pyright: ignore

    def _forward(self, x: np.ndarray, drop: bool = False) -> list[np.ndarray]:
        w1, w2, w3, b1, b2, b3 = self.weights
        first = np.einsum("bd,cdh->cbh", x, w1, optimize=True) + b1
        hidden1 = self._drop(np.maximum(first, 0), drop)
        hidden2 = self._drop(np.maximum(hidden1 @ w2 + b2, 0), drop)
        return [hidden1, hidden2, hidden2 @ w3 + b3]

    def _drop(self, hidden: np.ndarray, drop: bool) -> np.ndarray:
        kept = self.rng.random(hidden.shape, dtype="float32") >= self.dropout if drop else 1
        return hidden * kept / (1 - self.dropout) if drop else hidden

    def _score(self, logits: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Loss, accuracy, and the gradient at the logits."""
        if logits.shape[2] == 1:
            logits = np.concatenate([np.zeros_like(logits), logits], axis=2)
        shifted = logits - logits.max(axis=2, keepdims=True)
        probability = np.exp(shifted) / np.exp(shifted).sum(axis=2, keepdims=True)
        picked = probability[:, np.arange(len(y)), y]
        error = probability - np.eye(logits.shape[2], dtype="float32")[y]
        return -np.log(picked + 1e-7).mean(axis=1), (logits.argmax(axis=2) == y).mean(axis=1), error / len(y)

    def _step(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        hidden1, hidden2, logits = self._forward(x, drop=True)
        loss, accuracy, error = self._score(logits, y)
        error = error[:, :, 1:] if logits.shape[2] == 1 else error
        penalty = self._penalty()
        back2 = (error @ self.weights[2].swapaxes(1, 2)) * (hidden2 > 0) / (1 - self.dropout)
        back1 = (back2 @ self.weights[1].swapaxes(1, 2)) * (hidden1 > 0) / (1 - self.dropout)
        gradients = [
            np.einsum("bd,cbh->cdh", x, back1, optimize=True) + 2 * self.l2 * self.weights[0],
            hidden1.swapaxes(1, 2) @ back2 + 2 * self.l2 * self.weights[1],
            hidden2.swapaxes(1, 2) @ error,
            *(back.sum(axis=1, keepdims=True) for back in (back1, back2, error)),
        ]
        for weight, slot, gradient in zip(self.weights, self.slots, gradients, strict=True):
            self._update(weight, slot, gradient)
        return loss + penalty, accuracy

    def _update(self, weight: np.ndarray, slot: np.ndarray, gradient: np.ndarray) -> None:
        if self.optimizer == "momentum":
            slot *= 0.9
            slot += gradient
            weight -= self.rate * slot
        else:
            slot *= 0.9
            slot += 0.1 * gradient**2
            weight -= self.rate * gradient / (np.sqrt(slot) + 1e-7)


DEVELOPMENT: dict[str, Callable[[], np.ndarray]] = {
    "dense": lambda: train_grid(teacher(1, 6000, 64, 0.1), batch=256),
    "text": lambda: train_grid(text(2, 1500, 1000, 60, 0.3)),
    "noisy": lambda: train_grid(teacher(3, 600, 40, 0.3), batch=32),
}
HELD_OUT: dict[str, Callable[[], np.ndarray]] = {
    "classes": lambda: train_grid(teacher(4, 3000, 32, 0.05, classes=6), classes=6, batch=64),
    "momentum": lambda: train_grid(teacher(5, 3000, 48, 0.1), batch=64, optimizer="momentum"),
    "longtext": lambda: train_grid(text(6, 4000, 800, 120, 0.3), batch=128),
    "three": lambda: train_grid(teacher(7, 1500, 24, 0.15, classes=3), classes=3, units=12),
    "shorttext": lambda: train_grid(text(8, 800, 400, 40, 0.4), batch=32, units=8),
}
PROBLEMS = DEVELOPMENT | HELD_OUT
