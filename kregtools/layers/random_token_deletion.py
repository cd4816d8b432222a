"""Texts with tokens left out."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from kregtools.layers.token_augmentation import TokenAugmentation, length_of


@keras.saving.register_keras_serializable(package="kregtools")
class RandomTokenDeletion(TokenAugmentation):
    """Deletes tokens of a text at random, and moves the rest together.

    Each token goes with the probability `rate`, but for padding and protected ids; of each text at least one of the
    tokens stays. What is left is moved together, and padded where the padding is. This is the random deletion of EDA.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the texts
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        rate: Number from 0 to below 1. The probability that a token is deleted. Defaults to `0.1`.
        pad_value: Integer. The id of padding, which stands at one side of the text only. Defaults to `0`.
        protected: Ids that are never changed, such as those of the start and of unknown words. Defaults to none.
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
    delete = kregtools.layers.RandomTokenDeletion(0.1, protected=(1, 2), padding="pre")
    train = train.map(lambda tokens, label: (delete(tokens), label))
    ```

    Reference:

    - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196)
    """

    def augment(self, batch: Any) -> Any:
        draws, changeable = self.uniform(batch), self.changeable(batch)
        largest = ops.max(ops.where(changeable, draws, -1.0), axis=1, keepdims=True)
        deleted: Any = changeable & (draws < self.rate) & (draws < largest)
        return self.packed(batch, (batch != self.pad_value) & ~deleted, length_of(batch))
