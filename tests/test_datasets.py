from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from kregtools import datasets

DATA = os.environ.get("KREGTOOLS_DATA")
real_data = pytest.mark.skipif(not DATA, reason="set KREGTOOLS_DATA to the directory of the real data")

TRAIN_REVIEWS = [[5, 1, 9], [2], [7, 7, 3, 1], [4, 6], [8, 2, 2]]
TEST_REVIEWS = [[1, 2, 3], [9, 12], [3, 4, 5, 6], [2, 2], [1]]


@pytest.fixture(autouse=True)
def no_data_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KREGTOOLS_DATA", raising=False)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure: Name or service not known")

    for name in ("imdb", "cifar10", "fashion_mnist"):
        module = getattr(keras.datasets, name).load_data.__module__
        monkeypatch.setattr(sys.modules[module], "get_file", refuse)


def imdb_arrays(**changed: Any) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for part, reviews in (("train", TRAIN_REVIEWS), ("test", TEST_REVIEWS)):
        arrays[f"x_{part}"] = np.concatenate(reviews).astype(np.int32)
        arrays[f"x_{part}_offsets"] = np.cumsum([0, *map(len, reviews)])
        arrays[f"y_{part}"] = np.array([0, 1, 0, 1, 1], dtype=np.uint8)
    return {**arrays, **changed}


def cifar_arrays(**changed: Any) -> dict[str, Any]:
    images = np.arange(4 * 32 * 32 * 3).reshape(4, 32, 32, 3).astype(np.uint8)
    labels = np.array([[0], [3], [9], [1]], dtype=np.uint8)
    return {"x_train": images, "y_train": labels, "x_test": images[:2], "y_test": labels[:2], **changed}


def write(directory: Path, name: str, arrays: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(directory / f"{name}.npz", **{k: v for k, v in arrays.items() if v is not None})
    return directory


def test_imdb_equals_what_keras_makes_of_the_same_reviews(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = imdb_arrays()
    for part, reviews in (("train", TRAIN_REVIEWS), ("test", TEST_REVIEWS)):
        source[f"x_{part}"] = np.array(reviews, dtype=object)
    np.savez(tmp_path / "keras.npz", **source)
    module = sys.modules[keras.datasets.imdb.load_data.__module__]
    monkeypatch.setattr(module, "get_file", lambda **_: str(tmp_path / "keras.npz"))

    ours = datasets.load("imdb", write(tmp_path, "imdb", imdb_arrays()))
    for (x, y), (keras_x, keras_y) in zip(ours, keras.datasets.imdb.load_data(), strict=True):
        assert x.tolist() == keras_x.tolist()
        assert y.tolist() == keras_y.tolist()
        assert x.dtype == keras_x.dtype == object


def test_images_come_raw_in_keras_shapes(tmp_path: Path) -> None:
    (x_train, y_train), (x_test, y_test) = datasets.load("cifar10", write(tmp_path, "cifar10", cifar_arrays()))
    np.testing.assert_array_equal(x_train, cifar_arrays()["x_train"])
    assert x_train.dtype == np.uint8
    assert (y_train.shape, x_test.shape, y_test.tolist()) == ((4, 1), (2, 32, 32, 3), [[0], [3]])


def test_fashion_mnist_labels_are_flat(tmp_path: Path) -> None:
    images, labels = np.zeros((3, 28, 28), np.uint8), np.array([0, 9, 4])
    arrays = {"x_train": images, "y_train": labels, "x_test": images, "y_test": labels}
    (_, y_train), _ = datasets.load("fashion_mnist", write(tmp_path, "fashion_mnist", arrays))
    assert y_train.tolist() == [0, 9, 4]


def test_directory_goes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KREGTOOLS_DATA", str(write(tmp_path / "environment", "cifar10", cifar_arrays())))
    flipped = cifar_arrays(y_train=np.array([[9], [9], [9], [9]], dtype=np.uint8))
    write(tmp_path / "given", "cifar10", flipped)

    assert datasets.load("cifar10", tmp_path / "given")[0][1].tolist() == [[9]] * 4
    assert datasets.load("cifar10")[0][1].tolist() == [[0], [3], [9], [1]]
    assert datasets.load("cifar10", tmp_path / "empty")[0][1].tolist() == [[0], [3], [9], [1]]


def test_digits_are_raw_and_split_alike_in_both_parts() -> None:
    (x_train, _), (x_test, y_test) = datasets.load("digits")
    assert (x_train.shape, x_test.shape, x_train.dtype) == ((1437, 64), (360, 64), np.float32)
    assert (x_train.min(), x_train.max()) == (0, 16)
    assert np.bincount(y_test).min() >= 34
    again = datasets.load("digits")
    np.testing.assert_array_equal(again[0][0], x_train)
    assert not {row.tobytes() for row in x_train} & {row.tobytes() for row in x_test}


def test_digits_without_scikit_learn_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install 'kregtools\[recipes\]'"):
        datasets.load("digits")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"Received: name='mnist'. Available: imdb, cifar10, fashion_mnist, dig"):
        datasets.load("mnist")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("name", ["imdb", "cifar10", "fashion_mnist"])
def test_missing_file_says_where_was_looked(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KREGTOOLS_DATA", str(tmp_path / "environment"))
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load(name, tmp_path / "given")
    text = str(caught.value)
    assert f"{tmp_path / 'given' / name}.npz, {tmp_path / 'environment' / name}.npz" in text
    assert "failed to download it: URL fetch failure: Name or service not known." in text
    assert "set KREGTOOLS_DATA to a directory" in text


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"x_train_offsets": None}, "no x_train_offsets in it"),
        ({"y_test": None}, "no y_test in it"),
        ({"y_train": np.array([0, 1], np.uint8)}, "y_train holds 2 labels of type uint8 for 5 rows"),
        ({"y_train": np.array([0, 1, 2, 1, 1], np.uint8)}, "labels from 0 to 2, not from 0 to 1"),
        ({"y_train": np.linspace(0, 1, 5)}, "labels of type float64"),
        ({"x_train_offsets": np.array([0, 4, 3, 8, 10, 13])}, "x_train_offsets does not rise from 0 to 13"),
        ({"x_train_offsets": np.array([0, 3, 4, 8, 10, 12])}, "x_train_offsets does not rise from 0 to 13"),
        ({"x_train_offsets": np.array([1, 3, 4, 8, 10, 13])}, "x_train_offsets does not rise from 0 to 13"),
        ({"x_test": np.zeros(12, np.int32)}, "x_test holds the rank 0"),
        ({"x_test": np.ones((3, 4))}, r"x_test is float64 of shape \(3, 4\), not a flat array of integers"),
        ({"x_train": np.array(TRAIN_REVIEWS, dtype=object)}, "Object arrays cannot be loaded"),
    ],
)
def test_wrong_reviews_are_refused(changed: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    write(tmp_path, "imdb", imdb_arrays(**changed))
    with pytest.raises(ValueError, match=complaint) as caught:
        datasets.load("imdb", tmp_path)
    assert "Replace the file" in str(caught.value)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"x_test": np.zeros((2, 28, 28), np.uint8)}, r"not uint8 of shape \('n', 32, 32, 3\)"),
        ({"x_test": np.zeros((2, 32, 32, 3))}, "x_test is float64"),
        ({"y_train": np.zeros((3, 1), np.uint8)}, "y_train holds 3 labels"),
        ({"x_test": np.zeros((0, 32, 32, 3), np.uint8), "y_test": np.zeros((0, 1), np.uint8)}, "0 labels"),
    ],
)
def test_wrong_images_are_refused(changed: dict[str, Any], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=complaint):
        datasets.load("cifar10", write(tmp_path, "cifar10", cifar_arrays(**changed)))


