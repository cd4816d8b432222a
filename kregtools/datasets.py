"""Four data sets through one door: a local file first, Keras' own download after it."""

from __future__ import annotations

import lzma
import os
import socket
import zipfile
import zlib
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import keras
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Part: TypeAlias = tuple[np.ndarray, np.ndarray]

DATASETS = ("imdb", "cifar10", "fashion_mnist", "digits")
START, OOV, INDEX_FROM = 1, 2, 3
_PARTS = ("train", "test")
_IMAGES = {"cifar10": ((32, 32, 3), (1,)), "fashion_mnist": ((28, 28), ())}
_KERAS_SEED = 113
_SILENCE_S = 20.0
# What NumPy and the archive raise on a damaged file.
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, lzma.LZMAError)


def load(name: str, directory: str | os.PathLike[str] | None = None) -> tuple[Part, Part]:
    """Load a data set as `keras.datasets` returns it, from a local file where there is one.

    The file `<name>.npz` is looked for in `directory`, then in the directory named by the environment variable
    `KREGTOOLS_DATA`; where neither has it, `keras.datasets` is asked, which downloads it once. The values are the
    same through either door: raw, unscaled, in Keras' shapes.

    - `"imdb"`: 25,000 + 25,000 reviews, an object array of lists of word ids; `y` of shape `(n,)`. Start token
      1, out-of-vocabulary 2, words from 4 on, shuffled with seed 113: the defaults of
      `keras.datasets.imdb.load_data`. See `multi_hot` for a dense input.
    - `"cifar10"`: 50,000 + 10,000 images, `uint8` of shape `(n, 32, 32, 3)`; `y` of shape `(n, 1)`.
    - `"fashion_mnist"`: 60,000 + 10,000 images, `uint8` of shape `(n, 28, 28)`; `y` of shape `(n,)`.
    - `"digits"`: 1,437 + 360 images, `float32` of shape `(n, 64)` with values 0 to 16; `y` of shape `(n,)`. It
      always comes from scikit-learn, which embeds it; the split is stratified by label, with `random_state=0`.

    A local file holds the arrays `x_train`, `y_train`, `x_test`, `y_test`. Reviews of different lengths are one
    flat array of frequency ranks, cut by `x_train_offsets` and `x_test_offsets`: review `k` is
    `x_train[offsets[k]:offsets[k + 1]]`. Pickled arrays are refused.

    Args:
        name: String, one of `"imdb"`, `"cifar10"`, `"fashion_mnist"`, `"digits"`.
        directory: String or path, where to look first. Defaults to `None`.

    Returns:
        Tuple of NumPy arrays: `(x_train, y_train), (x_test, y_test)`.

    Raises:
        ValueError: the name is unknown, or the local file is damaged or holds something else.
        FileNotFoundError: there is no local file and the download failed.
        ImportError: `"digits"` was asked for and scikit-learn is not installed.

    Example:
    >>> (x_train, y_train), (x_test, y_test) = kregtools.datasets.load("digits")
    """
    if name not in DATASETS:
        raise ValueError(f"Unknown data set. Received: name={name!r}. Available: {', '.join(DATASETS)}.")
    if name == "digits":
        return _digits()
    candidates = [folder / f"{name}.npz" for folder in _folders(directory)]
    for path in candidates:
        if path.is_file():
            return _read(name, path)
    return _download(name, candidates)


def multi_hot(sequences: Sequence[Sequence[int]] | np.ndarray, num_words: int = 10_000) -> np.ndarray:
    """Encode lists of token ids as rows of zeros and ones.

    Column `i` of a row is 1 where the sequence holds id `i`. Ids from `num_words` on count as out of vocabulary,
    id 2, as with `keras.datasets.imdb.load_data(num_words=...)`.

    Args:
        sequences: Sequence of sequences of integers, such as the reviews of `load("imdb")`.
        num_words: Integer, the number of columns; more than 2. Defaults to `10_000`.

    Returns:
        NumPy array, `uint8`, of shape `(len(sequences), num_words)`.

    Raises:
        ValueError: `num_words` leaves no word, or an id is negative.

    Example:
    >>> kregtools.datasets.multi_hot([[1, 4, 4], [1, 99]], num_words=5)
    array([[0, 1, 0, 0, 1],
           [0, 1, 1, 0, 0]], dtype=uint8)
    """
    if num_words <= OOV:
        raise ValueError(f"`num_words` must be more than {OOV}, the out-of-vocabulary id. Received: {num_words}.")
    rows = np.repeat(np.arange(len(sequences)), [len(s) for s in sequences])
    ids = np.fromiter(chain.from_iterable(sequences), dtype=np.int64, count=len(rows))
    if len(ids) and ids.min() < 0:
        raise ValueError(f"Token ids must not be negative. Received: {ids.min()} in sequence {rows[ids.argmin()]}.")
    encoded = np.zeros((len(sequences), num_words), dtype=np.uint8)
    encoded[rows, np.where(ids < num_words, ids, OOV)] = 1
    return encoded


def _folders(directory: str | os.PathLike[str] | None) -> list[Path]:
    return [Path(folder).expanduser() for folder in (directory, os.environ.get("KREGTOOLS_DATA")) if folder]


def _digits() -> tuple[Part, Part]:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise ImportError(
            "The data set 'digits' comes with scikit-learn, which is not installed. "
            "Install it with: pip install 'kregtools[recipes]'"
        ) from error
    digits: Any = load_digits()
    x, y = digits.data.astype("float32"), digits.target
    split: Any = train_test_split(x, y, test_size=360, stratify=y, random_state=0)
    x_train, x_test, y_train, y_test = split
    return (x_train, y_train), (x_test, y_test)


