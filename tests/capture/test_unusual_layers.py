"""Layers whose outputs or weights are not where most have them."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases_structure import compiled
from keras import layers
from watched import ACTIVATION, GRADIENT, Case, differences, run

from kregtools.callbacks import HealthMonitor
from kregtools.capture.facts import unit_axis

ROWS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]] * 8
TABLE = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")


def monitor() -> HealthMonitor:
    return HealthMonitor(sample_every=1, verbose=0)


class Words(layers.Layer):
    """Embeds texts of different lengths, none of them padded."""

    def __init__(self):
        super().__init__(name="words")
        self.table = layers.Embedding(12, 4, embeddings_initializer=keras.initializers.Constant(TABLE))

    def call(self, x):
        return tf.RaggedTensor.from_row_splits(self.table(x.values), x.row_splits)


class Pool(layers.Layer):
    def call(self, x):
        return tf.reduce_mean(x, axis=1)


class OfTexts(keras.Model):
    def __init__(self):
        super().__init__()
        self.words, self.pool, self.top = Words(), Pool(), layers.Dense(1)

    def call(self, x):
        return self.top(self.pool(self.words(x)))


def texts() -> dict:
    targets = np.arange(len(ROWS), dtype="float32")[:, None]
    return {"x": tf.data.Dataset.from_tensor_slices((tf.ragged.constant(ROWS), targets)).batch(8), "epochs": 1}


@pytest.mark.filterwarnings("ignore::UserWarning:keras")
def test_of_a_ragged_output_the_values_that_there_are_are_watched():
    case, watching = Case(lambda: compiled(OfTexts()), texts), monitor()
    assert not differences(run(case, [watching]), run(case))
    embedded = np.concatenate([TABLE[row] for row in ROWS[:8]]).astype("float64")
    assert watching.record.series("words", "activation", "count")[0] == embedded.size
    assert watching.record.series("words", "activation", "mean")[0] == pytest.approx(embedded.mean(), rel=1e-5)
    assert watching.record.series("words", "activation", "std")[0] == pytest.approx(embedded.std(), rel=1e-5)
    assert watching.coverage.set_index("layer").watched["words"] == f"{ACTIVATION}, {GRADIENT}"


class WithToken(keras.Model):
    """A model within a model, with a weight that belongs to none of its layers."""

    def __init__(self):
        super().__init__(name="with_token")
        self.dense = layers.Dense(3, name="inside")

    def build(self, shape):
        self.dense.build(shape)
        self.token = self.add_weight(shape=(3,), name="token")
        self.built = True

    def call(self, x):
        return self.dense(x) + self.token


def test_a_model_within_a_model_has_a_row_for_weights_of_its_own():
    def build() -> keras.Model:
        return compiled(keras.Sequential([keras.Input((12,)), WithToken(), layers.Dense(1)]))

    watching = monitor()
    assert not differences(run(Case(build), [watching]), run(Case(build)))
    row = watching.coverage.set_index("layer").loc["with_token"]
    assert row.watched == "token" and row.reason == "its activation: that of the layers in it is watched instead"
    assert watching.record.series("with_token", "token", "gradient_norm").min() > 0


@pytest.mark.parametrize(
    ("layer", "axes", "expected"),
    [
        (layers.Dense(3), 4, -1),
        (layers.ReLU(), 4, -1),
        (layers.Conv1D(3, 1, data_format="channels_first"), 3, 1),
        (layers.Conv2D(3, 1, data_format="channels_first"), 4, 1),
        (layers.Conv2D(3, 1, data_format="channels_last"), 4, -1),
    ],
)
def test_where_the_units_of_a_layer_lie(layer, axes, expected):
    assert unit_axis(layer, axes) == expected


def test_an_activation_by_itself_has_its_units_where_keras_is_told_to_have_them(monkeypatch):
    monkeypatch.setattr(keras.config, "image_data_format", lambda: "channels_first")
    dense = layers.Dense(3)
    dense.build((None, 4))
    assert [unit_axis(layers.ReLU(), axes) for axes in (2, 3, 4, 5)] == [-1, -1, 1, 1]
    assert unit_axis(dense, 4) == -1
