"""What the augmentation of small images costs: `ShiftAndFlip` beside Keras' own layers, in a graph.

    python benchmarks/augmentation.py [--rounds 15]

A batch is 256 × 32 × 32 × 3. The variants take turns of 50 batches; the median and quartiles over the rounds, in
milliseconds for each batch, and of the ratio to `ShiftAndFlip` in the same round.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import partial

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf

import kregtools

BATCHES = 50


def variants() -> dict[str, keras.Layer]:
    layers = keras.layers
    translate = layers.RandomTranslation(4 / 32, 4 / 32, fill_mode="constant")
    return {
        "ShiftAndFlip": kregtools.layers.ShiftAndFlip(4),
        "RandomTranslation, RandomFlip": layers.Pipeline([translate, layers.RandomFlip("horizontal")]),
        "RandomFlip": layers.RandomFlip("horizontal"),
    }


def milliseconds(augment: Callable[[], object]) -> float:
    start = time.perf_counter()
    for _ in range(BATCHES):
        augment()
    return 1000 * (time.perf_counter() - start) / BATCHES


def quartiles(values: np.ndarray) -> str:
    low, median, high = np.percentile(values, (25, 50, 75))
    return f"{median:6.2f} ({low:.2f} to {high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    images = tf.constant(np.random.default_rng(0).uniform(size=(256, 32, 32, 3)).astype("float32"))
    functions = {name: tf.function(partial(layer, images)) for name, layer in variants().items()}
    for augment in functions.values():
        milliseconds(augment)
    times = {name: [] for name in functions}
    for _ in range(rounds):
        for name, augment in functions.items():
            times[name].append(milliseconds(augment))
    ours = np.array(times["ShiftAndFlip"])
    print(f"{rounds} rounds of {BATCHES} batches, {os.cpu_count()} CPU cores, keras {keras.__version__}")
    for name, found in times.items():
        print(f"{name:32}{quartiles(np.array(found))} ms   {quartiles(np.array(found) / ours)} times")


if __name__ == "__main__":
    main()
