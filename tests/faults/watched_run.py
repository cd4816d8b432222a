"""A small watched run, to be ended from outside: `python watched_run.py DIRECTORY EPOCHS`.

It prints a line after each epoch whose record is on disk.
"""

from __future__ import annotations

import signal
import sys
import time

import keras
import numpy as np

from kregtools.callbacks import HealthMonitor


class Told(keras.callbacks.Callback):
    """Tells which epochs are over; slow enough that a signal lands anywhere in them."""

    def on_train_batch_end(self, batch, logs=None):
        time.sleep(0.002)

    def on_epoch_end(self, epoch, logs=None):
        sys.stdout.write(f"{epoch}\n")
        sys.stdout.flush()


def main(directory: str, epochs: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    monitor = HealthMonitor(sample_every=1, directory=directory, verbose=0, resume=True)
    model.fit(x, x.sum(axis=1), epochs=epochs, batch_size=16, verbose=0, callbacks=[monitor, Told()])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
