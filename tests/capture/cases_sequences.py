"""Nets for sequences: recurrent ones, masks, attention, embeddings."""

import keras
import numpy as np
from cases_settings import mixed
from keras import layers, ops
from watched import ACTIVATION, GRADIENT, RNG, SERIES, TOKENS, Case, Y, arrays, momentum

PADDED = np.where(np.arange(10) < RNG.integers(3, 11, size=(96, 1)), TOKENS, 0)
LABELS = Y[:64]


def tokens(*body: layers.Layer, top: layers.Layer | None = None, **settings) -> keras.Model:
    top = top or layers.Dense(1, activation="sigmoid")
    model = keras.Sequential([keras.Input((10,), dtype="int32"), *body, top])
    settings = {"optimizer": "rmsprop", "loss": "binary_crossentropy", **settings}
    model.compile(**settings)
    return model


def series(*body: layers.Layer, **settings) -> keras.Model:
    model = keras.Sequential([keras.Input((12, 3)), *body, layers.Dense(1)])
    model.compile(momentum(), "mse", **settings)
    return model


def bidirectional(**settings) -> keras.Model:
    embedding = layers.Embedding(50, 8, mask_zero=True)
    return tokens(embedding, layers.Bidirectional(layers.LSTM(6, dropout=0.2)), **settings)


def stacked_masked() -> keras.Model:
    return tokens(
        layers.Embedding(50, 8, mask_zero=True),
        layers.LSTM(6, return_sequences=True, activity_regularizer="l2"),
        layers.TimeDistributed(layers.Dense(5, activation="relu")),
        layers.GRU(5, recurrent_dropout=0.1),
        layers.LayerNormalization(),
    )


def masking() -> keras.Model:
    return series(layers.Masking(), layers.Bidirectional(layers.GRU(4, return_sequences=True)), layers.SimpleRNN(4))


class MinimalCell(layers.Layer):
    def __init__(self, units: int):
        super().__init__()
        self.units = self.state_size = units
        self.inner = layers.Dense(units, activation="tanh")

    def build(self, shape):
        self.inner.build((*shape[:-1], shape[-1] + self.units))
        self.built = True

    def call(self, x, states, training=False):
        output = self.inner(ops.concatenate([x, states[0]], axis=-1))
        return output, [output]


def own_cells() -> keras.Model:
    stacked = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)])
    return series(layers.RNN(MinimalCell(4), return_sequences=True), stacked)


def encoder_decoder() -> keras.Model:
    source, target = keras.Input((None, 3), name="source"), keras.Input((None, 3), name="target")
    _, h, c = layers.LSTM(5, return_state=True)(source)
    decoded = layers.LSTM(5, return_sequences=True)(target, initial_state=[h, c])
    model = keras.Model({"source": source, "target": target}, layers.Dense(3)(decoded))
    model.compile(momentum(), "mse")
    return model


def attention(**settings) -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    x = layers.Embedding(50, 8)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(x)))
    model.compile(momentum(), "binary_crossentropy", **settings)
    return model


def masked_attention() -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    x = layers.Embedding(50, 8, mask_zero=True)(inputs)
    x = x + layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = layers.GlobalAveragePooling1D()(layers.RMSNormalization()(x))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.AdamW(1e-3), "binary_crossentropy")
    return model


def series_transformer(blocks: int = 2, **settings) -> keras.Model:
    """Residual streams on time series: the tensors between the blocks have many consumers."""
    inputs = keras.Input((12, 3))
    x = inputs
    for _ in range(blocks):
        y = layers.MultiHeadAttention(2, 8, dropout=0.25)(x, x)
        y = layers.Dropout(0.25)(y)
        y = layers.LayerNormalization(epsilon=1e-6)(y)
        residual = y + x
        y = layers.Conv1D(4, 1, activation="relu")(residual)
        y = layers.Dropout(0.25)(y)
        y = layers.Conv1D(3, 1)(y)
        y = layers.LayerNormalization(epsilon=1e-6)(y)
        x = y + residual
    x = layers.GlobalAveragePooling1D(data_format="channels_last")(x)
    x = layers.Dropout(0.4)(layers.Dense(16, activation="relu")(x))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(x))
    model.compile(momentum(), "sparse_categorical_crossentropy", metrics=["accuracy"], **settings)
    return model


