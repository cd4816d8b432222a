"""Ways to hand the data to `fit`; each case makes its data anew for every fit."""

import keras
import numpy as np
from cases_settings import dense
from cases_structure import branches, compiled, lists
from keras import layers
from watched import Case, X, Y, arrays

WEIGHTS = X[:, 0] + 0.5


class Batches(keras.utils.PyDataset):
    """Moves its rows at random, shuffles itself after every epoch, and ends on a small batch."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.order = np.arange(len(X))
        self.random = np.random.default_rng(1)

    def __len__(self):
        return 5

    def __getitem__(self, index):
        rows = self.order[20 * index : 20 * (index + 1)]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.random.shuffle(self.order)


def generated(batches: int | None):
    """No two batches are alike, so that one left out, or taken twice, would tell."""
    made, draw = 0, np.random.default_rng(2)
    while batches is None or made < batches:
        rows = draw.permutation(len(X))[:20]
        made += 1
        yield X[rows], Y[rows], WEIGHTS[rows]


def named(**settings) -> keras.Model:
    inputs = {name: keras.Input((6,), name=name) for name in ("left", "right")}
    joined = layers.Concatenate()([layers.Dense(4, activation="relu")(each) for each in inputs.values()])
    return compiled(keras.Model(inputs, {"out": layers.Dense(1, name="out")(joined)}), {"out": "mse"}, **settings)


HALVES = {"left": X[:, :6], "right": X[:, 6:]}
CASES = {
    "generator": Case(dense, lambda: {"x": generated(15), "steps_per_epoch": 5}),
    "generator without end": Case(dense, lambda: {"x": generated(None), "steps_per_epoch": 4}),
    "generator, steps_per_execution": Case(
        lambda: dense(steps_per_execution=2), lambda: {"x": generated(15), "steps_per_epoch": 5}
    ),
    "PyDataset": Case(dense, lambda: {"x": Batches()}),
    "PyDataset, workers": Case(dense, lambda: {"x": Batches(workers=2), "shuffle": False}),
    "dicts": Case(named, arrays(HALVES, {"out": Y})),
    "dicts, sample_weight": Case(named, arrays(HALVES, {"out": Y}, sample_weight={"out": WEIGHTS})),
    "tuples": Case(lists, arrays((X, X), (Y, X[:, :2]), sample_weight=(WEIGHTS, WEIGHTS))),
    "no batch is whole": Case(dense, arrays(X, Y, batch_size=500)),
    "float64 and integers": Case(dense, arrays(X.astype("float64"), Y.astype("int64"))),
    "validation_split": Case(dense, arrays(X, Y, validation_split=0.2, validation_freq=2)),
    "unshuffled, two outputs": Case(branches, arrays({"a": X, "b": X}, {"x": Y, "y": Y}, shuffle=False)),
}
