"""Trains on two replicas, watched and not, and prints as JSON what came of it; run by test_replicas.py."""

import json
import sys

import tensorflow as tf

CPU = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(CPU, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402
import numpy as np  # noqa: E402
from cases_settings import dense, mixed  # noqa: E402
from cases_structure import compiled, residual, stack  # noqa: E402
from cases_vision import plain_norm  # noqa: E402
from keras import layers  # noqa: E402
from steps_tensorflow import OwnStep  # noqa: E402
from watched import (  # noqa: E402
    ACTIVATION,
    IMAGES,
    Case,
    Run,
    X,
    Y,
    arrays,
    differences,
    gaps,
    is_as_before,
    run,
    without_retracing,
)

from kregtools.callbacks import HealthMonitor  # noqa: E402

STRATEGY = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
FEED = arrays(X, Y, shuffle=False, batch_size=32)
# Parts of a batch do not determine them.
APPROXIMATE = {"row_std", "feature_mean_min", "feature_mean_max", "feature_std_min", "feature_std_max"}


def embedded() -> keras.Model:
    rows = layers.Lambda(lambda x: keras.ops.cast(x * 10, "int32"))
    return stack(rows, layers.Embedding(11, 4), layers.Flatten(), layers.Dense(1))


def plain_dense() -> keras.Model:
    """Nothing in it depends on the other rows of its batch."""
    body = [layers.Dense(8, activation="relu", name="hidden"), layers.Dense(1, activation="sigmoid", name="top")]
    return stack(*body, loss="binary_crossentropy")


CASES = {
    "dense": Case(dense, FEED),
    "partial last batch": Case(dense, arrays(X, Y, shuffle=False, batch_size=20)),
    "residual": Case(residual, FEED),
    "batchnorm": Case(plain_norm, arrays(IMAGES, Y[:64], batch_size=16, shuffle=False)),
    "embedding": Case(embedded, FEED, without={"lambda": {ACTIVATION}}),
    "own step": Case(lambda: compiled(OwnStep()), FEED),
    "mixed_float16": Case(mixed("mixed_float16"), FEED),
}


def on_two(case: Case) -> Case:
    def build() -> keras.Model:
        with STRATEGY.scope():
            return case.build()

    return Case(build, case.feed, without=case.without)


def trained(case: Case, *monitors: HealthMonitor) -> Run:
    found = run(case, monitors)
    without_retracing(found)
    return found


def compare(name: str) -> dict[str, object]:
    case, found = on_two(CASES[name]), {}
    plain = trained(case)
    for every in (1, 3):
        monitor = HealthMonitor(sample_every=every, verbose=0)
        watched = trained(case, monitor)
        found[str(every)] = {
            "differences": differences(watched, plain),
            "gaps": gaps(watched.model, monitor, case.without),
            "as before": is_as_before(watched.model),
        }
    if any(each["differences"] for each in found.values()):
        found["of the unmonitored twin"] = differences(trained(case), plain)
    return found


def merged(details: bool) -> dict[str, object]:
    """The first step on two replicas against the same on one: what is furthest apart."""
    frames = []
    for case in (Case(plain_dense, FEED), on_two(Case(plain_dense, FEED))):
        monitor = HealthMonitor(sample_every=1, verbose=0, details=details)
        run(case, [monitor])
        frame = monitor.record.frame()
        columns = ["layer", "tensor", "statistic"]
        frames.append(frame[frame.step == 0].assign(layer=frame.layer.str.replace("_1", "")).set_index(columns).value)
    one, two = frames
    same = one.index.intersection(two.index)
    # Adam's first step is the sign of the gradient: the size of an update says nothing of rounding.
    apart = (one[same] - two[same]).abs() / np.maximum(one[same].abs(), 1e-3)
    apart[np.isnan(one[same].to_numpy()) & np.isnan(two[same].to_numpy())] = 0.0
    missing = [list(key) for key in one.index.symmetric_difference(two.index)]
    return {
        "compared": len(same),
        "missing": missing,
        "apart": {str(key): float(v) for key, v in apart.items() if not v < (0.2 if key[2] in APPROXIMATE else 1e-5)},
    }


if __name__ == "__main__":
    results: dict[str, object] = {}
    for each in CASES:
        try:
            results[each] = compare(each)
        except Exception as error:
            results[each] = {"failed": f"{type(error).__name__}: {error}"}
    for name, details in (("merged", True), ("merged, at the least cost", False)):
        try:
            results[name] = merged(details)
        except Exception as error:
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
    json.dump(results, sys.stdout)
