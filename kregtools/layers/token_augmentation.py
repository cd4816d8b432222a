"""What the augmentation layers for token ids share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import keras
from keras import ops

from kregtools._numbers import is_integer, refuse, share
from kregtools.layers.augmentation import Augmentation


class TokenAugmentation(Augmentation):
    """A change of texts given as token ids, which leaves padding and protected ids alone."""

    ranks = (1, 2)
    layout = "token ids, (batch, length) or (length,)"

    def __init__(
        self,
        rate: float = 0.1,
        pad_value: int = 0,
        protected: Sequence[int] = (),
        padding: str = "post",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        # Ids that come as floats keep all their digits.
        super().__init__(seed=seed, **{"autocast": False, **kwargs})
        self.rate = share("rate", rate)
        self.pad_value = pad_value
        ids: tuple[Any, ...] = tuple(protected) if isinstance(protected, Iterable) else (None,)
        if not all(map(is_integer, ids)):
            refuse("protected", protected, "a sequence of token ids, such as (1, 2)")
        self.protected = tuple(map(int, ids))
        if padding not in ("post", "pre"):
            raise ValueError(
                f"Invalid value for argument `padding`. Received: padding={padding!r}. Expected 'post' or 'pre', the "
                "side at which the texts are padded."
            )
        self.padding = padding

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "pad_value": self.pad_value,
            "protected": self.protected,
            "padding": self.padding,
        }

    def changeable(self, tokens: Any) -> Any:
        """Which tokens are neither padding nor protected."""
        found: Any = tokens != self.pad_value
        for token in self.protected:
            found = found & (tokens != token)
        return found

    def uniform(self, tokens: Any) -> Any:
        """A number from 0 to 1 for each token."""
        return keras.random.uniform(ops.shape(tokens), dtype="float32", seed=self.seed_generator)

    def packed(self, tokens: Any, keep: Any, length: Any) -> Any:
        """The tokens to keep, moved together, and padding up to the length."""
        found: Any = ops.take_along_axis(tokens, places_of(keep)[:, :length], axis=1)
        places: Any = ops.arange(length, dtype="int32")
        count = count_of(keep)
        found = ops.where(places < count, found, ops.cast(self.pad_value, found.dtype))
        if self.padding == "post":
            return found
        return ops.take_along_axis(found, (places - ops.maximum(length - count, 0)) % length, axis=1)

    def _dtype_of(self, inputs: Any) -> str:
        return keras.backend.standardize_dtype(inputs.dtype)


def length_of(tokens: Any) -> Any:
    """The length of the texts, a number where it is known."""
    shape: Any = ops.shape(tokens)
    return shape[1]


def places_of(chosen: Any) -> Any:
    """The places of the chosen tokens in their order, then those of the others."""
    size = length_of(chosen)
    places: Any = ops.arange(size, dtype="int32")
    return ops.argsort(ops.where(chosen, places, places + size), axis=1)


def count_of(chosen: Any) -> Any:
    """How many tokens are chosen in each text, as a column."""
    return ops.sum(ops.cast(chosen, "int32"), axis=1, keepdims=True)


def one_of(count: Any, draws: Any) -> Any:
    """A number from 0 to below the count, from a draw between 0 and 1."""
    found: Any = ops.cast(ops.floor(draws * ops.cast(count, draws.dtype)), "int32")
    # The product may be rounded up to the count.
    whole: Any = ops.cast(count, "int32")
    return ops.clip(found, 0, ops.maximum(whole - 1, 0))
