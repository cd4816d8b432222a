"""Small searches for processes that are killed: `python small_search.py DIRECTORY WORKERS TRIALS FAULT`."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np

import kregtools
from kregtools.tuning import GuidedOracle, Tuner, TuningResult

RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype("float32")
Y = (X[:, 0] + X[:, 1] > 0).astype("float32")
FIT = {"x": X[:64], "y": Y[:64], "validation_data": (X[64:], Y[64:]), "epochs": 2, "batch_size": 32}


def build(hp: keras_tuner.HyperParameters) -> keras.Model:
    l2 = hp.Float("l2", 1e-6, 1e-1, sampling="log", default=1e-3)
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log", default=1e-2)
    hidden = keras.layers.Dense(8, "relu", kernel_regularizer=keras.regularizers.L2(l2))
    model = keras.Sequential([keras.Input((4,)), hidden, keras.layers.Dense(1, "sigmoid")])
    model.compile(keras.optimizers.SGD(rate), "binary_crossentropy", metrics=["accuracy"])
    return model


class Fault(keras.callbacks.Callback):
    """Kills a process in a trial that is not the default: once, whenever that is run again, or each process once."""

    def __init__(self, kind: str, directory: str) -> None:
        super().__init__()
        self.kind, self.mark = kind, Path(directory).with_suffix(".killed")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        l2, rate = float(self.model.layers[0].kernel_regularizer.l2), float(self.model.optimizer.learning_rate)
        trial, default = f"{l2:.6g},{rate:.6g}", "0.001,0.01"
        begun = self.mark.read_text() if self.mark.exists() else ""
        again = (self.kind == "always" and f"{trial} " in begun) or (self.kind == "each" and len(begun.split()) < 4)
        if self.kind == "none" or trial == default or (begun and not again):
            return
        with self.mark.open("a") as file:
            file.write(f"{os.getpid()} {trial} ")
        parent = self.mark.with_suffix(".parent")
        os.kill(int(parent.read_text()) if self.kind == "parent" else os.getpid(), signal.SIGKILL)


def search(directory: str, workers: int, trials: int, fault: str) -> TuningResult:
    Path(directory).with_suffix(".parent").write_text(str(os.getpid()))
    return kregtools.tune(
        build,
        (FIT["x"], FIT["y"]),
        FIT["validation_data"],
        epochs=2,
        batch_size=32,
        trials=trials,
        workers=workers,
        directory=directory,
        callbacks=[Fault(fault, directory)],
        verbose=0,
    )


def cluster(directory: str, trials: int) -> None:
    """The same script in a chief and its workers, as KerasTuner has it."""
    tuner = Tuner(GuidedOracle("val_accuracy", trials, 5), build, directory)
    tuner.search(**FIT)


if __name__ == "__main__":
    place, workers, trials, fault = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    if fault == "cluster":
        cluster(place, trials)
    else:
        print(search(place, workers, trials, fault).frame().to_json(orient="records"))
