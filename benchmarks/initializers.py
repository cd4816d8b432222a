"""What initializers do to a signal on its way through a deep network, and which of them let one learn.

    python benchmarks/initializers.py propagation [--draws 10] [--only NETWORK] [--initializers NAME ...] [--table FILE]
    python benchmarks/initializers.py training    [--seeds 5] [--only NETWORK] [--initializers NAME ...] [--table FILE]

propagation: the std of the last layer's output before its activation over that of the first, dropout on, at random
weights, by network, share of units that dropout keeps, and activation: the median over the draws and their range.
"lsuv, seen" is on the batch and the dropout that it measured, everything else on fresh ones. The first layer's input
is data: there `DropoutAware` and its kind are told "linear" and no dropout.

training: plain relu networks without normalization after a fixed number of epochs: training loss, in inference mode,
and test accuracy, mean and standard deviation over the seeds. The paper's VGG is here at a quarter of its width and
half of its resolution.

Each case is written to the table as soon as it is there; what the table holds already is not run again.
"""

from __future__ import annotations

import argparse
import csv
import functools
import itertools
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pandas as pd

import kregtools
from kregtools.initializers import DropoutAware

ACTIVATIONS = ("relu", "leaky_relu", "elu", "selu", "tanh", "gelu", "silu", "mish")
KEEPS = (1.0, 0.9, 0.7, 0.5)
# What torch.nn.init.calculate_gain recommends; it knows nothing of the others, which are left at 1.
TORCH_GAIN = {"relu": math.sqrt(2), "leaky_relu": math.sqrt(2 / (1 + 0.2**2)), "tanh": 5 / 3, "selu": 3 / 4}
layers, ops = keras.layers, keras.ops
# Makes the initializer of a kernel from the activation and the rate of dropout before it.
Make = Callable[[str, float], keras.initializers.Initializer]
STATIC: dict[str, Make] = {
    "GlorotUniform": lambda activation, rate: keras.initializers.GlorotUniform(),
    "HeNormal": lambda activation, rate: keras.initializers.HeNormal(),
    "LecunNormal": lambda activation, rate: keras.initializers.LecunNormal(),
    "Orthogonal": lambda activation, rate: keras.initializers.Orthogonal(),
    "Orthogonal, torch's gain": lambda activation, rate: keras.initializers.Orthogonal(TORCH_GAIN.get(activation, 1.0)),
    "DropoutAware, sum": lambda activation, rate: DropoutAware(activation, rate, mode="sum"),
    "DropoutAware, average": lambda activation, rate: DropoutAware(activation, rate, mode="average"),
    "DropoutAware, backward": lambda activation, rate: DropoutAware(activation, rate, mode="backward"),
    "DropoutAware, forward": lambda activation, rate: DropoutAware(activation, rate, mode="forward"),
}


class Table:
    """Rows on disk, each written when it is known."""

    def __init__(self, path: Path, keys: tuple[str, ...]) -> None:
        self.path, self.keys = path, keys
        self.done = set()
        if path.exists():
            self.done = {tuple(row) for row in self.frame()[list(keys)].astype(str).to_numpy()}

    def has(self, *key: Any) -> bool:
        return tuple(str(part) for part in key) in self.done

    def add(self, row: dict[str, Any]) -> None:
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)

    def frame(self) -> pd.DataFrame:
        return pd.read_csv(self.path)


PROPAGATED = (
    *(name for name in STATIC if name not in ("DropoutAware, average", "DropoutAware, backward")),
    *("lsuv, as published", "lsuv, seen", "lsuv", "lsuv, std=4"),
)


class Deep(NamedTuple):
    """A network of equal layers, and the shape of its input."""

    depth: int
    shape: tuple[int, ...]
    rows: int
    layer: Callable[[], keras.Layer]


DEEP = {
    "30 dense": Deep(30, (256,), 256, lambda: layers.Dense(256)),
    "100 dense": Deep(100, (256,), 256, lambda: layers.Dense(256)),
    "20 conv": Deep(20, (32, 32, 64), 8, lambda: layers.Conv2D(64, 3, padding="same")),
}


@functools.lru_cache(maxsize=2)
def deep_model(network: Deep, activation: str, rate: float) -> Any:
    """The network; its outputs are those of the first and the last layer, before the activation."""
    h = inputs = keras.Input(network.shape)
    outputs = []
    for _ in range(network.depth):
        h = network.layer()(h)
        outputs.append(h)
        h = layers.Dropout(rate)(layers.Activation(activation)(h))
    return keras.Model(inputs, [outputs[0], outputs[-1]])


