"""Learned positions, which Keras' core lacks."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kregtools")
class PositionEmbedding(keras.layers.Layer):
    """Adds a learned vector for each position to the vectors of a sequence.

    Args:
        initializer: Initializer of the position vectors. Defaults to `"uniform"`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        `(batch, length, features)`, of a fixed length.

    Output shape:
        The same as the input shape.

    Raises:
        ValueError: If the input is no sequence of vectors of a fixed length, or later of another one.

    Example:

    ```python
    x = keras.layers.Embedding(20_000, 64, mask_zero=True)(keras.Input((256,), dtype="int32"))
    x = kregtools.layers.PositionEmbedding()(x)
    ```
    """

    def __init__(self, initializer: Any = "uniform", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3 or None in input_shape[1:]:
            raise ValueError(
                f"PositionEmbedding has a vector for each position. Received: an input of shape {tuple(input_shape)}. "
                "Expected (batch, length, features) of a known length; set it where the input is made, and pad."
            )
        self.input_spec = keras.layers.InputSpec(shape=(None, *input_shape[1:]))
        self.positions = self.add_weight(shape=input_shape[1:], initializer=self.initializer, name="positions")

    def call(self, inputs: Any) -> Any:
        return inputs + self.positions

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}