@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(kept: float, tmp_path: Path) -> None:
    path = write(tmp_path, "cifar10", cifar_arrays()) / "cifar10.npz"
    content = path.read_bytes()
    path.write_bytes(content[: kept if isinstance(kept, int) else int(kept * len(content))])
    with pytest.raises(ValueError, match="is no usable 'cifar10' file"):
        datasets.load("cifar10", tmp_path)


def test_damaged_bytes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, "cifar10", cifar_arrays()) / "cifar10.npz"
    content = bytearray(path.read_bytes())
    content[200:210] = bytes(10)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is no usable 'cifar10' file"):
        datasets.load("cifar10", tmp_path)


def test_multi_hot_marks_each_id_once_and_rare_ones_as_out_of_vocabulary() -> None:
    encoded = datasets.multi_hot([[1, 4, 4], [1, 99], []], num_words=5)
    assert encoded.tolist() == [[0, 1, 0, 0, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]
    assert encoded.dtype == np.uint8


def test_multi_hot_refuses_what_is_no_token() -> None:
    with pytest.raises(ValueError, match=r"must not be negative\. Received: -3 in sequence 1"):
        datasets.multi_hot([[1], [2, -3]])
    with pytest.raises(ValueError, match=r"`num_words` must be more than 2.*Received: 2"):
        datasets.multi_hot([[1]], num_words=2)


@real_data
@pytest.mark.slow
def test_real_reviews_are_those_of_keras(monkeypatch: pytest.MonkeyPatch) -> None:
    (x_train, y_train), (x_test, y_test) = datasets.load("imdb", DATA)
    # The opening of the first training review as Keras' documentation and many lessons print it.
    assert x_train[0][:10] == [1, 14, 22, 16, 43, 530, 973, 1622, 1385, 65]
    assert (len(x_train), len(x_test), len(x_train[0]), len(x_train[1])) == (25000, 25000, 218, 189)
    assert (y_train[:5].tolist(), y_train.mean(), y_test.mean()) == ([1, 0, 0, 1, 0], 0.5, 0.5)


@real_data
@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows", "label"), [("cifar10", 50000, (1,)), ("fashion_mnist", 60000, ())])
def test_real_images_load(name: str, rows: int, label: tuple[int, ...]) -> None:
    (x_train, y_train), (x_test, _) = datasets.load(name, DATA)
    assert (len(x_train), y_train.shape, len(x_test)) == (rows, (rows, *label), 10000)
    assert np.bincount(y_train.ravel()).tolist() == [rows // 10] * 10
