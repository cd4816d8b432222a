"""Movie reviews as bags of words, through two small dense layers."""

from __future__ import annotations

from typing import ClassVar

import keras
import keras_tuner

from kregtools.models._dense import RegularizedDense


class ImdbBow(RegularizedDense):
    """A small dense network on multi-hot IMDB reviews.

    `num_words` inputs that are 0 or 1, two small relu layers, one sigmoid unit, RMSprop. Left without L2 and
    dropout it overfits within a few epochs, so it shows well what regularization does. Its inputs come from
    `kregtools.datasets.multi_hot`. Its hyperparameters are `l2`, `dropout` and `learning_rate`; each is searched
    unless it is given here. A value of 0 for `l2` or `dropout` leaves the regularizer or the layers out.

    Args:
        num_words: Integer, the vocabulary size, which is the number of inputs. Defaults to `10_000`.
        units: Integer, the width of both hidden layers. Defaults to `16`.
        l2: Float, fixes the L2 factor of both hidden kernels. Defaults to `None`.
        dropout: Float, fixes the dropout rate after both hidden layers. Defaults to `None`.
        learning_rate: Float, fixes the learning rate. Defaults to `None`.

    Example:
        >>> hp = keras_tuner.HyperParameters()
        >>> model = kregtools.models.ImdbBow().build(hp)
        >>> unregularized = kregtools.models.ImdbBow(l2=0, dropout=0).build(keras_tuner.HyperParameters())
    """

    defaults: ClassVar[dict[str, float]] = {"l2": 3e-4, "dropout": 0.4, "learning_rate": 7e-4}

    def __init__(
        self,
        num_words: int = 10_000,
        units: int = 16,
        *,
        l2: float | None = None,
        dropout: float | None = None,
        learning_rate: float | None = None,
    ) -> None:
        super().__init__(units, l2=l2, dropout=dropout, learning_rate=learning_rate)
        self.num_words = num_words

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        model = keras.Sequential(
            [
                keras.Input((self.num_words,)),
                *self._hidden(hp),
                keras.layers.Dense(1, activation="sigmoid", name="output"),
            ]
        )
        optimizer = keras.optimizers.RMSprop(self._learning_rate(hp))
        model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["accuracy"])
        return model
