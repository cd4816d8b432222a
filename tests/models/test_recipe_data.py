from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kregtools import datasets
from kregtools.layers import LegendrePolynomials
from kregtools.models import RECIPES
from kregtools.models.ngrams import NGrams

TEXT = [name for name in RECIPES if name.startswith("imdb")]
IMAGES = {"fashion_dense": "fashion_mnist", **{n: "cifar10" for n in RECIPES if n.startswith("cifar")}}
DATA = os.environ.get("KREGTOOLS_DATA")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    reviews: dict[str, Any] = {}
    for part, count in (("train", 50), ("test", 20)):
        lengths = rng.integers(5, 30, size=count)
        reviews |= {
            f"x_{part}": rng.integers(1, 100, size=lengths.sum()).astype("int32"),
            f"x_{part}_offsets": np.concatenate([[0], lengths.cumsum()]),
            f"y_{part}": rng.integers(0, 2, size=count).astype("uint8"),
        }
    np.savez(tmp_path / "imdb.npz", **reviews)
    for name, shape in (("cifar10", (32, 32, 3)), ("fashion_mnist", (28, 28))):
        images: dict[str, Any] = {}
        for part, count in (("train", 50), ("test", 20)):
            images[f"x_{part}"] = rng.integers(0, 256, size=(count, *shape)).astype("uint8")
            images[f"y_{part}"] = rng.integers(0, 10, size=count).astype("uint8")
        np.savez(tmp_path / f"{name}.npz", **images)
    return tmp_path


@pytest.mark.parametrize("name", RECIPES)
def test_parts_fit_the_model_and_rows_cuts_them_short(name: str, directory: Path) -> None:
    import keras_tuner

    hypermodel = RECIPES[name]()
    data = hypermodel.load(directory, rows=20)
    model = hypermodel.build(keras_tuner.HyperParameters())
    train, validation, test = (len(x) for x, _ in data)
    assert train + validation == 20 or name == "sine_poly"
    assert validation > 0 and 0 < test <= 20
    for x, y in data:
        assert len(x) == len(y)
        assert model.predict(x[:2], verbose=0).shape == (2, *model.output_shape[1:])
    again = hypermodel.load(directory, rows=20)
    for first, second in zip(data, again, strict=True):
        np.testing.assert_array_equal(first[0], second[0])


@pytest.mark.parametrize("name", IMAGES)
def test_no_image_is_in_two_parts(name: str, directory: Path) -> None:
    data = RECIPES[name]().load(directory)
    (x, _), (x_test, _) = datasets.load(IMAGES[name], directory)
    np.testing.assert_array_equal(np.concatenate([data.train[0], data.validation[0]]), x)
    np.testing.assert_array_equal(data.test[0], x_test)


@pytest.mark.parametrize("name", ["imdb_conv1d", "imdb_bilstm", "imdb_transformer"])
def test_the_end_of_a_review_is_read_and_rare_words_are_out_of_vocabulary(name: str, directory: Path) -> None:
    data = RECIPES[name](num_words=60, length=8).load(directory)
    (reviews, _), _ = datasets.load("imdb", directory)
    for row, review in zip(data.train[0], reviews, strict=False):
        assert row.tolist() == [0] * (8 - len(review)) + [word if word < 60 else 2 for word in review[-8:]]


def test_n_grams_are_those_of_a_search_by_hand() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(0, 6, size=length).tolist() for length in (0, 1, 2, 7, 12, 30)]

    def grams(sequence: list[int]) -> set[tuple[int, ...]]:
        return {tuple(sequence[k : k + n]) for n in (1, 2, 3) for k in range(len(sequence) - n + 1)}

    documents: dict[tuple[int, ...], int] = {}
    for sequence in sequences:
        for gram in grams(sequence):
            documents[gram] = documents.get(gram, 0) + 1
    kept = sorted((gram for gram, count in documents.items() if count >= 2), key=lambda gram: (len(gram), gram))
    number = {gram: k for k, gram in enumerate(kept, start=1)}
    ngrams = NGrams(sequences, order=3, min_documents=2)
    assert len(ngrams) == len(kept)
    encoded = ngrams.encode(sequences, length=100)
    for row, sequence in zip(encoded, sequences, strict=True):
        expected = sorted(number[gram] for gram in grams(sequence) if gram in number)
        assert row.tolist() == expected + [0] * (100 - len(expected))
    np.testing.assert_array_equal(ngrams.encode(sequences, length=3), encoded[:, :3])


def test_n_grams_of_words_never_seen_are_left_out() -> None:
    ngrams = NGrams([[1, 2], [1, 2]], order=2, min_documents=2)
    assert ngrams.encode([[3, 1, 2], [2, 1], [9]], length=4).tolist() == [[1, 2, 3, 0], [1, 2, 0, 0], [0, 0, 0, 0]]


def test_n_grams_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"do not fit into 64 bits. Received: order=7. Expected a smaller `order`"):
        NGrams([[100_000]], order=7)


def test_legendre_polynomials_are_numpys() -> None:
    x = np.linspace(-1, 1, 9)[:, None]
    found = np.asarray(LegendrePolynomials(25)(x.astype("float32")))
    for degree in range(1, 26):
        expected = np.polynomial.legendre.legval(x[:, 0], [0] * degree + [(2 * degree + 1) ** 0.5])
        np.testing.assert_allclose(found[:, degree - 1], expected, atol=2e-4)


def test_the_sine_is_the_same_every_time_and_its_parts_differ() -> None:
    data = RECIPES["sine_poly"]().load()
    assert [len(x) for x, _ in data] == [30, 200, 1000]
    for one, other in pairwise(data):
        assert not np.isin(one[0], other[0]).any()
    x, y = data.test
    assert np.std(y - np.sin(np.pi * x)) == pytest.approx(0.3, rel=0.1)


@pytest.mark.skipif(not DATA, reason="set KREGTOOLS_DATA to the directory of the real data")
@pytest.mark.slow
@pytest.mark.parametrize("name", TEXT + list(IMAGES))
def test_real_data_have_the_sizes_of_the_recipes(name: str) -> None:
    data = RECIPES[name]().load()
    assert [len(x) for x, _ in data] == ([20_000, 5_000, 25_000] if name in TEXT else [
        len(data.train[0]), len(data.train[0]) // 9, 10_000])  # fmt: skip
