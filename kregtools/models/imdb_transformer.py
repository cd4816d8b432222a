"""Movie reviews as sequences of words, through self-attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras

from kregtools.layers import PositionEmbedding
from kregtools.models.blocks import classifier, initializer, normalization, regularizer, through
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.recipe_model import common, with_capacity
from kregtools.models.reviews import ReviewModel, token_augmentation

if TYPE_CHECKING:
    from types import SimpleNamespace


class ImdbTransformer(ReviewModel):
    """A small transformer encoder: word and position vectors, `blocks` of self-attention, the mean over the review.

    Each block normalizes what it is given, then adds to it; padding is masked. Dropout follows the word vectors, each
    branch and the mean. Augmentation deletes and swaps words.

    Args:
        num_words: Integer, the vocabulary size. Defaults to `20_000`.
        length: Integer, how many tokens of a review are read, from its end. Defaults to `256`.
        **options: `search`, and values of hyperparameters; see `kregtools.models.RecipeModel`.

    Reference:

    - [Vaswani et al., 2017](https://arxiv.org/abs/1706.03762)
    - [Xiong et al., 2020](https://arxiv.org/abs/2002.04745) (normalization before the branch)
    """

    name = "imdb_transformer"
    epochs = 3
    num_words, length = 20_000, 256
    roles = with_capacity("units")
    hyperparameters = common(
        l2=Float(1e-6, 1e-7, 1e-2, "log"),
        dropout=Float(0.3, 0.0, 0.8),
        initializer=Choice("glorot_uniform", ("glorot_uniform", "he_normal", "lecun_normal", "dropout_aware")),
        normalization=Choice("layer", ("layer", "none")),
        augment=Choice("standard", ("none", "standard")),
        schedule=Choice("cosine", ("constant", "cosine", "warmup_cosine", "step")),
        units=Int(32, 8, 256, "log"),
        heads=Int(2, 1, 8),
        blocks=Int(1, 1, 4),
    )

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        inputs = keras.Input((self.length,), dtype="int32")
        x = through(
            [
                *token_augmentation(chosen),
                keras.layers.Embedding(self.num_words, chosen.units, mask_zero=True, name="embedding"),
                PositionEmbedding(name="position"),
                *_dropout(chosen, "embedding_dropout"),
            ],
            inputs,
        )
        for block in range(1, chosen.blocks + 1):
            x = self._attention(chosen, x, f"block_{block}_attention")
            x = self._feed_forward(chosen, x, f"block_{block}_dense")
        last = [
            *normalization(chosen.normalization, "normalization"),
            keras.layers.GlobalAveragePooling1D(name="pool"),
            *_dropout(chosen, "dropout"),
            classifier(2),
        ]
        return keras.Model(inputs, through(last, x))

    def _attention(self, chosen: SimpleNamespace, x: Any, name: str) -> Any:
        h = through(normalization(chosen.normalization, f"{name}_normalization"), x)
        h = keras.layers.MultiHeadAttention(
            chosen.heads, chosen.units, kernel_regularizer=regularizer(chosen), name=name
        )(h, h)
        return keras.layers.Add(name=f"{name}_sum")([x, through(_dropout(chosen, f"{name}_dropout"), h)])

    def _feed_forward(self, chosen: SimpleNamespace, x: Any, name: str) -> Any:
        branch = [
            *normalization(chosen.normalization, f"{name}_normalization"),
            self._dense(chosen, 4 * chosen.units, f"{name}_1", activation=chosen.activation),
            self._dense(chosen, chosen.units, f"{name}_2", before=chosen.activation),
            *_dropout(chosen, f"{name}_dropout"),
        ]
        return keras.layers.Add(name=f"{name}_sum")([x, through(branch, x)])

    def _dense(
        self, chosen: SimpleNamespace, units: int, name: str, activation: str = "linear", before: str = "linear"
    ) -> keras.layers.Dense:
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=initializer(chosen.initializer, before),
            kernel_regularizer=regularizer(chosen),
            name=name,
        )


def _dropout(chosen: SimpleNamespace, name: str) -> list[keras.layers.Layer]:
    return [keras.layers.Dropout(chosen.dropout, name=name)] if chosen.dropout else []
