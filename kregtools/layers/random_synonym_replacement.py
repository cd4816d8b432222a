"""Texts with words of the same meaning in the place of others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kregtools._numbers import refuse
from kregtools.layers.token_augmentation import TokenAugmentation, one_of

# Larger ids cannot be told apart where they come as float32.
MOST_TOKENS = 2**24


@keras.saving.register_keras_serializable(package="kregtools")
class RandomSynonymReplacement(TokenAugmentation):
    """Replaces tokens of a text by synonyms, from a table.

    Each token that the table knows is replaced with the probability `rate` by one of its synonyms, all equally
    likely; padding and protected ids are not. This is the synonym replacement of EDA. A table can come from WordNet,
    or from the neighbours in an embedding.

    `training` is `True` where nothing says otherwise, as in Keras' own preprocessing layers: map the layer over a
    `tf.data` dataset with TensorFlow, or put it first in a model, where `fit` trains and `predict` leaves the texts
    alone. A model called without `training`, or exported, augments as well, as with Keras' own: export one without the
    layer.

    Args:
        table: Dict from a token id to the list of the ids of its synonyms. It is saved with the layer.
        rate: Number from 0 to below 1. The probability that a token with synonyms is replaced. Defaults to `0.1`.
        pad_value: Integer. The id of padding. Defaults to `0`.
        protected: Ids that are never replaced. Defaults to none.
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
    synonyms = {"good": ["fine", "great"], "film": ["movie"]}
    table = {word_index[word]: [word_index[other] for other in others] for word, others in synonyms.items()}
    replace = kregtools.layers.RandomSynonymReplacement(table, 0.2)
    train = train.map(lambda tokens, label: (replace(tokens), label))
    ```

    Reference:

    - [Wei and Zou, 2019](https://arxiv.org/abs/1901.11196)
    """

    def __init__(self, table: Mapping[int, Sequence[int]], rate: float = 0.1, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        known = _known(table)
        self.table = known
        self.counts = np.zeros(max(known) + 1, "int32")
        for token, others in known.items():
            self.counts[token] = len(others)
        self.firsts = np.cumsum(self.counts, dtype="int32") - self.counts
        self.synonyms = np.concatenate([known[token] for token in sorted(known)]).astype("int32")

    def augment(self, batch: Any) -> Any:
        within: Any = ops.clip(batch, 0, len(self.counts) - 1)
        known = ops.cast(within, "int32")
        counts: Any = ops.where(within == batch, ops.take(self.counts, known, axis=0), 0)
        replaced = self.changeable(batch) & (counts > 0) & (self.uniform(batch) < self.rate)
        chosen = ops.take(self.firsts, known, axis=0) + one_of(counts, self.uniform(batch))
        # What has no synonyms may point past the end.
        chosen = ops.minimum(chosen, len(self.synonyms) - 1)
        return ops.where(replaced, ops.cast(ops.take(self.synonyms, chosen, axis=0), batch.dtype), batch)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "table": {str(token): others for token, others in self.table.items()}}


def _known(table: Any) -> dict[int, list[int]]:
    # A saved table has its keys as strings.
    pairs = table.items() if isinstance(table, Mapping) else ()
    try:
        known = {int(token): [int(other) for other in others] for token, others in pairs}
    except (TypeError, ValueError):
        known = {}
    if not known or min(known) < 0 or max(known) >= MOST_TOKENS or not all(known.values()):
        expected = f"a dict from token ids to lists of ids, none of them empty, with ids below {MOST_TOKENS:,}"
        refuse("table", table, expected)
    return known
