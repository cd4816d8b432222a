"""Texts with tokens put in."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from kregtools._numbers import is_integer
from kregtools.layers.token_augmentation import TokenAugmentation, count_of, length_of, one_of, places_of


@keras.saving.register_keras_serializable(package="kregtools")
class RandomTokenInsertion(TokenAugmentation):
    """Puts random tokens into a text.

    After each token a random one comes in with the probability `rate`, but not after protected ids or padding. It is
    one of the text's own tokens, or one of the vocabulary. The length stays the same: where the text has no room left,
    it loses tokens at its end, and no protected ones. EDA inserts synonyms; for these see `RandomSynonymReplacement`.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the texts
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        rate: Number from 0 to below 1. The probability of a token to come in after a token. Defaults to `0.1`.
        vocabulary_size: Integer: insert ids from 0 to below this, all equally likely, but for padding and protected
            ids. Defaults to `None`: insert tokens of the text itself.
        pad_value: Integer. The id of padding, which stands at one side of the text only. Defaults to `0`.
        protected: Ids that are never lost nor inserted, such as those of the start and of unknown words. Defaults to
            none.
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
    insert = kregtools.layers.RandomTokenInsertion(0.1, vocabulary_size=10_000, protected=(1, 2))
    train = train.map(lambda tokens, label: (insert(tokens), label))
    ```

    Reference:

    - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196)
    """

    def __init__(self, rate: float = 0.1, vocabulary_size: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.vocabulary_size = vocabulary_size
        if vocabulary_size is not None:
            self.vocabulary = self._vocabulary(vocabulary_size)
            self.vocabulary_size = int(vocabulary_size)

    def augment(self, batch: Any) -> Any:
        length = length_of(batch)
        changeable = self.changeable(batch)
        inserted = changeable & (self.uniform(batch) < self.rate)
        tokens = _interleaved(batch, self._drawn(batch, changeable))
        keep = _interleaved(batch != self.pad_value, inserted)
        droppable = _interleaved(changeable, inserted)
        from_end = ops.flip(ops.cumsum(ops.cast(ops.flip(droppable, axis=1), "int32"), axis=1), axis=1)
        overflow: Any = droppable & (from_end <= count_of(keep) - length)
        return self.packed(tokens, keep & ~overflow, length)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "vocabulary_size": self.vocabulary_size}

    def _vocabulary(self, size: Any) -> np.ndarray:
        left_out = (self.pad_value, *self.protected)
        found = np.setdiff1d(np.arange(size if is_integer(size) else 0), left_out)
        if not len(found):
            raise ValueError(
                f"Invalid value for argument `vocabulary_size`. Received: vocabulary_size={size!r}, with padding and "
                f"protected ids {left_out}. Expected an integer that leaves ids to insert, or None."
            )
        return found.astype("int32")

    def _drawn(self, tokens: Any, changeable: Any) -> Any:
        """A token for each place, to come in after it."""
        draws = self.uniform(tokens)
        if self.vocabulary_size is not None:
            return ops.cast(ops.take(self.vocabulary, one_of(len(self.vocabulary), draws), axis=0), tokens.dtype)
        own = ops.take_along_axis(places_of(changeable), one_of(count_of(changeable), draws), axis=1)
        return ops.take_along_axis(tokens, own, axis=1)


def _interleaved(first: Any, second: Any) -> Any:
    """One of the first, one of the second, and so on."""
    return ops.reshape(ops.stack([first, second], axis=2), (-1, 2 * length_of(first)))