def draw(model: Any, make: Make, seed: int) -> None:
    """Gives every kernel new values, from what stands before it, and every bias zeros."""
    seeds = keras.random.SeedGenerator(seed)
    activation, rate = "linear", 0.0
    for layer in model.layers:
        if isinstance(layer, layers.Dropout):
            rate = layer.rate
        elif isinstance(layer, layers.Activation):
            activation = layer.get_config()["activation"]
        elif isinstance(layer, (layers.Dense, layers.Conv2D)):
            initializer = make(activation, rate)
            initializer.seed = seeds
            layer.kernel.assign(initializer(layer.kernel.shape))
            layer.bias.assign(ops.zeros(layer.bias.shape))


def ratio(model: Any, x: np.ndarray) -> float:
    first, last = (np.asarray(ops.convert_to_numpy(output), "float64") for output in model(x, training=True))
    return float(last.std() / first.std())


def propagate(network: Deep, activation: str, keep: float, seed: int, names: list[str]) -> Iterator[tuple[str, float]]:
    """The ratio of each initializer for one draw of weights, data and dropout."""
    noisy, quiet = (deep_model(network, activation, rate) for rate in (1 - keep, 0.0))
    rng = np.random.default_rng(seed)
    seen, fresh = (rng.normal(size=(network.rows, *network.shape)).astype("float32") for _ in range(2))
    for name, before in zip(names, ["", *names], strict=False):
        if name in STATIC:
            draw(noisy, STATIC[name], seed)
        elif name == "lsuv, as published":
            kregtools.lsuv(quiet, seen, seed=seed)
            noisy.set_weights(quiet.get_weights())
        elif (before, name) != ("lsuv, seen", "lsuv"):  # The same weights, on other data.
            kregtools.lsuv(noisy, seen, std=4.0 if name == "lsuv, std=4" else 1.0, seed=seed)
        yield name, ratio(noisy, seen if name == "lsuv, seen" else fresh)


def propagation(table: Table, draws: int, only: str | None, names: list[str]) -> None:
    networks = [name for name in DEEP if only in (None, name)]
    for name, keep, activation in itertools.product(networks, KEEPS, ACTIVATIONS):
        for seed in range(draws):
            case = {"network": name, "seed": seed, "keep": keep, "activation": activation}
            missing = [each for each in names if not table.has(*case.values(), each)]
            for initializer, value in propagate(DEEP[name], activation, keep, seed, missing) if missing else ():
                table.add({**case, "initializer": initializer, "ratio": value})
    for (name, keep), part in table.frame().groupby(["network", "keep"], sort=False):
        print(f"\n{name}, keep {keep:g}, {part.seed.nunique()} draws: median (smallest to largest)\n")
        grouped = part.groupby(["initializer", "activation"], sort=False).ratio
        cells = grouped.agg(lambda r: f"{r.median():.2g} ({r.min():.2g} to {r.max():.2g})").unstack()
        show(cells.reindex(columns=[each for each in ACTIVATIONS if each in cells]))


def show(cells: pd.DataFrame) -> None:
    """Prints a table as markdown."""
    print(f"| {cells.index.name} | " + " | ".join(cells.columns) + " |")
    print("|---" * (len(cells.columns) + 1) + "|")
    for name, row in cells.iterrows():
        print(f"| {name} | " + " | ".join("" if pd.isna(cell) else str(cell) for cell in row) + " |", flush=True)


class Setting(NamedTuple):
    """A network to train, by its layers' rates of dropout, with the data and the time it has."""

    build: Callable[[], keras.Model]
    optimizer: Callable[[], keras.optimizers.Optimizer]
    data: str
    rows: int
    epochs: int
    batch: int = 128


def dense(depth: int, width: int, rate: float) -> keras.Model:
    h = inputs = keras.Input((28, 28))
    h = layers.Flatten()(h)
    for _ in range(depth):
        h = layers.Dropout(rate)(layers.Activation("relu")(layers.Dense(width)(h)))
    return keras.Model(inputs, layers.Dense(10)(h))