class Positions(layers.Layer):
    """Embeds tokens and positions, and hands the mask on itself."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True
        self.words, self.places = layers.Embedding(50, 8), layers.Embedding(10, 8)

    def call(self, inputs):
        return self.words(inputs) + self.places(ops.arange(ops.shape(inputs)[-1]))

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0)


class Block(layers.Layer):
    def __init__(self):
        super().__init__()
        self.supports_masking = True
        self.attention, self.norm = layers.MultiHeadAttention(2, 4), layers.LayerNormalization()
        self.widen = keras.Sequential([layers.Dense(16, activation="gelu"), layers.Dense(8)])

    def call(self, x, mask=None, training=False):
        mask = None if mask is None else mask[:, None, :]
        x = self.norm(x + self.attention(x, x, attention_mask=mask, training=training))
        return x + self.widen(x)


def language_model() -> keras.Model:
    return tokens(
        Positions(),
        Block(),
        Block(),
        top=layers.Dense(50),
        optimizer=momentum(),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )


def tied() -> keras.Model:
    inputs = keras.Input((10,), dtype="int32")
    embedding = layers.ReversibleEmbedding(50, 8) if hasattr(layers, "ReversibleEmbedding") else layers.Embedding(50, 8)
    x = layers.Dense(8, activation="gelu")(embedding(inputs))
    last = embedding(x, reverse=True) if hasattr(layers, "ReversibleEmbedding") else layers.Dense(50)(x)
    model = keras.Model(inputs, last)
    model.compile(momentum(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def causal_convolutions() -> keras.Model:
    return series(
        layers.Conv1D(4, 2, padding="causal", dilation_rate=2, activation="relu"),
        layers.UnitNormalization(),
        layers.Conv1DTranspose(4, 2, activation="selu"),
        layers.AlphaDropout(0.1),
        layers.GlobalMaxPooling1D(),
    )


def not_called(*names: str) -> dict[str, set[str]]:
    """Inner layers whose `call` is used past `__call__`, or not at all."""
    return {name: {ACTIVATION, GRADIENT} for name in names}


SERIES_FEED = arrays(SERIES, LABELS)
RAGGED = np.where(np.arange(12)[None, :, None] < RNG.integers(4, 13, size=(64, 1, 1)), SERIES, 0.0).astype("float32")
CASES = {
    "bidirectional, mask": Case(bidirectional, arrays(PADDED, Y)),
    "bidirectional, mask, eager": Case(lambda: bidirectional(run_eagerly=True), arrays(PADDED, Y)),
    "lstm and gru, mask": Case(stacked_masked, arrays(PADDED, Y), without=not_called("dense")),
    "lstm, mixed_float16": Case(mixed("mixed_float16", lambda: series(layers.LSTM(4))), SERIES_FEED),
    "masking": Case(masking, arrays(RAGGED, LABELS)),
    "cells of one's own": Case(own_cells, SERIES_FEED),
    "encoder and decoder": Case(
        encoder_decoder, arrays({"source": SERIES, "target": SERIES[:, :5]}, SERIES[:, :5], batch_size=13)
    ),
    "attention": Case(attention, arrays(TOKENS, Y)),
    "attention, mask": Case(masked_attention, arrays(PADDED, Y), without=not_called("softmax", "dropout")),
    "attention, mixed_bfloat16": Case(mixed("mixed_bfloat16", attention), arrays(TOKENS, Y)),
    "transformer on time series": Case(series_transformer, SERIES_FEED),
    "transformer on time series, xla": Case(lambda: series_transformer(1, jit_compile=True), SERIES_FEED),
    "transformer on time series, mixed_float16": Case(
        mixed("mixed_float16", lambda: series_transformer(1)), SERIES_FEED
    ),
    "language model": Case(
        language_model,
        arrays(PADDED, np.roll(PADDED, -1, axis=1)),
        without=not_called("softmax", "dropout", "softmax_1", "dropout_1"),
    ),
    "tied embedding": Case(tied, arrays(TOKENS, np.roll(TOKENS, -1, axis=1))),
    "causal convolutions": Case(causal_convolutions, SERIES_FEED),
}
