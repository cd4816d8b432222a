"""Movie reviews as bags of words, through two small dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from kregtools import datasets
from kregtools.models.blocks import classifier, hidden_dense
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.recipe_model import Data, RecipeModel, common, with_capacity
from kregtools.models.reviews import reviews

if TYPE_CHECKING:
    import os
    from types import SimpleNamespace


class ImdbBow(RecipeModel):
    """A small dense network on multi-hot IMDB reviews.

    `num_words` inputs that are 0 or 1, two small relu layers, one sigmoid unit, RMSprop. Left without L2 and
    dropout it overfits within a few epochs, so it shows well what regularization does. Augmentation drops a tenth
    of the words. The inputs come from `kregtools.datasets.multi_hot`.

    Args:
        num_words: Integer, the vocabulary size, which is the number of inputs. Defaults to `10_000`.
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Example:
        >>> hp = keras_tuner.HyperParameters()
        >>> model = kregtools.models.ImdbBow().build(hp)
        >>> unregularized = kregtools.models.ImdbBow(l2=0, dropout=0).build(keras_tuner.HyperParameters())
    """

    name = "imdb_bow"
    epochs = 7
    loss = "binary_crossentropy"
    roles = with_capacity("units")
    hyperparameters = common(
        l2=Float(3e-4, 1e-6, 1e-2, "log"),
        dropout=Float(0.4, 0.0, 0.8),
        learning_rate=Float(7e-4, 1e-4, 1e-2, "log"),
        initializer=Choice("glorot_uniform", ("glorot_uniform", "he_normal", "lecun_normal", "dropout_aware")),
        optimizer=Choice("rmsprop", ("rmsprop", "adam", "adamw", "sgd")),
        batch_size=Int(512, 32, 2048, "log"),
        units=Int(16, 4, 512, "log"),
        layers=Int(2, 1, 4),
    )

    def __init__(self, num_words: int = 10_000, **options: Any) -> None:
        super().__init__(**options)
        self.num_words = num_words

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        return reviews(directory, rows, lambda x: datasets.multi_hot(x, self.num_words))

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        words = [] if chosen.augment == "none" else [keras.layers.Dropout(0.1, name="word_dropout")]
        return keras.Sequential([keras.Input((self.num_words,)), *words, *hidden_dense(chosen), classifier(2)])
