"""Movie reviews as sets of word sequences, weighted by naive Bayes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kregtools.models.blocks import classifier, regularizer
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.ngrams import NGrams
from kregtools.models.recipe_model import Data, RecipeModel, common
from kregtools.models.reviews import reviews

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace

    import keras_tuner

_SMOOTHING = 1.0


class ImdbNb(RecipeModel):
    r"""Logistic regression on 1- to 3-grams, each weighted by how much more often it stands in one class.

    $$p = \sigma\Big(a \sum_{i \in x} r_i w_i + b\Big), \qquad
    r_i = \log \frac{(1 + n_i^+) / (|V| + \sum_j n_j^+)}{(1 + n_i^-) / (|V| + \sum_j n_j^-)}$$

    where $n_i^\pm$ is the number of positive and negative training reviews with n-gram $i$. `fit` takes the log-count
    ratios $r$ from the rows it trains on; $w$, $a$ and $b$ are learned. There is no hidden layer, and on 25,000
    reviews it beats the networks that have one. Dropout, and augmentation in its place, drop n-grams of a review.

    Args:
        order: Integer, the longest n-gram. Defaults to `3`.
        length: Integer, how many different n-grams of a review are read. Defaults to `1500`.
        features: Integer, the number of different n-grams, as `load` finds them. Defaults to `None`: `load` sets it.
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Raises:
        ValueError: `build` is called before `load` and `features` was not given.

    Reference:

    - [Wang and Manning, 2012](https://aclanthology.org/P12-2018/)
    """

    name = "imdb_nb"
    epochs = 5
    loss = "binary_crossentropy"
    mixed_precision = False
    hyperparameters = common(
        l2=Float(1e-7, 1e-9, 1e-4, "log"),
        dropout=Float(0.2, 0.0, 0.8),
        learning_rate=Float(3e-3, 1e-4, 3e-2, "log"),
        initializer=Choice("zeros", ("zeros", "ones")),
        activation=Choice("sigmoid", ("sigmoid",)),
        normalization=Choice("none", ("none",)),
        batch_size=Int(256, 32, 2048, "log"),
    )

    def __init__(self, order: int = 3, length: int = 1500, features: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.order = order
        self.length = length
        self.features = features

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        ngrams: list[NGrams] = []

        def encode(x: np.ndarray) -> np.ndarray:
            if not ngrams:
                ngrams.append(NGrams(x[: len(x) - len(x) // 5], self.order))
            return ngrams[0].encode(x, self.length)

        data = reviews(directory, rows, encode)
        self.features = len(ngrams[0])
        return data

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        if self.features is None:
            raise ValueError(
                "The number of n-grams is not known. Received: features=None. Expected `load()` before `build()`, "
                "or `ImdbNb(features=...)`."
            )
        inputs = keras.Input((self.length,), dtype="int32")
        ratio = keras.layers.Embedding(
            self.features + 1, 1, embeddings_initializer="zeros", trainable=False, name="log_count_ratio"
        )
        weight = keras.layers.Embedding(
            self.features + 1,
            1,
            embeddings_initializer=chosen.initializer,
            embeddings_regularizer=regularizer(chosen),
            name="weight",
        )
        x = keras.layers.Multiply(name="evidence")([ratio(inputs), weight(inputs)])
        dropout = chosen.dropout or (0.1 if chosen.augment != "none" else 0.0)
        if dropout:
            x = keras.layers.Dropout(dropout, name="dropout")(x)
        x = keras.ops.sum(x, axis=1)
        return keras.Model(inputs, classifier(2)(x))

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, x: Any, y: Any = None, **options: Any) -> Any:
        if y is None:
            raise ValueError(
                f"The log-count ratios are counted in arrays. Received: x of type {type(x).__name__}, no y. "
                "Expected x and y as arrays."
            )
        ratio = model.get_layer("log_count_ratio")
        ratio.set_weights([log_count_ratio(x, y, ratio.input_dim)])
        return super().fit(hp, model, x, y, **options)


def log_count_ratio(x: np.ndarray, y: np.ndarray, features: int) -> np.ndarray:
    """How much more often each feature stands in rows of label 1 than in rows of label 0, as a logarithm.

    Returns:
        NumPy array, `float32`, of shape `(features, 1)`; 0 for the padding, feature 0.
    """
    shares = []
    for label in (0, 1):
        counts = _SMOOTHING + np.bincount(x[np.ravel(y) == label].ravel(), minlength=features)
        counts[0] = 0
        shares.append(counts / counts.sum())
    ratio = np.zeros((features, 1), dtype=np.float32)
    ratio[1:, 0] = np.log(shares[1][1:] / shares[0][1:])
    return ratio
