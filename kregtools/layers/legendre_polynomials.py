"""Polynomials of one number that gradient descent can tell apart."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kregtools")
class LegendrePolynomials(keras.layers.Layer):
    r"""The Legendre polynomials of degree 1 to `degree` of a number between -1 and 1.

    $(n + 1) P_{n + 1}(x) = (2 n + 1) x P_n(x) - n P_{n - 1}(x)$, times $\sqrt{2 n + 1}$, so that each has variance 1
    over the interval. Powers of x span the same functions, but no gradient descent can tell them apart.

    Args:
        degree: Integer, the highest degree.
        **kwargs: As for `keras.layers.Layer`.

    Input shape:
        `(batch, 1)`.

    Output shape:
        `(batch, degree)`.
    """

    def __init__(self, degree: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.degree = degree

    def call(self, inputs: Any) -> Any:
        polynomials = [keras.ops.ones_like(inputs), inputs]
        for n in range(1, self.degree):
            polynomials.append(((2 * n + 1) * inputs * polynomials[n] - n * polynomials[n - 1]) / (n + 1))
        scaled = [(2 * n + 1) ** 0.5 * polynomials[n] for n in range(1, self.degree + 1)]
        return keras.ops.concatenate(scaled, axis=-1)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (*input_shape[:-1], self.degree)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "degree": self.degree}
