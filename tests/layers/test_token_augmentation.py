"""Texts as token ids: what changes, how often, and what never does."""

from collections import Counter

import keras
import numpy as np
import pytest

from kregtools.layers import RandomSynonymReplacement, RandomTokenDeletion, RandomTokenInsertion, RandomTokenSwap

TABLE = {10: [110, 210], 11: [111], 12: [112, 212, 312]}
START, OOV, PAD = 1, 2, 0
MAKE = {
    "deletion": lambda **arguments: RandomTokenDeletion(**{"rate": 0.3, **arguments}),
    "swap": lambda **arguments: RandomTokenSwap(**{"rate": 0.3, **arguments}),
    "insertion": lambda **arguments: RandomTokenInsertion(**{"rate": 0.3, **arguments}),
    "vocabulary": lambda **arguments: RandomTokenInsertion(**{"rate": 0.3, "vocabulary_size": 30, **arguments}),
    "synonyms": lambda **arguments: RandomSynonymReplacement(TABLE, **{"rate": 0.3, **arguments}),
}


def run(layer, tokens) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(layer(np.array(tokens), training=True)))


def texts(rows: int, length: int, padding: str = "post") -> np.ndarray:
    """Texts of all lengths, that begin with the start token and hold an unknown word."""
    rng = np.random.default_rng(0)
    found = np.zeros((rows, length), "int32")
    for row in found:
        size = rng.integers(4, length + 1)
        text = np.concatenate([[START, OOV], rng.integers(10, 20, size - 2)])
        row[slice(None, size) if padding == "post" else slice(length - size, None)] = text
    return found


@pytest.mark.parametrize("padding", ["post", "pre"])
@pytest.mark.parametrize("name", MAKE)
def test_padding_stays_at_its_side_and_protected_ids_where_they_belong(name, padding):
    x = texts(200, 12, padding)
    y = run(MAKE[name](protected=(START, OOV), padding=padding, seed=1), x)
    assert y.shape == x.shape and y.dtype == x.dtype
    assert 0.2 < (y != x).any(1).mean() < 1
    for before, after in zip(x, y, strict=True):
        real = after != PAD
        assert (np.diff(real.astype(int)) >= 0).all() if padding == "pre" else (np.diff(real.astype(int)) <= 0).all()
        assert list(after[real][:2]) == [START, OOV]
        assert Counter(after[after < 10])[START] == Counter(after[after < 10])[OOV] == 1
        assert (before == PAD).any() or name == "deletion" or real.all()


@pytest.mark.parametrize("name", MAKE)
def test_nothing_changes_at_inference_or_with_rate_zero_or_where_all_is_protected(name):
    x = texts(20, 12)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(MAKE[name]()(x, training=False)), x)
    np.testing.assert_array_equal(run(MAKE[name](rate=0.0), x), x)
    np.testing.assert_array_equal(run(MAKE[name](protected=range(1, 20), rate=0.9), x), x)
    empty = np.zeros((2, 5), "int32")
    np.testing.assert_array_equal(run(MAKE[name](rate=0.9), empty), empty)


@pytest.mark.parametrize("name", MAKE)
def test_a_model_trains_with_it_and_one_text_goes_through(name):
    x = texts(32, 9)
    layers = [MAKE[name](seed=1), keras.layers.Embedding(400, 4), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((9,), dtype="int32"), *layers])
    model.compile("adam", "mse")
    model.fit(x, np.zeros((32, 1)), verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))
    assert run(MAKE[name](), x[0]).shape == (9,)


def test_deletion_keeps_the_order_and_the_share():
    x = np.tile(np.arange(1, 101), (200, 1))
    y = run(RandomTokenDeletion(0.2, seed=1), x)
    kept = (y != PAD).sum()
    # Four standard deviations of the share of 20,000 draws.
    assert abs(1 - kept / x.size - 0.2) < 4 * np.sqrt(0.2 * 0.8 / x.size)
    assert all((np.diff(row[row != PAD]) > 0).all() for row in y)
    counts = np.bincount(y[y != PAD], minlength=101)[1:]
    assert abs(counts - 160).max() < 5 * np.sqrt(200 * 0.2 * 0.8)


def test_deletion_leaves_one_token_at_least_and_any_of_them():
    x = np.tile([START, 11, 12, 13, PAD], (500, 1))
    y = run(RandomTokenDeletion(0.95, protected=(START,), seed=1), x)
    assert (y[:, 0] == START).all() and (y[:, 1] != PAD).all()
    assert set(y[:, 1]) == {11, 12, 13}
    one = np.array([[7, PAD], [8, PAD]])
    np.testing.assert_array_equal(run(RandomTokenDeletion(0.99), one), one)


