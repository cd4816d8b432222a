"""How far moving averages are behind in short runs, and what that does to the validation loss.

    python benchmarks/batchnorm_lag.py [--nets conv_fashion mlp_cifar] [--seeds 3]

Trains small nets with Keras' BatchNormalization on few rows under `HealthMonitor`. After every epoch the model is
evaluated a second time with statistics taken again from the training rows, and put back. Prints, by how far behind the
layer is that is furthest behind, how many times the recalibrated validation loss the logged one is; how near the
monitor's estimate is to what recalibration finds; and what each run is called.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

import kregtools
from kregtools.callbacks import HealthMonitor
from kregtools.symptoms.settling import lags

EDGES = (1.0, 1.1, 1.25, 1.5, 2.0, 4.0, np.inf)
VALIDATION = 1000


class Net(NamedTuple):
    """What is trained, on how many rows, how long."""

    build: Callable[[tuple[int, ...]], keras.Model]
    data: str
    rows: int
    batch: int
    epochs: int
    rate: float


def conv(shape: tuple[int, ...]) -> keras.Model:
    """Four convolutions, each before BatchNormalization and relu."""
    model = keras.Sequential([keras.Input(shape)])
    for filters, strides in ((16, 1), (16, 2), (32, 2), (32, 1)):
        model.add(layers.Conv2D(filters, 3, strides, padding="same", use_bias=False))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def mlp(shape: tuple[int, ...]) -> keras.Model:
    """Two dense layers of 256, each before BatchNormalization and relu."""
    model = keras.Sequential([keras.Input(shape), layers.Flatten()])
    for _ in range(2):
        model.add(layers.Dense(256))
        model.add(layers.BatchNormalization())
        model.add(layers.ReLU())
    model.add(layers.Dense(10, activation="softmax"))
    return model


NETS = {
    "conv_fashion": Net(conv, "fashion_mnist", 4000, 128, 6, 3e-3),
    "conv_cifar": Net(conv, "cifar10", 4000, 128, 6, 3e-3),
    "conv_small": Net(conv, "cifar10", 800, 32, 25, 3e-3),
    "mlp_fashion": Net(mlp, "fashion_mnist", 3000, 64, 8, 1e-3),
    "mlp_cifar": Net(mlp, "cifar10", 2000, 64, 12, 1e-3),
}


class Recalibrated(keras.callbacks.Callback):
    """The validation loss with statistics taken again, and the variances they find, epoch by epoch."""

    def __init__(self, rows: np.ndarray, validation: tuple[np.ndarray, np.ndarray]) -> None:
        super().__init__()
        self.rows, self.validation = rows, validation
        self.losses: list[float] = []
        self.factors: list[list[float]] = []

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        weights = self.model.get_weights()
        shift = kregtools.recalibrate(self.model, self.rows)
        self.factors.append([float(np.exp(abs(np.log(layer.variance_ratio)))) for layer in shift.layers])
        self.losses.append(self.model.evaluate(*self.validation, batch_size=500, verbose=0))
        self.model.set_weights(weights)


def loaded(name: str, rows: int) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    parts = kregtools.datasets.load(name)
    scaled = [(x.reshape(*x.shape[:3], -1).astype("float32") / np.float32(255), y.ravel()) for x, y in parts]
    return tuple((x[:count], y[:count]) for (x, y), count in zip(scaled, (rows, VALIDATION), strict=True))  # pyright: ignore[reportReturnType]


def run(name: str, seed: int) -> tuple[HealthMonitor, Recalibrated]:
    net = NETS[name]
    training, validation = loaded(net.data, net.rows)
    keras.utils.set_random_seed(seed)
    model = net.build(training[0].shape[1:])
    model.compile(keras.optimizers.Adam(net.rate), "sparse_categorical_crossentropy")
    monitor, recalibrated = HealthMonitor(verbose=0), Recalibrated(training[0], validation)
    model.fit(
        *training,
        validation_data=validation,
        batch_size=net.batch,
        epochs=net.epochs,
        verbose=0,
        callbacks=[recalibrated, monitor],
    )
    return monitor, recalibrated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    worst, harm, errors = [], [], []
    print("| net | seed | validation loss, logged | recalibrated | its lowest epoch | called |\n|" + "---|" * 6)
    for name in options.nets:
        for seed in range(options.seeds):
            monitor, recalibrated = run(name, seed)
            record, diagnosis = monitor.record, monitor.diagnosis
            factors, logged = lags(record)[1], record.log("val_loss")
            worst += list(factors.max(axis=1))
            harm += list(logged / recalibrated.losses)
            errors += list(np.abs(np.log(factors) - np.log(recalibrated.factors)).ravel())
            found = ", ".join((diagnosis.verdict, *(symptom.name for symptom in diagnosis.symptoms)))
            last, lowest = recalibrated.losses[-1], int(np.argmin(recalibrated.losses)) + 1
            row = (name, seed, f"{logged[-1]:.2f}", f"{last:.2f}", f"{lowest} of {len(logged)}", found)
            print(f"| {' | '.join(map(str, row))} |", flush=True)
    print("\n| variance off by | epochs | validation loss / recalibrated, median (quartiles) |\n|---|---|---|")
    for low, high in itertools.pairwise(EDGES):
        ratios = np.array(harm)[(np.array(worst) >= low) & (np.array(worst) < high)]
        if len(ratios):
            quartiles = np.percentile(ratios, [50, 25, 75])
            print(f"| {low:g} to {high:g} | {len(ratios)} | {{:.2f}} ({{:.2f}} to {{:.2f}}) |".format(*quartiles))
    median, most = np.exp(np.percentile(errors, [50, 90]))
    print(f"\nThe estimate is off by a factor of {median:.2f} (median), {most:.2f} (9 of 10), of {len(errors)}.")


if __name__ == "__main__":
    main()
