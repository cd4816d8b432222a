"""What BatchNormalization is worth under dropout, by where its statistics come from.

    python benchmarks/batchnorm.py [--nets mlp cnn] [--seeds 5] [--results batchnorm.jsonl] [--cost]

Trains small nets in which dropout feeds BatchNormalization, each seed twice with the same steps: as Keras does, and
in `DropoutFreeStatistics`. The statistics do not act on training, so that all figures of a net share their weights,
and differ by the statistics alone. Prints a table of test error in per cent and negative log likelihood: with the
moving average the mean over n seeds, else the mean paired difference from it (its sd). What was done is kept in the
results file, a line a seed, and not done again. `--cost` prints what following the statistics and taking them again
cost beside training.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

import kregtools
from kregtools._populations import Population
from kregtools.layers import DropoutAwareBatchNormalization, DropoutFreeStatistics

BATCH, SAMPLES = 128, 8192
METHODS = {
    "moving": "moving average",
    "on": "taken again, dropout on",
    "off": "taken again, dropout off",
    "variance": "the same, variance only",
    "followed": "followed in training",
}
Split = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def fashion() -> Split:
    (x, y), (x_test, y_test) = kregtools.datasets.load("fashion_mnist")
    return x[:20000, ..., None] / np.float32(255), y[:20000], x_test[..., None] / np.float32(255), y_test


def cifar() -> Split:
    (x, y), (x_test, y_test) = kregtools.datasets.load("cifar10")
    x, x_test = (part / np.float32(127.5) - np.float32(1) for part in (x[:8192], x_test[:5000]))
    return x, y[:8192, 0], x_test, y_test[:5000, 0]


def mlp(width: int) -> keras.Model:
    """Dropout at half, a kernel, BatchNormalization, four times."""
    block = [
        (layers.Dropout(0.5), layers.Dense(width, use_bias=False), DropoutAwareBatchNormalization(), layers.ReLU())
        for _ in range(4)
    ]
    top = layers.Dense(10, activation="softmax")
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *sum(block, ()), top])


def direct() -> keras.Model:
    """BatchNormalization right behind dropout."""
    block = [
        (layers.Dense(64, activation="relu"), layers.Dropout(0.5), DropoutAwareBatchNormalization()) for _ in range(4)
    ]
    top = layers.Dense(10, activation="softmax")
    return keras.Sequential([keras.Input((28, 28, 1)), layers.Flatten(), *sum(block, ()), top])


def cnn() -> keras.Model:
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for filters, strides in ((16, 2), (32, 1), (32, 2), (64, 2)):
        model.add(layers.Conv2D(filters, 3, strides, padding="same", use_bias=False))
        model.add(DropoutAwareBatchNormalization())
        model.add(layers.ReLU())
        model.add(layers.Dropout(0.3))
    model.add(layers.GlobalAveragePooling2D())
    model.add(layers.Dense(10, activation="softmax"))
    return model


def densenet(growth: int = 8, depth: int = 3, rate: float = 0.2) -> keras.Model:
    """Three dense blocks, dropout behind every convolution, as in Hendrycks & Gimpel, smaller."""

    def convolved(h: Any, filters: int, size: int) -> Any:
        h = layers.ReLU()(DropoutAwareBatchNormalization()(h))
        return layers.Dropout(rate)(layers.Conv2D(filters, size, padding="same", use_bias=False)(h))

    inputs = keras.Input((32, 32, 3))
    h = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    for block in range(3):
        for _ in range(depth):
            h = layers.Concatenate()([h, convolved(h, growth, 3)])
        if block < 2:
            h = layers.AveragePooling2D(2)(convolved(h, h.shape[-1], 1))
    h = layers.GlobalAveragePooling2D()(layers.ReLU()(DropoutAwareBatchNormalization()(h)))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(h))


NETS: dict[str, tuple[str, Callable[[], keras.Model], Callable[[], Split], int]] = {
    "mlp": ("dropout .5, dense 32, BatchNorm, four times; Fashion-MNIST", lambda: mlp(32), fashion, 15),
    "direct": ("dense 64, relu, dropout .5, BatchNorm, four times; Fashion-MNIST", direct, fashion, 15),
    "wide": ("dropout .5, dense 512, BatchNorm, four times; Fashion-MNIST", lambda: mlp(512), fashion, 5),
    "cnn": ("convolutional, 16 to 64 filters, dropout .3; CIFAR-10, 8,192 rows", cnn, cifar, 10),
    "densenet": ("DenseNet, 3 blocks of 3, growth 8, dropout .2; CIFAR-10, 8,192 rows", densenet, cifar, 10),
}


def trained(net: str, seed: int, follow: bool, data: Split) -> tuple[keras.Model, float]:
    """The network after training, and the seconds that took."""
    _, build, _, epochs = NETS[net]
    keras.utils.set_random_seed(seed)
    model = build()
    x, y = data[:2]
    body = DropoutFreeStatistics(model) if follow else model
    whole = keras.Sequential([keras.Input(x.shape[1:]), body])
    rate = keras.optimizers.schedules.CosineDecay(3e-3, epochs * -(-len(x) // BATCH))
    whole.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", jit_compile=False)
    began = time.perf_counter()
    whole.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model, time.perf_counter() - began


def tested(model: keras.Model, data: Split) -> list[float]:
    """Error in per cent, and the mean negative log likelihood."""
    predictions = model.predict(data[2], batch_size=1000, verbose=0).astype("float64")
    likelihood = predictions[np.arange(len(predictions)), data[3]]
    return [
        float(np.mean(predictions.argmax(1) != data[3]) * 100),
        float(-np.log(np.maximum(likelihood, 1e-12)).mean()),
    ]


def retake_with_dropout(model: keras.Model, x: np.ndarray) -> None:
    """What `torch.optim.swa_utils.update_bn` does: the statistics of the population, taken in training mode."""
    norms = [layer for layer in model.layers if isinstance(layer, DropoutAwareBatchNormalization)]
    populations = [Population() for _ in norms]
    stack = [norm.collecting(population.add) for norm, population in zip(norms, populations, strict=True)]
    for context in stack:
        context.__enter__()
    for rows in np.array_split(np.random.default_rng(0).permutation(len(x))[:SAMPLES], SAMPLES // 512):
        model(x[rows], training=True)
    for context in stack:
        context.__exit__(None, None, None)
    for norm, population in zip(norms, populations, strict=True):
        norm.moving_mean.assign(population.mean)
        norm.moving_variance.assign(population.variance)


def measured(net: str, seed: int) -> dict[str, Any]:
    """Everything that is to be known of one net and seed."""
    data = NETS[net][2]()
    model, _ = trained(net, seed, False, data)
    moving = model.get_weights()
    found: dict[str, Any] = {"net": net, "seed": seed, "moving": tested(model, data)}
    retake_with_dropout(model, data[0])
    found["on"] = tested(model, data)
    model.set_weights(moving)
    kregtools.recalibrate(model, data[0], update="variance", samples=SAMPLES)
    found["variance"] = tested(model, data)
    model.set_weights(moving)
    shift = kregtools.recalibrate(model, data[0], samples=SAMPLES)
    found["off"] = tested(model, data)
    found["ratios"] = [layer.variance_ratio for layer in shift.layers]
    weights = [np.array(weight) for weight in model.trainable_weights]
    model, _ = trained(net, seed, True, data)
    pairs = zip(weights, model.trainable_weights, strict=True)
    found["weights apart"] = max(float(np.abs(a - np.array(b)).max()) for a, b in pairs)
    found["followed"] = tested(model, data)
    return found


def table(results: list[dict[str, Any]]) -> str:
    others = [words for method, words in METHODS.items() if method != "moving"]
    lines = [
        f"| net | n | largest variance ratio | {METHODS['moving']} | {' | '.join(others)} |",
        "|" + "---|" * (len(others) + 4),
    ]
    for net in NETS:
        runs = [result for result in results if result["net"] == net]
        if not runs:
            continue
        base = np.array([run["moving"] for run in runs])
        largest = np.median([np.exp(np.abs(np.log(run["ratios"])).max()) for run in runs])
        cells = [NETS[net][0], str(len(runs)), f"{largest:.2f}", f"{base[:, 0].mean():.2f} %, {base[:, 1].mean():.3f}"]
        for method in METHODS:
            apart = np.array([run[method] for run in runs]) - base
            sd = [_sd(column) for column in apart.T]
            error, nll = apart.mean(axis=0)
            if method != "moving":
                cells.append(f"{error:+.2f} ({sd[0]:.2f}), {nll:+.3f} ({sd[1]:.3f})")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _sd(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")


def cost(net: str, turns: int = 4) -> str:
    """CPU seconds of an epoch, plain and with the statistics followed, taking turns; and of taking them again."""
    data = NETS[net][2]()
    x, y = data[0][:SAMPLES], data[1][:SAMPLES]
    model = NETS[net][1]()
    bodies = {"plain": model, "followed": DropoutFreeStatistics(model), "32 rows": DropoutFreeStatistics(model, 32)}
    fits = {}
    for name, body in bodies.items():
        fits[name] = keras.Sequential([keras.Input(x.shape[1:]), body])
        fits[name].compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
        fits[name].fit(x[:BATCH], y[:BATCH], batch_size=BATCH, verbose=0)
    seconds: dict[str, list[float]] = {name: [] for name in (*fits, "taken again")}
    for _ in range(turns):
        for name, fit in fits.items():
            began = time.process_time()
            fit.fit(x, y, batch_size=BATCH, verbose=0)
            seconds[name].append(time.process_time() - began)
        began = time.process_time()
        kregtools.recalibrate(model, x, samples=SAMPLES)
        seconds["taken again"].append(time.process_time() - began)
    plain = float(np.min(seconds["plain"]))
    shares = [
        np.min(seconds[name]) / plain - (name != "taken again") for name in ("followed", "32 rows", "taken again")
    ]
    return f"| {net} | {plain:.2f} s | " + " | ".join(f"{share:+.0%}" for share in shares) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=NETS, default=list(NETS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--results", type=Path, default=Path("batchnorm.jsonl"))
    parser.add_argument("--most", type=int, default=None, help="how many seeds of nets to do now")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        print(f"Share of the CPU seconds of an epoch of {SAMPLES} rows, the least of four turns:\n")
        print("| net | epoch | followed | followed, 32 rows | taken again |")
        print("|---|---|---|---|---|")
        for net in options.nets:
            print(cost(net), flush=True)
        return
    results = (
        [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    )
    done = {(result["net"], result["seed"]) for result in results}
    wanted = [(net, seed) for seed in range(options.seeds) for net in options.nets if (net, seed) not in done]
    for net, seed in wanted[: options.most]:
        results.append(measured(net, seed))
        with options.results.open("a") as file:
            file.write(json.dumps(results[-1]) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
