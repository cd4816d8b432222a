"""Train steps of one's own, with gradient tapes: adversaries, penalties, models around models."""

import keras
import tensorflow as tf
from cases_structure import compiled
from keras import layers, ops
from watched import ACTIVATION, GRADIENT, IMAGES, Case, X, Y, arrays

UNWATCHED = {ACTIVATION, GRADIENT, "kernel", "bias"}


def net(*body: layers.Layer, name: str | None = None, width: int | None = 12) -> keras.Sequential:
    return keras.Sequential([*([keras.Input((width,))] if width else []), *body], name=name)


def discriminator(**settings) -> keras.Sequential:
    return net(layers.Dense(8, activation="leaky_relu"), layers.Dense(1), name="discriminator", **settings)


def generator(**settings) -> keras.Sequential:
    settings = {"width": 4, **settings}
    return net(
        layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(12), name="generator", **settings
    )


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


class TwoTapes(OwnStep):
    """A part of the gradient from each of two tapes, one of them persistent and asked twice."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape(persistent=True) as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        first = tape.gradient(loss, self.hidden.trainable_variables)
        second = tape.gradient(loss, self.top.trainable_variables)
        with tf.GradientTape(watch_accessed_variables=False) as other:
            other.watch([v.value for v in self.trainable_variables])
            penalty = tf.reduce_mean(self(x, training=True) ** 2)
        more = other.gradient(penalty, [v.value for v in self.trainable_variables])
        gradients = [a + 0.1 * b for a, b in zip([*first, *second], more, strict=True)]
        self.optimizer.apply(gradients, [*self.hidden.trainable_variables, *self.top.trainable_variables])
        return {"loss": loss, "penalty": penalty}


class Adversarial(OwnStep):
    """Gradients of the loss with respect to the inputs, then training on moved inputs."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = self.compute_loss(x, y, self(x, training=True))
        x = x + 0.1 * tf.sign(tape.gradient(loss, x))
        return super().train_step((x, y))


class SharpnessAware(OwnStep):
    """Two backward passes; the weights are moved and moved back in between."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        moves = [0.05 * gradient for gradient in tape.gradient(loss, self.trainable_variables)]
        for variable, move in zip(self.trainable_variables, moves, strict=True):
            variable.assign_add(move)
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x, y, self(x, training=True))
        gradients = tape.gradient(loss, self.trainable_variables)
        for variable, move in zip(self.trainable_variables, moves, strict=True):
            variable.assign_sub(move)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


class Physics(OwnStep):
    """Trained on a derivative of its own output: nested tapes, the inner one inside the loss."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(x)
                output = self(x, training=True)
            slope = inner.gradient(output, x)
            loss = tf.reduce_mean((slope[:, 0] - tf.cast(y, slope.dtype)) ** 2) + tf.reduce_mean(output**2)
        gradients = outer.gradient(loss, self.trainable_variables)
        # The last bias has no part in a derivative.
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return {"loss": loss}


