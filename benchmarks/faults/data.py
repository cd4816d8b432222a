"""Small data sets that come with scikit-learn; no network is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler


class Split(NamedTuple):
    """Training and validation rows."""

    x: np.ndarray
    y: np.ndarray
    x_val: np.ndarray
    y_val: np.ndarray


def digits(seed: int) -> Split:
    """8 x 8 images as 64 numbers between 0 and 1, labels 0 to 9."""
    x, y = datasets.load_digits(return_X_y=True)
    return split(x / 16.0, y, seed)


def cancer(seed: int) -> Split:
    """569 rows of 30 numbers, standardized, two classes."""
    return standardized(raw_cancer(seed))


def raw_cancer(seed: int) -> Split:
    """The same as measured: features from 0.001 to 4000."""
    return split(*datasets.load_breast_cancer(return_X_y=True), seed)


def wine(seed: int) -> Split:
    """178 rows of 13 numbers, standardized, three classes."""
    return standardized(split(*datasets.load_wine(return_X_y=True), seed))


def diabetes(seed: int) -> Split:
    """442 rows of 10 numbers, target standardized; half of its variance is noise."""
    x, y = datasets.load_diabetes(return_X_y=True)
    return standardized(split(x, (y - y.mean()) / y.std(), seed))


def moons(seed: int, rows: int = 1000, noise: float = 0.1) -> Split:
    """Two half circles, two classes."""
    return split(*datasets.make_moons(rows, noise=noise, random_state=seed), seed)


def circles(seed: int) -> Split:
    """One circle inside another: no straight line parts them."""
    return split(*datasets.make_circles(1000, noise=0.05, factor=0.4, random_state=seed), seed)


def regression(seed: int) -> Split:
    """A linear target with some noise, standardized."""
    x, y = datasets.make_regression(1000, 20, n_informative=10, noise=10.0, random_state=seed)
    return split(x, (y - y.mean()) / y.std(), seed)


def classes(seed: int, rows: int = 1000, flipped: float = 0.0) -> Split:
    """20 features, 5 of them informative, two classes, a share of the labels flipped."""
    x, y = datasets.make_classification(rows, 20, n_informative=5, flip_y=flipped, random_state=seed)
    return split(x, y, seed)


def several_labels(seed: int) -> Split:
    """20 features, 5 labels that occur together."""
    x, y = datasets.make_multilabel_classification(1500, 20, n_classes=5, random_state=seed)
    return standardized(split(x, y, seed))


def split(x: np.ndarray, y: np.ndarray, seed: int, share: float = 0.25) -> Split:
    """Parts the rows at random."""
    x, x_val, y, y_val = train_test_split(x.astype("float32"), y, test_size=share, random_state=seed)
    kind = "float32" if y.dtype.kind == "f" else "int32"
    return Split(x, y.astype(kind), x_val, y_val.astype(kind))


def standardized(data: Split) -> Split:
    """Features of mean 0 and std 1 on the training rows."""
    scaler = StandardScaler().fit(data.x)
    return data._replace(x=scaler.transform(data.x), x_val=scaler.transform(data.x_val))


def first(data: Split, rows: int) -> Split:
    """Fewer training rows."""
    return data._replace(x=data.x[:rows], y=data.y[:rows])


def one_hot(data: Split) -> Split:
    """Labels as rows of zeros with a one."""
    eye = np.eye(int(data.y.max()) + 1, dtype="float32")
    return data._replace(y=eye[data.y], y_val=eye[data.y_val])


def with_target(data: Callable[[int], Split], change: Callable[[np.ndarray], np.ndarray]) -> Callable[[int], Split]:
    """The targets of both parts changed."""
    return lambda seed: _changed(data(seed), y=change)


def with_inputs(data: Callable[[int], Split], change: Callable[[np.ndarray], np.ndarray]) -> Callable[[int], Split]:
    """The inputs of both parts changed."""
    return lambda seed: _changed(data(seed), x=change)


def _changed(data: Split, x: Callable[..., Any] | None = None, y: Callable[..., Any] | None = None) -> Split:
    if x is not None:
        data = data._replace(x=x(data.x), x_val=x(data.x_val))
    if y is not None:
        data = data._replace(y=y(data.y), y_val=y(data.y_val))
    return data


def shuffled_labels(seed: int) -> Split:
    """Training labels that have nothing to do with the inputs."""
    data = digits(seed)
    return data._replace(y=np.random.default_rng(seed).permutation(data.y))


def other_validation(seed: int) -> Split:
    """Validation images of other brightness, upside down."""
    data = digits(seed)
    return data._replace(x_val=1.0 - data.x_val[:, ::-1])


def imbalanced(seed: int) -> Split:
    """One row of a hundred is positive, and hard to tell."""
    random = np.random.default_rng(seed)
    y = (random.random(3000) < 0.01).astype("int32")
    x = random.normal(size=(3000, 10)).astype("float32") + 0.3 * y[:, None]
    return Split(x[:2000], y[:2000], x[2000:], y[2000:])


def with_nan(x: np.ndarray) -> np.ndarray:
    """A few values missing."""
    x = x.copy()
    x[::50, 3] = np.nan
    return x


def noisy_labels(seed: int) -> Split:
    """Four labels of ten wrong in the training rows."""
    data, random = digits(seed), np.random.default_rng(seed)
    wrong = random.random(len(data.y)) < 0.4
    return data._replace(y=np.where(wrong, random.integers(10, size=len(data.y)), data.y).astype("int32"))


def few_validation(data: Split) -> Split:
    """Twenty validation rows."""
    return data._replace(x_val=data.x_val[:20], y_val=data.y_val[:20])


def itself(data: Split) -> Split:
    """The inputs as targets."""
    return data._replace(y=data.x, y_val=data.x_val)
