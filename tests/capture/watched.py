"""Models of many kinds, how they are trained with and without callbacks, and what must be the same after it."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from kregtools.capture.capture import Dispatcher

RNG = np.random.default_rng(0)
X = RNG.random((96, 12)).astype("float32")
Y = (X.sum(axis=1) > 6).astype("float32")
IMAGES = RNG.random((64, 8, 8, 3)).astype("float32")
TOKENS = RNG.integers(0, 50, size=(96, 10))


def dense(**settings) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid", kernel_regularizer="l2"),
        ]
    )
    model.compile(settings.pop("optimizer", "adam"), "binary_crossentropy", metrics=["accuracy"], **settings)
    return model


def convolutional() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.RandomFlip("horizontal"),
            layers.Conv2D(6, 3, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SpatialDropout2D(0.2),
            layers.MaxPooling2D(),
            layers.SeparableConv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
    return model


def plain_norm() -> keras.Model:
    """Its gradients are products that TensorFlow folds into the optimizer's own, if nothing else uses them."""
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(6, 3),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
    return model


def branches() -> keras.Model:
    a = keras.Input((12,))
    shared = layers.Dense(6, activation="relu", name="shared")
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="tanh"), layers.BatchNormalization()])
    joined = layers.Concatenate()([inner(shared(a)), inner(shared(layers.Rescaling(2.0)(a)))])
    outputs = {"x": layers.Dense(1, name="x")(joined), "y": layers.Dense(1, activation="sigmoid", name="y")(joined)}
    model = keras.Model(a, outputs)
    model.compile("adam", {"x": "mse", "y": "binary_crossentropy"})
    return model


def residual() -> keras.Model:
    inputs = keras.Input((12,))
    x = layers.Dense(8)(inputs)
    for _ in range(3):
        branch = layers.Dense(8)(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dropout(0.1)(keras.activations.gelu(branch))])
    model = keras.Model(inputs, layers.Dense(1)(x))
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=1e-3), "mse")
    return model


def before_activation(kind: str, trainable: bool = True):
    """TensorFlow computes product, bias and activation as one, if nothing else uses what is between them."""

    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(16, 3), layers.Activation(kind)])
        model.trainable = trainable
        model = keras.Sequential([model, layers.GlobalAveragePooling2D(), layers.Dense(16), layers.Activation(kind)])
        model.add(layers.Dense(1, activation="sigmoid"))
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
        return model

    return build


def recurrent() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((10,), dtype="int32"),
            layers.Embedding(50, 8, mask_zero=True),
            layers.Bidirectional(layers.LSTM(6, dropout=0.2)),
            layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile("rmsprop", "binary_crossentropy")
    return model


def attention() -> keras.Model:
    tokens = keras.Input((10,), dtype="int32")
    x = layers.Embedding(50, 8)(tokens)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x))
    model = keras.Model(tokens, layers.Dense(1, activation="sigmoid")(layers.GlobalAveragePooling1D()(x)))
    model.compile("adam", "binary_crossentropy")
    return model


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.top = layers.Dense(8, activation="relu"), layers.Dense(1)

    def call(self, x, training=False):
        return self.top(self.hidden(x))

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


def own_step() -> keras.Model:
    model = OwnStep()
    model.compile("adam", "mse")
    return model


def mixed(policy: str):
    def build() -> keras.Model:
        keras.config.set_dtype_policy(policy)
        try:
            return dense()
        finally:
            keras.config.set_dtype_policy("float32")

    return build


CASES = {
    "dense": (dense, X, Y),
    "xla": (lambda: dense(jit_compile=True), X, Y),
    "eager": (lambda: dense(run_eagerly=True), X, Y),
    "steps_per_execution": (lambda: dense(steps_per_execution=3), X, Y),
    "adamw, clip, ema": (lambda: dense(optimizer=keras.optimizers.AdamW(clipnorm=1.0, use_ema=True)), X, Y),
    "gradient accumulation": (lambda: dense(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=2)), X, Y),
    "mixed_float16": (mixed("mixed_float16"), X, Y),
    "mixed_bfloat16": (mixed("mixed_bfloat16"), X, Y),
    "convolutional": (convolutional, IMAGES, Y[:64]),
    "batchnorm without activation": (plain_norm, IMAGES, Y[:64]),
    "linear, then elu": (before_activation("elu"), IMAGES, Y[:64]),
    "linear, then tanh": (before_activation("tanh"), IMAGES, Y[:64]),
    "linear, then relu, NaN": (before_activation("relu"), np.where(IMAGES > 0.999, np.nan, IMAGES), Y[:64]),
    "frozen, then mish": (before_activation("mish", trainable=False), IMAGES, Y[:64]),
    "residual": (residual, X, Y),
    "branches": (branches, X, {"x": Y, "y": Y}),
    "recurrent": (recurrent, TOKENS, Y),
    "attention": (attention, TOKENS, Y),
    "own train_step, subclassed": (own_step, X, Y),
}


def fit(build, x, y, callbacks=(), fits: int = 2) -> tuple[keras.Model, list]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    model = build()
    histories = []
    for _ in range(fits):
        history = model.fit(x, y, batch_size=20, epochs=2, verbose=0, callbacks=list(callbacks))
        histories.append({name: log for name, log in history.history.items() if not name.startswith("kreg/")})
    return model, histories


def bits(model: keras.Model) -> list[bytes]:
    variables = [*model.weights, *model.optimizer.variables]
    return [np.asarray(variable.numpy()).tobytes() for variable in variables]


def is_as_before(model: keras.Model) -> bool:
    patched = {"train_step", "compute_loss", "apply"} & {*vars(model), *vars(model.optimizer)}
    return (
        not patched
        and not isinstance(model.train_function, Dispatcher)
        and "kregtools" not in repr(keras.Layer.__call__)
    )