class TwoOptimizers(keras.Model):
    """Two optimizers, two nets that train each other, losses of its own."""

    def __init__(self, built: bool):
        super().__init__()
        settings = {} if built else {"width": None}
        self.discriminator, self.generator = discriminator(**settings), generator(**settings)
        self.seed_generator = keras.random.SeedGenerator(5)
        self.d_tracker, self.g_tracker = keras.metrics.Mean(name="d"), keras.metrics.Mean(name="g")

    @property
    def metrics(self):
        return [self.d_tracker, self.g_tracker]

    def compile(self, built: bool):
        super().compile()
        self.d_optimizer, self.g_optimizer = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-3)
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)
        if built:
            self.d_optimizer.build(self.discriminator.trainable_variables)
            self.g_optimizer.build(self.generator.trainable_variables)

    def train_step(self, data):
        real = data[0] if isinstance(data, tuple) else data
        size = tf.shape(real)[0]
        noise = keras.random.normal((size, 4), seed=self.seed_generator)
        images = tf.concat([self.generator(noise), real], axis=0)
        labels = tf.concat([tf.ones((size, 1)), tf.zeros((size, 1))], axis=0)
        with tf.GradientTape() as tape:
            d_loss = self.loss_fn(labels, self.discriminator(images, training=True))
        gradients = tape.gradient(d_loss, self.discriminator.trainable_weights)
        self.d_optimizer.apply_gradients(zip(gradients, self.discriminator.trainable_weights, strict=True))
        noise = keras.random.normal((size, 4), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            judged = self.discriminator(self.generator(noise, training=True))
            g_loss = self.loss_fn(tf.zeros((size, 1)), judged)
        gradients = tape.gradient(g_loss, self.generator.trainable_weights)
        self.g_optimizer.apply_gradients(zip(gradients, self.generator.trainable_weights, strict=True))
        self.d_tracker.update_state(d_loss)
        self.g_tracker.update_state(g_loss)
        return {"d_loss": self.d_tracker.result(), "g_loss": self.g_tracker.result()}


def two_optimizers(built: bool) -> keras.Model:
    model = TwoOptimizers(built)
    model.compile(built)
    return model


class GradientPenalty(keras.Model):
    """A critic of images with layer normalization, several critic steps for one of the generator, nested tapes."""

    def __init__(self):
        super().__init__()
        self.critic = keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Conv2D(4, 3, strides=2, padding="same"),
                layers.LeakyReLU(0.2),
                layers.Conv2D(8, 3, strides=2, padding="same"),
                layers.LayerNormalization(),
                layers.LeakyReLU(0.2),
                layers.Flatten(),
                layers.Dropout(0.2),
                layers.Dense(1),
            ]
        )
        self.generator = keras.Sequential(
            [
                keras.Input((4,)),
                layers.Dense(4 * 4 * 4, use_bias=False),
                layers.BatchNormalization(),
                layers.LeakyReLU(0.2),
                layers.Reshape((4, 4, 4)),
                layers.UpSampling2D(),
                layers.Conv2D(3, 3, padding="same", activation="tanh"),
            ]
        )
        self.seed_generator = keras.random.SeedGenerator(6)

    def compile(self):
        super().compile()
        self.c_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.9)
        self.g_optimizer = keras.optimizers.Adam(2e-4, beta_1=0.5, beta_2=0.9)

    def penalty(self, size, real, fake):
        alpha = keras.random.uniform((size, 1, 1, 1), seed=self.seed_generator)
        between = real + alpha * (fake - real)
        with tf.GradientTape() as tape:
            tape.watch(between)
            judged = self.critic(between, training=True)
        gradients = tape.gradient(judged, [between])[0]
        return tf.reduce_mean((tf.sqrt(tf.reduce_sum(tf.square(gradients), axis=[1, 2, 3])) - 1.0) ** 2)

    def train_step(self, data):
        real = data[0] if isinstance(data, tuple) else data
        size = tf.shape(real)[0]
        for _ in range(2):
            noise = keras.random.normal((size, 4), seed=self.seed_generator)
            with tf.GradientTape() as tape:
                fake = self.generator(noise, training=True)
                cost = tf.reduce_mean(self.critic(fake, training=True)) - tf.reduce_mean(
                    self.critic(real, training=True)
                )
                c_loss = cost + 10.0 * self.penalty(size, real, fake)
            gradients = tape.gradient(c_loss, self.critic.trainable_variables)
            self.c_optimizer.apply_gradients(zip(gradients, self.critic.trainable_variables, strict=True))
        noise = keras.random.normal((size, 4), seed=self.seed_generator)
        with tf.GradientTape() as tape:
            g_loss = -tf.reduce_mean(self.critic(self.generator(noise, training=True), training=True))
        gradients = tape.gradient(g_loss, self.generator.trainable_variables)
        self.g_optimizer.apply_gradients(zip(gradients, self.generator.trainable_variables, strict=True))
        return {"c_loss": c_loss, "g_loss": g_loss}


def gradient_penalty() -> keras.Model:
    model = GradientPenalty()
    model.compile()
    return model


class Distiller(keras.Model):
    """A student learns from a teacher that is only called."""

    def __init__(self):
        super().__init__()
        self.teacher = net(layers.Dense(8, activation="tanh", name="teaches"), layers.Dense(3, name="teaches_too"))
        self.student = net(layers.Dense(4, activation="relu"), layers.Dropout(0.1), layers.Dense(3))

    def call(self, x):
        return self.student(x)

    def train_step(self, data):
        x, _ = data
        taught = tf.nn.softmax(self.teacher(x, training=False) / 3.0)
        with tf.GradientTape() as tape:
            learned = self.student(x, training=True)
            loss = tf.reduce_mean(keras.losses.kl_divergence(taught, tf.nn.softmax(learned / 3.0)))
        gradients = tape.gradient(loss, self.student.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.student.trainable_variables, strict=True))
        return {"loss": loss}


