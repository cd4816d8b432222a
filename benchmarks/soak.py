"""A long watched run: does the process, or its record, grow without end?

python benchmarks/soak.py                     10,000 epochs of a small network
python benchmarks/soak.py --minutes 120       for so long
python benchmarks/soak.py --plain             the same without a monitor: what Keras itself needs

The process' memory and the size of the record at ten moments of the run; "grown" is from a tenth of the run on, when
everything is loaded and traced.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil

from kregtools.callbacks import HealthMonitor

MOMENTS = 10


class Sizes(keras.callbacks.Callback):
    """Notes memory and record size whenever a tenth of the run is over; ends the run when its time is up."""

    def __init__(self, directory: Path, epochs: int, minutes: float) -> None:
        super().__init__()
        self.directory, self.epochs, self.seconds = directory, epochs, 60 * minutes
        self.rows: list[dict[str, Any]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.began, self.worked = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        seconds = time.perf_counter() - self.began
        part = max((epoch + 1) / self.epochs, seconds / self.seconds)
        if part * MOMENTS < len(self.rows) + 1:
            return
        record = sum(path.stat().st_size for path in self.directory.rglob("*") if path.is_file())
        memory = psutil.Process().memory_info().rss
        worked = time.process_time() - self.worked
        self.rows.append({"epoch": epoch + 1, "worked": worked, "memory": memory, "record": record})
        print(f"epoch {epoch + 1}: {seconds:.0f} s, {memory / 1e6:.1f} MB, record {record / 1e3:.0f} kB", flush=True)
        self.model.stop_training = part >= 1


def network() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((8,)),
            keras.layers.Dense(16, "relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, help="default: 10000, or as many as the minutes allow")
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--plain", action="store_true", help="without a monitor")
    options = parser.parse_args()
    epochs = options.epochs or (10_000 if math.isinf(options.minutes) else 10**9)
    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(320, 8)).astype("float32")
    y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 1)
    with tempfile.TemporaryDirectory() as name:
        sizes = Sizes(Path(name), epochs, options.minutes)
        monitors = [] if options.plain else [HealthMonitor(directory=name, verbose=0)]
        network().fit(
            x[:256], y[:256], batch_size=64, epochs=epochs, validation_data=(x[256:], y[256:]), verbose=0,
            callbacks=[*monitors, sizes],
        )  # fmt: skip
    early, late = sizes.rows[0], sizes.rows[-1]
    epochs = late["epoch"] - early["epoch"]
    print(
        f"grown from epoch {early['epoch']} on: memory {late['memory'] / early['memory'] - 1:+.2%}, "
        f"record {(late['record'] - early['record']) / epochs:.0f} bytes an epoch; "
        f"{1000 * (late['worked'] - early['worked']) / epochs:.1f} ms of CPU an epoch"
    )


if __name__ == "__main__":
    main()
