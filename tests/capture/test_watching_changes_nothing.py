"""With the same seed, a run ends in the same bits with and without the monitor, and leaves the model as it was."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from kregtools.callbacks import FitDiagnosis, HealthMonitor
from kregtools.capture.capture import Dispatcher
from kregtools.errors import KregtoolsWarning

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


@pytest.mark.parametrize("every", [1, "auto"])
@pytest.mark.parametrize("case", CASES)
def test_weights_optimizer_and_history_are_bit_identical(case, every):
    build, x, y = CASES[case]
    plain, plain_history = fit(build, x, y)
    monitor = HealthMonitor(sample_every=every, verbose=0)
    watched, watched_history = fit(build, x, y, [monitor])
    assert bits(watched) == bits(plain)
    assert repr(watched_history) == repr(plain_history)  # NaN equals NaN
    assert [v.path for v in watched.weights] == [v.path for v in plain.weights]
    assert monitor.record.samples and monitor.record.tensors("gradient_norm")
    assert is_as_before(watched)


def is_as_before(model: keras.Model) -> bool:
    patched = {"train_step", "compute_loss", "apply"} & {*vars(model), *vars(model.optimizer)}
    return (
        not patched
        and not isinstance(model.train_function, Dispatcher)
        and "kregtools" not in repr(keras.Layer.__call__)
    )


def test_random_state_is_the_same_afterwards():
    def draw():
        return [np.random.rand(), float(keras.random.uniform(())), float(tf.random.uniform(()))]

    fit(dense, X, Y)
    expected = draw()
    fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0)])
    assert draw() == expected


def test_logs_alone_change_nothing_either():
    assert bits(fit(dense, X, Y, [FitDiagnosis(verbose=0)])[0]) == bits(fit(dense, X, Y)[0])


def test_the_model_saves_clones_and_pickles_as_before(tmp_path):
    model, _ = fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0)])
    model.save(tmp_path / "model.keras")
    expected = model.predict(X, verbose=0)
    for twin in (
        keras.models.load_model(tmp_path / "model.keras"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
    ):
        np.testing.assert_array_equal(twin.predict(X, verbose=0), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(clone.predict(X, verbose=0), expected)


def test_the_model_saves_in_the_middle_of_a_fit(tmp_path):
    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "model.keras")
            pickle.loads(pickle.dumps(self.model))

    model, _ = fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0), Save()])
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(X, verbose=0), model.predict(X, verbose=0))


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_fit_leaves_nothing_behind(error):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise error

    model = dense()
    monitor = HealthMonitor(sample_every=1, verbose=0)
    with pytest.raises(error):
        model.fit(X, Y, verbose=0, callbacks=[monitor, Interrupt()])
    seen = len(monitor._capture._pending)
    model.fit(X, Y, verbose=0)
    assert is_as_before(model) and len(monitor._capture._pending) == seen
    model.fit(X, Y, verbose=0, callbacks=[monitor])
    assert monitor.record.samples and is_as_before(model)


def test_a_train_function_made_anew_is_watched_again():
    class Freeze(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.layers[0].trainable = False
                self.model.make_train_function(force=True)

    model, monitor = dense(), HealthMonitor(sample_every=1, verbose=0)
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[monitor, Freeze()])
    frame = monitor.record.frame()
    kernels = frame[frame.statistic == "gradient_norm"].groupby("epoch").layer.nunique()
    assert kernels[0] == kernels[1] + 1 == kernels[2] + 1


def test_one_model_is_not_traced_again_at_every_fit():
    model, monitor = dense(), HealthMonitor(sample_every=1, verbose=0)
    for _ in range(12):
        model.fit(X, Y, batch_size=96, verbose=0, callbacks=[monitor])  # TensorFlow would warn of retracing
    assert len(monitor._capture._layouts) == 1


class VectorPenalty(layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.mean(keras.ops.square(x), axis=-1))
        return x


class VectorLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.square(keras.ops.reshape(y, (-1, 1)) - y_pred)


class WiderApply(keras.optimizers.SGD):
    def apply(self, grads, trainable_variables=None, note=None):
        super().apply(grads, trainable_variables)


class NotedStep(OwnStep):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables, note="n")
        return {"loss": loss}


def vector_penalty() -> keras.Model:
    model = keras.Sequential([keras.Input((12,)), layers.Dense(4), VectorPenalty(), layers.Dense(1)])
    model.compile("adam", "mse")
    return model


def vector_loss() -> keras.Model:
    inputs = keras.Input((12,))
    model = VectorLoss(inputs, layers.Dense(1)(inputs))
    model.compile("adam", "mse")
    return model


def noted_step() -> keras.Model:
    model = NotedStep()
    model.compile(WiderApply(0.1), "mse")
    return model


@pytest.mark.parametrize("build", [vector_penalty, vector_loss, noted_step])
def test_an_unusual_loss_or_optimizer_is_watched_all_the_same(build):
    monitor = HealthMonitor(sample_every=1, verbose=0)
    assert bits(fit(build, X, Y, [monitor])[0]) == bits(fit(build, X, Y)[0])
    assert monitor.record.tensors("gradient_norm") and np.isfinite(monitor.record.matrix("loss", "value")[1]).all()


def test_the_penalty_is_the_sum_that_keras_adds():
    monitor = HealthMonitor(sample_every=1, verbose=0)
    fit(vector_penalty, X, Y, [monitor], fits=1)
    frame = monitor.record.frame()
    assert (frame[frame.statistic == "penalty"].value > 0).all()


class Remade(keras.Model):
    """As before Keras gave `make_train_function` its argument `force`, and with the train function kept."""

    def make_train_function(self):
        if self.train_function is None:
            self.train_function = tf.function(lambda iterator: keras.Model.train_step(self, next(iterator)))
        return self.train_function


class Stubborn(Remade):
    def make_train_function(self, force=False):
        return super().make_train_function()


@pytest.mark.parametrize("kind", [Remade, Stubborn])
def test_a_train_function_of_the_users_own_is_one_warning(kind):
    inputs = keras.Input((12,))
    model = kind(inputs, layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    with pytest.warns(KregtoolsWarning, match="`make_train_function` does not use `train_step`") as warned:
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[HealthMonitor(sample_every=1, verbose=0)])
    assert sum(issubclass(warning.category, KregtoolsWarning) for warning in warned) == 1
    assert is_as_before(model)


def test_layers_that_a_callback_freezes_get_no_optimizer_state():
    class Freeze(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.layers[0].trainable = False

    plain, _ = fit(dense, X, Y, [Freeze()])
    watched, _ = fit(dense, X, Y, [HealthMonitor(sample_every=1, verbose=0), Freeze()])
    assert bits(watched) == bits(plain)


class RawNoise(layers.Layer):
    """Draws from a stream that belongs to the compiled function, also inside a loop."""

    def __init__(self, inner: bool):
        super().__init__()
        self.inner = inner

    def call(self, x):
        if self.inner:
            # Drawn one after the other: in parallel the order is not the same from run to run.
            return tf.map_fn(lambda row: row + tf.random.normal(tf.shape(row)), x, parallel_iterations=1)
        return x + tf.random.normal(tf.shape(x))


@pytest.mark.parametrize("inner", [False, True])
def test_a_model_that_draws_from_tensorflow_is_left_alone_or_watched_throughout(inner):
    def build() -> keras.Model:
        model = keras.Sequential([keras.Input((12,)), RawNoise(inner), layers.Dense(4), layers.Dense(1)])
        model.compile("adam", "mse")
        return model

    plain = bits(fit(build, X, Y)[0])
    assert bits(fit(build, X, Y, [HealthMonitor(sample_every=1, verbose=0)])[0]) == plain
    with pytest.warns(KregtoolsWarning, match=r"it draws from `tf.random`, .* use `keras.random`, or `sample_every=1`"):
        watched, _ = fit(build, X, Y, [HealthMonitor(verbose=0)])
    assert bits(watched) == plain