class TaughtByLoss(keras.Model):
    """The distiller of Keras 3's own kind: the default step, another model called in `compute_loss`."""

    def __init__(self):
        super().__init__()
        self.teacher = net(layers.Dense(8, activation="tanh"), layers.Dense(1))
        self.student = net(layers.Dense(4, activation="relu"), layers.Dense(1))
        self.teacher.trainable = False

    def call(self, x, training=None):
        return self.student(x, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        taught = self.teacher(x, training=False)
        own = super().compute_loss(x, y, y_pred, sample_weight)
        return own + ops.mean(ops.square(taught - y_pred))


class Contrastive(keras.Model):
    """Two views of each row through one encoder and a projection; a probe with an optimizer of its own."""

    def __init__(self):
        super().__init__()
        self.augment = net(layers.GaussianNoise(0.1), layers.Dropout(0.1))
        self.encoder = net(layers.Dense(8, activation="relu"), layers.Dense(6, activation="relu"), name="encoder")
        self.projection = net(layers.Dense(6, activation="relu"), layers.Dense(4), width=6)
        self.probe = net(layers.Dense(1, name="probe"), width=6)

    def compile(self):
        super().compile()
        self.contrastive_optimizer, self.probe_optimizer = keras.optimizers.Adam(), keras.optimizers.Adam()

    def train_step(self, data):
        x, y = data
        one, other = self.augment(x, training=True), self.augment(x, training=True)
        with tf.GradientTape() as tape:
            views = [self.projection(self.encoder(view, training=True), training=True) for view in (one, other)]
            a, b = (tf.math.l2_normalize(view, axis=1) for view in views)
            similar = tf.matmul(a, b, transpose_b=True) / 0.1
            labels = tf.range(tf.shape(x)[0])
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, similar, from_logits=True))
        learned = [*self.encoder.trainable_weights, *self.projection.trainable_weights]
        self.contrastive_optimizer.apply_gradients(zip(tape.gradient(loss, learned), learned, strict=True))
        with tf.GradientTape() as tape:
            judged = self.probe(self.encoder(x, training=False))
            probe_loss = tf.reduce_mean(keras.losses.binary_crossentropy(y[:, None], judged, from_logits=True))
        learned = self.probe.trainable_weights
        self.probe_optimizer.apply_gradients(zip(tape.gradient(probe_loss, learned), learned, strict=True))
        return {"loss": loss, "probe_loss": probe_loss}


def contrastive() -> keras.Model:
    model = Contrastive()
    model.compile()
    return model


class Denoiser(keras.Model):
    """A net around another with a moving average of it, noise drawn in the step, metrics of its own."""

    def __init__(self):
        super().__init__()
        self.network, self.average = generator(width=12), generator(width=12)
        self.normalizer = layers.Normalization()
        self.normalizer.adapt(X)
        self.average.trainable = False
        self.tracker = keras.metrics.Mean(name="noise_loss")

    @property
    def metrics(self):
        return [self.tracker]

    def call(self, x):
        return self.average(x)

    def train_step(self, data):
        x = self.normalizer(data[0], training=True)
        noise = keras.random.normal(ops.shape(x))
        with tf.GradientTape() as tape:
            loss = ops.mean(ops.abs(noise - self.network(x + noise, training=True)))
        gradients = tape.gradient(loss, self.network.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.network.trainable_weights, strict=True))
        self.tracker.update_state(loss)
        for weight, average in zip(self.network.weights, self.average.weights, strict=True):
            average.assign(0.9 * average + 0.1 * weight)
        return {metric.name: metric.result() for metric in self.metrics}


class Calls(layers.Layer):
    """Leaves TensorFlow for Python in every step, and draws there."""

    def call(self, x):
        import numpy as np

        noise = tf.numpy_function(lambda rows: np.random.rand(len(rows), 1).astype("float32"), [x], tf.float32)
        return x + 0.1 * tf.reshape(noise, (-1, 1))


def leaves_for_python() -> keras.Model:
    return compiled(net(Calls(), layers.Dense(4, activation="relu"), layers.Dense(1)))


PICTURES = arrays(IMAGES, None)
NOT_CALLED = {"normal": UNWATCHED}
TAUGHT = {"teaches": {GRADIENT, "kernel", "bias"}, "teaches_too": {GRADIENT, "kernel", "bias"}}
# The average is not called in the step.
AVERAGED = {name: {ACTIVATION} for name in ("dense_2", "batch_normalization_1", "dense_3")}
CASES = {
    "own step": Case(lambda: compiled(OwnStep())),
    "own step, xla": Case(lambda: compiled(OwnStep(), jit_compile=True)),
    "own step, eager": Case(lambda: compiled(OwnStep(), run_eagerly=True)),
    "two tapes": Case(lambda: compiled(TwoTapes())),
    "adversarial inputs": Case(lambda: compiled(Adversarial())),
    "sharpness aware": Case(lambda: compiled(SharpnessAware())),
    "derivative of its own": Case(lambda: compiled(Physics()), arrays(X, Y)),
    "two optimizers, built lazily": Case(lambda: two_optimizers(False), arrays(X, None)),
    "two optimizers, built before": Case(lambda: two_optimizers(True), arrays(X, None)),
    "gradient penalty": Case(gradient_penalty, PICTURES),
    "distillation": Case(lambda: compiled(Distiller()), without=TAUGHT),
    "distillation in the loss": Case(lambda: compiled(TaughtByLoss())),
    "contrastive pretraining": Case(contrastive),
    "moving average of a net": Case(lambda: compiled(Denoiser()), without=AVERAGED),
    "leaves for Python": Case(leaves_for_python),
}
