"""Texts with tokens that have changed places."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kregtools.layers.token_augmentation import TokenAugmentation, count_of, length_of


@keras.saving.register_keras_serializable(package="kregtools")
class RandomTokenSwap(TokenAugmentation):
    """Lets tokens of a text change places in pairs.

    Each token takes part with the probability `rate`, but for padding and protected ids; those that take part are
    paired at random, and the two of a pair swap. Where their number is odd, one stays. This is the random swap of EDA,
    but that no token is swapped twice.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the texts
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        rate: Number from 0 to below 1. The share of the tokens that take part. Defaults to `0.1`.
        pad_value: Integer. The id of padding. Defaults to `0`.
        protected: Ids that are never moved, such as those of the start and of unknown words. Defaults to none.
        padding: `"post"` or `"pre"`: the side at which the texts are padded. Defaults to `"post"`.
        seed: Integer, or `None` for a random seed. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        Token ids, `(batch, length)` or of one text `(length,)`.

    Output shape:
        The same as the input shape, and the same type.

    Raises:
        ValueError: If an argument is not as above, or the input has other axes.

    Example:

    ```python
    swap = kregtools.layers.RandomTokenSwap(0.1, protected=(1,))
    train = train.map(lambda tokens, label: (swap(tokens), label))
    ```

    Reference:

    - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196)
    """

    def augment(self, batch: Any) -> Any:
        draws: Any = self.uniform(batch)
        chosen = self.changeable(batch) & (draws < self.rate)
        # Those that take part come first, by their draws and so in random order: neighbours there are a pair.
        order: Any = ops.argsort(ops.where(chosen, draws, 2.0), axis=1)
        ranks: Any = ops.arange(length_of(batch), dtype="int32")
        partner = ops.where(ranks < count_of(chosen) // 2 * 2, ranks + 1 - 2 * (ranks % 2), ranks)
        read = ops.take_along_axis(ops.take_along_axis(order, partner, axis=1), ops.argsort(order, axis=1), axis=1)
        return ops.take_along_axis(batch, read, axis=1)