def _download(name: str, candidates: Sequence[Path]) -> tuple[Part, Part]:
    try:
        with _bounded_silence():
            module: Any = getattr(keras.datasets, name)
            return module.load_data()
    except Exception as error:
        looked = ", ".join(str(path) for path in candidates) or "nowhere: no `directory`, no KREGTOOLS_DATA"
        raise FileNotFoundError(
            f"No data for {name!r}. Looked for: {looked}. Then keras.datasets.{name} failed to download it: {error}. "
            f"Pass `directory` or set KREGTOOLS_DATA to a directory that holds {name}.npz, or run "
            f"`keras.datasets.{name}.load_data()` once on a machine with a network and copy ~/.keras/datasets."
        ) from error


@contextmanager
def _bounded_silence() -> Iterator[None]:
    # Keras' download sets no timeout: a network that swallows packets would hold it for ever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_SILENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read(name: str, path: Path) -> tuple[Part, Part]:
    wanted = [f"{key}_{part}" for part in _PARTS for key in ("x", "y")]
    if name == "imdb":
        wanted += [f"x_{part}_offsets" for part in _PARTS]
    try:
        arrays = _members(path, wanted)
        return _reviews(arrays) if name == "imdb" else _images(name, arrays)
    except _DAMAGE as error:
        raise ValueError(
            f"{path} is no usable {name!r} file. Received: {type(error).__name__}: {error}. "
            f"Expected the arrays {', '.join(wanted)}, whole and unpickled, as `kregtools.datasets.load` describes "
            "them (Keras' own pickled files belong in ~/.keras/datasets). "
            "Replace the file, or remove it to have the data downloaded."
        ) from error


def _members(path: Path, wanted: Sequence[str]) -> dict[str, np.ndarray]:
    with path.open("rb") as stream:  # NumPy leaves a damaged file open when it is given the path
        file = np.load(stream, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("a single array, not an .npz archive")
        missing = [key for key in wanted if key not in file.files]
        if missing:
            raise ValueError(f"no {', '.join(missing)} in it")
        return {key: file[key] for key in wanted}


def _images(name: str, arrays: dict[str, np.ndarray]) -> tuple[Part, Part]:
    train, test = (_image_part(name, part, arrays) for part in _PARTS)
    return train, test


def _image_part(name: str, part: str, arrays: dict[str, np.ndarray]) -> Part:
    image, label = _IMAGES[name]
    x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
    if x.shape[1:] != image or x.dtype != np.uint8:
        raise ValueError(f"x_{part} is {x.dtype} of shape {x.shape}, not uint8 of shape {('n', *image)}")
    _check_labels(part, y, rows=len(x), classes=10)
    if keras.config.image_data_format() == "channels_first":
        x = np.moveaxis(x, -1, 1) if x.ndim == 4 else x
    return x, y.reshape(-1, *label).astype(np.uint8)


def _reviews(arrays: dict[str, np.ndarray]) -> tuple[Part, Part]:
    for part in _PARTS:
        _check_reviews(part, arrays)
    # Keras takes the highest id for `num_words` where none is given, so its rarest word is out of vocabulary.
    vocabulary = max(int(arrays[f"x_{part}"].max(initial=0)) for part in _PARTS)
    shuffler = np.random.RandomState(_KERAS_SEED)
    train, test = (_review_part(part, arrays, vocabulary, shuffler) for part in _PARTS)
    return train, test


def _check_reviews(part: str, arrays: dict[str, np.ndarray]) -> None:
    x, offsets = arrays[f"x_{part}"], arrays[f"x_{part}_offsets"]
    for key, array in ((f"x_{part}", x), (f"x_{part}_offsets", offsets)):
        if array.ndim != 1 or array.dtype.kind not in "iu":
            raise ValueError(f"{key} is {array.dtype} of shape {array.shape}, not a flat array of integers")
    if x.min(initial=1) < 1:
        raise ValueError(f"x_{part} holds the rank {x.min()}; the lowest is 1")
    cuts = offsets.astype(np.int64)
    if len(cuts) < 2 or cuts[0] != 0 or cuts[-1] != len(x) or (np.diff(cuts) < 0).any():
        raise ValueError(f"x_{part}_offsets does not rise from 0 to {len(x)}, the length of x_{part}")
    _check_labels(part, arrays[f"y_{part}"], rows=len(cuts) - 1, classes=2)


def _check_labels(part: str, y: np.ndarray, rows: int, classes: int) -> None:
    if y.dtype.kind not in "iu" or y.size != rows or rows == 0:
        raise ValueError(f"y_{part} holds {y.size} labels of type {y.dtype} for {rows} rows of x_{part}")
    if y.min() < 0 or y.max() >= classes:
        raise ValueError(f"y_{part} holds labels from {y.min()} to {y.max()}, not from 0 to {classes - 1}")


def _review_part(part: str, arrays: dict[str, np.ndarray], vocabulary: int, shuffler: np.random.RandomState) -> Part:
    x, y = arrays[f"x_{part}"].astype(np.int64), arrays[f"y_{part}"]
    ids = np.where(x < vocabulary, x + INDEX_FROM, OOV).tolist()
    cuts = arrays[f"x_{part}_offsets"].tolist()
    order = np.arange(len(y))
    shuffler.shuffle(order)
    reviews = np.empty(len(y), dtype=object)
    for row, review in enumerate(order):
        reviews[row] = [START, *ids[cuts[review] : cuts[review + 1]]]
    return reviews, y.reshape(-1)[order].astype(np.int64)
