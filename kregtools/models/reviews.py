"""IMDB's reviews as the recipes take them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from kregtools import datasets
from kregtools.layers import RandomTokenDeletion, RandomTokenSwap
from kregtools.models.recipe_model import Data, RecipeModel, split

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from types import SimpleNamespace

OUT_OF_VOCABULARY = 2


def reviews(directory: str | os.PathLike[str] | None, rows: int | None, encode: Callable[[np.ndarray], Any]) -> Data:
    """Encoded reviews; the last fifth of the training reviews is for validation."""
    (x, y), (x_test, y_test) = datasets.load("imdb", directory)
    return split(encode(x[:rows]), y[:rows], (encode(x_test[:rows]), y_test), one_in=5, rows=rows)


def padded(directory: str | os.PathLike[str] | None, rows: int | None, num_words: int, length: int) -> Data:
    """The last `length` tokens of each review, after zeros where there are fewer; rare words are out of vocabulary."""

    def encode(x: np.ndarray) -> np.ndarray:
        ids = keras.utils.pad_sequences(x, maxlen=length)
        return np.where(ids < num_words, ids, OUT_OF_VOCABULARY)

    return reviews(directory, rows, encode)


class ReviewModel(RecipeModel):
    """A model of reviews as sequences of words.

    Args:
        num_words: Integer, the vocabulary size. Defaults to `None`, which is the recipe's own.
        length: Integer, how many tokens of a review are read, from its end. Defaults to `None`, likewise.
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.
    """

    loss = "binary_crossentropy"
    num_words: int
    length: int

    def __init__(self, num_words: int | None = None, length: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.num_words = num_words or type(self).num_words
        self.length = length or type(self).length

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        return padded(directory, rows, self.num_words, self.length)


def token_augmentation(chosen: SimpleNamespace) -> list[keras.layers.Layer]:
    """Deletes and swaps words where augmentation is chosen."""
    if chosen.augment == "none":
        return []
    return [
        RandomTokenDeletion(0.1, padding="pre", name="deletion"),
        RandomTokenSwap(0.05, name="swap"),
    ]
