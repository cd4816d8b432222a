"""A learned factor on a residual branch."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kregtools")
class ResidualScale(keras.layers.Layer):
    r"""Multiplies a residual branch by one learned number, which starts at zero: $\alpha F(x)$.

    Put it last in each branch of a residual network, before the sum: $x + \alpha F(x)$. The network then starts as
    the identity, whatever its depth, and needs no normalization layers for the sake of its start. The branch begins
    to learn as soon as α has left zero. This is SkipInit, and ReZero.

    A HealthMonitor sees no gradient in the branch at the first step, and says nothing of it: that is how it starts.

    Args:
        initializer: Initializer of α. Defaults to `"zeros"`.
        regularizer: Regularizer of α, or `None`. Defaults to `None`.
        constraint: Constraint of α, or `None`. Defaults to `None`.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        Any.

    Output shape:
        The same as the input shape.

    Example:

    ```python
    h = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(x)
    h = keras.layers.Conv2D(64, 3, padding="same")(h)
    x = keras.layers.Add()([x, kregtools.layers.ResidualScale()(h)])
    ```

    Reference:

    - [De and Smith, 2020](https://arxiv.org/abs/2002.10444) (SkipInit)
    - [Bachlechner et al., 2021](https://arxiv.org/abs/2003.04887) (ReZero)
    """

    def __init__(
        self, initializer: Any = "zeros", regularizer: Any = None, constraint: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)
        self.regularizer = keras.regularizers.get(regularizer)
        self.constraint = keras.constraints.get(constraint)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(
            shape=(),
            initializer=self.initializer,
            regularizer=self.regularizer,
            constraint=self.constraint,
            name="scale",
        )

    def call(self, inputs: Any) -> Any:
        return self.scale * inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "initializer": keras.initializers.serialize(self.initializer),
            "regularizer": keras.regularizers.serialize(self.regularizer),
            "constraint": keras.constraints.serialize(self.constraint),
        }
