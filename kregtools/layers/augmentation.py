"""What the augmentation layers share."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


class Augmentation(keras.layers.Layer):
    """A change of the inputs in training: drawn anew for every sample, none at inference.

    As with Keras' own preprocessing layers `training` is `True` where nothing says otherwise, so that the layer can be
    mapped over a `tf.data.Dataset`, of batches or of single samples. In a model, `fit` and `predict` say it.

    Args:
        seed: Integer, or `None` for a random seed.
        **kwargs: As for `keras.layers.Layer`.
    """

    # How many axes an input may have: first of one sample, then of a batch.
    ranks: tuple[int, ...]
    layout: str

    def __init__(self, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def augment(self, batch: Any) -> Any:
        """The batch, each sample changed in its own way."""
        raise NotImplementedError

    def call(self, inputs: Any, training: bool | None = True) -> Any:
        self._check_rank(inputs.shape)
        samples: Any = ops.cast(inputs, self._dtype_of(inputs))
        if not training:
            return samples
        if len(samples.shape) == self.ranks[0]:
            return self.augment(samples[None])[0]
        return self.augment(samples)

    def compute_output_shape(self, input_shape: Any) -> Any:
        self._check_rank(input_shape)
        return input_shape

    def compute_output_spec(self, inputs: Any, training: bool | None = True) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), self._dtype_of(inputs))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}

    def _dtype_of(self, inputs: Any) -> str:
        return self.compute_dtype

    def _check_rank(self, shape: Any) -> None:
        if len(shape) not in self.ranks:
            raise ValueError(f"{type(self).__name__} takes {self.layout}. Received: an input of shape {tuple(shape)}.")