def vgg() -> keras.Model:
    """The paper's network, dropout as there, a quarter of its width and half of its resolution."""
    h = inputs = keras.Input((32, 32, 3))
    h = layers.AveragePooling2D(2)(h)
    for count, filters in ((2, 16), (2, 32), (3, 64), (3, 128), (3, 128)):
        for index in range(count):
            if index:
                h = layers.Dropout(0.3 if filters == 16 else 0.4)(h)
            h = layers.Conv2D(filters, 3, padding="same", kernel_regularizer=keras.regularizers.L2(5e-4))(h)
            h = layers.Activation("relu")(h)
        h = layers.MaxPooling2D(2, padding="same")(h)
    h = layers.Dropout(0.5)(layers.Flatten()(h))
    h = layers.Dropout(0.5)(layers.Activation("relu")(layers.Dense(128)(h)))
    return keras.Model(inputs, layers.Dense(10)(h))


def adam() -> keras.optimizers.Optimizer:
    return keras.optimizers.Adam(1e-3)


def nesterov() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(1e-2, momentum=0.9, nesterov=True)


SETTINGS = {
    "dense 50 x 96": Setting(lambda: dense(50, 96, 0.0), adam, "fashion_mnist", 8192, 8),
    "dense 50 x 96, dropout .5": Setting(lambda: dense(50, 96, 0.5), adam, "fashion_mnist", 8192, 8),
    "dense 7 x 128, dropout .5": Setting(lambda: dense(7, 128, 0.5), adam, "fashion_mnist", 8192, 8),
    "VGG / 4, Adam": Setting(vgg, adam, "cifar10", 16384, 6, batch=64),
    "VGG / 4, Nesterov": Setting(vgg, nesterov, "cifar10", 16384, 6, batch=64),
}
TRAINED = ("GlorotUniform", "HeNormal", *(name for name in STATIC if name.startswith("DropoutAware")), "lsuv")


def restart(model: Any, initializer: str, x: np.ndarray, seed: int) -> None:
    """Gives a model that was trained before new weights, and its optimizer no memory."""
    keras.utils.set_random_seed(seed)
    if initializer == "lsuv":
        draw(model, STATIC["GlorotUniform"], seed)
        kregtools.lsuv(model, x, seed=seed)
    else:
        draw(model, STATIC[initializer], seed)
    for variable in model.optimizer.variables:
        if variable is not model.optimizer._learning_rate:
            variable.assign(ops.zeros(variable.shape, variable.dtype))


def training(table: Table, seeds: int, only: str | None, names: list[str]) -> None:
    for name, setting in SETTINGS.items():
        if only not in (None, name):
            continue
        (x, y), (x_test, y_test) = kregtools.datasets.load(setting.data)
        x, x_test = (images[: setting.rows].astype("float32") / 255 for images in (x, x_test))
        x, x_test, y, y_test = (
            (x - x.mean()) / x.std(),
            (x_test - x.mean()) / x.std(),
            y[: len(x)],
            y_test[: len(x_test)],
        )
        model: Any = setting.build()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(setting.optimizer(), loss, metrics=["accuracy"])
        model.optimizer.build(model.trainable_variables)
        for seed in range(seeds):
            for initializer in names:
                if table.has(name, seed, initializer):
                    continue
                restart(model, initializer, x, seed)
                model.fit(x, y, batch_size=setting.batch, epochs=setting.epochs, verbose=0)
                last = model.evaluate(x, y, batch_size=512, verbose=0, return_dict=True)["loss"]
                accuracy = model.evaluate(x_test, y_test, batch_size=512, verbose=0, return_dict=True)["accuracy"]
                case = {"network": name, "seed": seed, "initializer": initializer}
                table.add({**case, "train_loss": last, "test_accuracy": accuracy})
    frame = table.frame()
    for name, part in frame.groupby("network", sort=False):
        print(f"\n{name}, {part.seed.nunique()} seeds: mean ± standard deviation\n")
        grouped = part.groupby("initializer", sort=False)[["train_loss", "test_accuracy"]]
        show(grouped.agg(lambda v: f"{v.mean():.3g} ± {v.std():.2g}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("propagation", "training"))
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=(*DEEP, *SETTINGS))
    parser.add_argument("--initializers", nargs="+", choices=sorted({*PROPAGATED, *TRAINED}))
    parser.add_argument("--table", type=Path)
    options = parser.parse_args()
    path = options.table or Path(f"{options.what}.csv")
    if options.what == "propagation":
        keys = ("network", "seed", "keep", "activation", "initializer")
        propagation(Table(path, keys), options.draws, options.only, options.initializers or list(PROPAGATED))
    else:
        table = Table(path, ("network", "seed", "initializer"))
        training(table, options.seeds, options.only, options.initializers or list(TRAINED))


if __name__ == "__main__":
    main()
