"""However the data comes, no batch is drawn twice or out of turn."""

import cases_feeds
import pytest
import tensorflow as tf
from cases_settings import dense
from cases_structure import branches
from twins import matrix, watched_as_plain
from watched import Case, X, Y, plain


def dataset(repeat: bool = False, drop: bool = False, jitter: bool = False) -> tf.data.Dataset:
    rows = tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(96, seed=4)
    if jitter:
        seeds = tf.data.Dataset.random(seed=9).map(lambda seed: tf.stack([seed, 0]))
        rows = tf.data.Dataset.zip((rows, seeds))
        rows = rows.map(lambda row, seed: (row[0] + tf.random.stateless_normal((12,), seed), row[1]))
    rows = rows.batch(20, drop_remainder=drop)
    return (rows.repeat() if repeat else rows).prefetch(2)


def unknown_length() -> tf.data.Dataset:
    return dataset().filter(lambda x, y: True)


def pairs() -> tf.data.Dataset:
    inputs, targets = {"a": X, "b": X}, {"x": Y, "y": Y}
    return tf.data.Dataset.from_tensor_slices((inputs, targets)).batch(20)


DATASETS = {
    "tf.data": Case(dense, lambda: {"x": dataset()}),
    "tf.data, repeated": Case(dense, lambda: {"x": dataset(repeat=True), "steps_per_epoch": 4}),
    "tf.data, whole batches": Case(dense, lambda: {"x": dataset(drop=True)}),
    "tf.data, random": Case(dense, lambda: {"x": dataset(jitter=True)}),
    "tf.data, unknown length": Case(dense, lambda: {"x": unknown_length()}),
    "tf.data, unknown length, several steps": Case(
        lambda: dense(steps_per_execution=2), lambda: {"x": unknown_length()}
    ),
    "tf.data, dicts": Case(branches, lambda: {"x": pairs()}),
}
CASES = {**cases_feeds.CASES, **DATASETS}
CORE = ["tf.data, unknown length, several steps", "generator", "dicts, sample_weight"]


@pytest.mark.parametrize(("case", "every"), matrix(CASES, CORE))
def test_a_watched_run_is_bit_identical_and_fully_recorded(case, every):
    watched_as_plain(case, every, plain(case))