def test_swap_exchanges_pairs():
    x = np.tile(np.arange(1, 52), (300, 1))
    y = run(RandomTokenSwap(0.4, seed=1), x)
    np.testing.assert_array_equal(np.sort(y, axis=1), x)
    moved = y != x
    # An involution: who stands in my place has got mine.
    assert all((row[row - 1] == base).all() for row, base in zip(y, x, strict=True))
    # Of those chosen one stays where their number is odd, which is half of the time.
    assert abs(moved.mean() - (0.4 - 0.5 / 51)) < 4 * np.sqrt(0.4 * 0.6 / x.size)
    distance = np.abs(y - x)[moved]
    # Two of n places at random are (n + 1) / 3 apart in the mean.
    assert abs(distance.mean() - 52 / 3) < 1


@pytest.mark.parametrize("vocabulary", [None, 60])
def test_insertion_puts_tokens_between_the_others(vocabulary):
    x = np.zeros((300, 60), "int64")
    x[:, :30] = np.arange(5, 35)
    y = run(RandomTokenInsertion(0.25, vocabulary_size=vocabulary, protected=(3,), seed=1), x)
    more = (y != PAD).sum(1) - 30
    assert abs(more.mean() - 7.5) < 4 * np.sqrt(30 * 0.25 * 0.75 / 300)
    own, inserted = set(range(5, 35)), Counter()
    for row in y:
        left = list(range(5, 35))
        for token in row[row != PAD]:
            if left and token == left[0]:
                left.pop(0)
            else:
                inserted[int(token)] += 1
        assert not left
    expected = own if vocabulary is None else set(range(1, 60)) - {3}
    assert set(inserted) == expected


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_a_full_text_loses_its_end_and_no_protected_token(padding):
    x = np.tile([START, 11, 12, 13, 14, 15, 16, 3], (200, 1))
    y = run(RandomTokenInsertion(0.5, protected=(START, 3), padding=padding, seed=1), x)
    assert (y[:, 0] == START).all() and (y[:, -1] == 3).all() and (y[:, 1] == 11).all()
    # Without any insertion, which has the probability 1/64, a text stays as it is.
    assert (y != PAD).all() and (y != x).any(1).mean() > 0.9


def test_synonyms_replace_what_has_them_all_equally_often():
    x = np.tile([10, 11, 12, 13, 500, START], (3000, 1))
    y = run(RandomSynonymReplacement(TABLE, 0.4, seed=1), x)
    np.testing.assert_array_equal(y[:, 3:], x[:, 3:])
    for column, token in enumerate((10, 11, 12)):
        counts = Counter(y[:, column].tolist())
        assert set(counts) == {token, *TABLE[token]}
        for other in TABLE[token]:
            share = 0.4 / len(TABLE[token])
            assert abs(counts[other] / 3000 - share) < 4 * np.sqrt(share * (1 - share) / 3000)


def test_a_table_is_saved(tmp_path):
    model = keras.Sequential([keras.Input((4,), dtype="int32"), RandomSynonymReplacement(TABLE)])
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").layers[0].table == TABLE


def test_ids_that_are_floats_keep_their_digits():
    x = np.full((4, 50), 40001.0, "float32")
    y = RandomTokenSwap(0.5, dtype="mixed_float16")(x)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), x)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data with layers of this backend")
@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("batched", [True, False])
def test_in_a_dataset_also_with_texts_of_unknown_length(name, batched):
    import tensorflow as tf

    rows = [list(range(10, 20 + extra)) for extra in range(6)]
    data = tf.data.Dataset.from_generator(lambda: rows, output_signature=tf.TensorSpec((None,), tf.int32))
    data = data.padded_batch(3) if batched else data
    layer = MAKE[name](seed=1)
    changed = [not np.array_equal(before, after) for before, after in zip(data, data.map(layer), strict=True)]
    assert any(changed)


@pytest.mark.parametrize("call, message", [
    (lambda: RandomTokenDeletion(1.0), "Received: rate=1.0. Expected a number from 0 to below 1"),
    (lambda: RandomTokenSwap(padding="left"), "Received: padding='left'. Expected 'post' or 'pre'"),
    (lambda: RandomTokenSwap()(np.ones((2, 3, 4))),
     r"RandomTokenSwap takes token ids, \(batch, length\).*Received: an input of shape \(2, 3, 4\)"),
    (lambda: RandomTokenInsertion(vocabulary_size=1), "Received: vocabulary_size=1, with padding and protected ids"),
    (lambda: RandomTokenInsertion(vocabulary_size="all"), "Received: vocabulary_size='all'"),
    (lambda: RandomSynonymReplacement([1, 2]), r"Received: table=\[1, 2\]"),
    (lambda: RandomSynonymReplacement({}), "Received: table={}. Expected a dict from token ids to lists"),
    (lambda: RandomSynonymReplacement({4: []}), r"Received: table=\{4: \[\]\}"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
