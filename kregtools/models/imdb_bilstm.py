"""Movie reviews as sequences of words, read in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras

from kregtools.models.blocks import classifier, normalization, regularizer
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.recipe_model import common, with_capacity
from kregtools.models.reviews import ReviewModel, token_augmentation

if TYPE_CHECKING:
    from types import SimpleNamespace


class ImdbBilstm(ReviewModel):
    """Word vectors, one LSTM in each direction, the maximum of their states over the review.

    Dropout takes whole coordinates of the word vectors for a review, and states after the pooling. Augmentation
    deletes and swaps words.

    Args:
        num_words: Integer, the vocabulary size. Defaults to `10_000`.
        length: Integer, how many tokens of a review are read, from its end. Defaults to `200`.
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.
    """

    name = "imdb_bilstm"
    epochs = 4
    num_words, length = 10_000, 200
    roles = with_capacity("units")
    hyperparameters = common(
        l2=Float(1e-6, 1e-7, 1e-2, "log"),
        dropout=Float(0.5, 0.0, 0.8),
        learning_rate=Float(2e-3, 1e-4, 2e-2, "log"),
        activation=Choice("tanh", ("tanh",)),
        initializer=Choice("glorot_uniform", ("glorot_uniform", "lecun_normal", "orthogonal")),
        schedule=Choice("cosine", ("constant", "cosine", "warmup_cosine", "step")),
        units=Int(32, 4, 256, "log"),
        embedding=Int(64, 8, 300, "log"),
    )

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        coordinates = (
            [keras.layers.SpatialDropout1D(chosen.dropout, name="embedding_dropout")] if chosen.dropout else []
        )
        states = [keras.layers.Dropout(chosen.dropout, name="dropout")] if chosen.dropout else []
        lstm = keras.layers.LSTM(
            chosen.units,
            activation=chosen.activation,
            return_sequences=True,
            kernel_initializer=chosen.initializer,
            kernel_regularizer=regularizer(chosen),
            name="lstm",
        )
        return keras.Sequential(
            [
                keras.Input((self.length,), dtype="int32"),
                *token_augmentation(chosen),
                keras.layers.Embedding(self.num_words, chosen.embedding, name="embedding"),
                *coordinates,
                keras.layers.Bidirectional(lstm, name="both_directions"),
                keras.layers.GlobalMaxPooling1D(name="pool"),
                *normalization(chosen.normalization, "normalization"),
                *states,
                classifier(2),
            ]
        )
