"""Movie reviews as sequences of words, through a convolution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from kregtools.models.blocks import classifier, hidden_dense, initializer, regularizer
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.recipe_model import common, with_capacity
from kregtools.models.reviews import ReviewModel, token_augmentation

if TYPE_CHECKING:
    from types import SimpleNamespace


class ImdbConv1d(ReviewModel):
    """Word vectors, one convolution over five words, the maximum over the review, a dense layer.

    It looks for short phrases that tell a review's opinion, wherever they stand. Its units are gelu: the maxima over a
    review of relu units are all positive, and half of the relu units behind them never fire. Augmentation deletes and
    swaps words.

    Args:
        num_words: Integer, the vocabulary size. Defaults to `20_000`.
        length: Integer, how many tokens of a review are read, from its end. Defaults to `400`.
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Reference:

    - [Kim, 2014](https://arxiv.org/abs/1408.5882)
    """

    name = "imdb_conv1d"
    epochs = 4
    num_words, length = 20_000, 400
    roles = with_capacity("filters")
    hyperparameters = common(
        l2=Float(1e-5, 1e-7, 1e-2, "log"),
        dropout=Float(0.5, 0.0, 0.8),
        activation=Choice("gelu", ("gelu", "relu", "leaky_relu", "elu", "silu", "tanh")),
        units=Int(64, 8, 512, "log"),
        layers=Int(1, 0, 3),
        filters=Int(128, 8, 512, "log"),
        embedding=Int(64, 8, 300, "log"),
    )

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        dropout = [keras.layers.Dropout(chosen.dropout, name="embedding_dropout")] if chosen.dropout else []
        return keras.Sequential(
            [
                keras.Input((self.length,), dtype="int32"),
                *token_augmentation(chosen),
                keras.layers.Embedding(self.num_words, chosen.embedding, name="embedding"),
                *dropout,
                keras.layers.Conv1D(
                    chosen.filters,
                    5,
                    activation=chosen.activation,
                    kernel_initializer=initializer(chosen.initializer, dropout=chosen.dropout),
                    kernel_regularizer=regularizer(chosen),
                    name="phrases",
                ),
                keras.layers.GlobalMaxPooling1D(name="pool"),
                *hidden_dense(chosen),
                classifier(2),
            ]
        )
