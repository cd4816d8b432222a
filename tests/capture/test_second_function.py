"""What a second train function could do twice, or otherwise than the first: it leaves no trace."""

import functools
import random
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases_structure import compiled, stack
from keras import layers, ops
from watched import Case, X, Y, differences, momentum, run

from kregtools.callbacks import HealthMonitor
from kregtools.capture.tensorflow import GraphSampler
from kregtools.errors import KregtoolsWarning


def monitor(every=1) -> HealthMonitor:
    return HealthMonitor(sample_every=every, verbose=0)


class Step(keras.Model):
    """A train step with a penalty of the user's own."""

    def __init__(self):
        super().__init__()
        self.top = layers.Dense(1)
        self.top.build((None, 12))

    def penalty(self, x, weights):
        return 0.0

    def train_step(self, data):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            loss = ops.mean((self.top(x)[:, 0] - ops.cast(y, "float32")) ** 2) + self.penalty(x, weights)
        self.optimizer.apply(tape.gradient(loss, self.top.trainable_weights), self.top.trainable_weights)
        return {"loss": loss}


class Unlabelled(Step):
    def __init__(self):
        super().__init__()
        self.others = iter(tf.data.Dataset.from_tensor_slices(X[::-1].copy()).batch(16).repeat())

    def penalty(self, x, weights):
        return ops.mean((self.top(next(self.others)) - 1.0) ** 2)


@pytest.mark.parametrize("every", [1, pytest.param("auto", marks=pytest.mark.slow)])
def test_batches_that_a_step_fetches_itself_are_fetched_once(every):
    case = Case(lambda: compiled(Unlabelled()))
    watching = monitor(every)
    assert not differences(run(case, [watching]), run(case))
    assert watching.record.samples


class Denoising(Step):
    """Draws from the generator that Keras makes for the whole process when it is asked first."""

    def penalty(self, x, weights):
        return ops.mean(self.top(x + keras.random.normal(ops.shape(x))) ** 2)


def test_what_the_first_trace_makes_for_good_comes_from_the_same_draws():
    case = Case(lambda: compiled(Denoising()))
    assert not differences(run(case, [monitor()]), run(case))


class Counting(Step):
    def __init__(self):
        super().__init__()
        self.rows = self.add_weight(shape=(), initializer="zeros", name="rows")

    def penalty(self, x, weights):
        if weights is not None:
            self.rows.assign_add(ops.sum(ops.cast(weights, "float32")))
        return 0.0


def test_a_variable_that_only_weighted_batches_change_is_changed_once():
    model, watching = compiled(Counting()), monitor()
    model.fit(X, Y, verbose=0, callbacks=[watching])
    model.fit(X, Y, sample_weight=np.ones(96), verbose=0, callbacks=[watching])
    assert float(model.rows) == 96
    assert watching.record.facts["weighted"] is True


class Noise(layers.Layer):
    def call(self, x):
        return x + 0.1 * tf.random.normal(tf.shape(x))


@pytest.mark.slow
def test_fits_that_draw_from_tensorflow_draw_the_same_whichever_of_them_is_watched():
    def fitted(*monitors) -> np.ndarray:
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = stack(Noise(), layers.Dense(1))
        for callbacks in monitors:
            model.fit(X, Y, verbose=0, callbacks=callbacks)
        return np.array(model.layers[-1].kernel)

    plain, watching = fitted([], []), monitor()
    for callbacks in ([watching], [watching]), ([], [monitor()]), ([monitor()], []), ([monitor()], [monitor()]):
        np.testing.assert_array_equal(fitted(*callbacks), plain)


class Baked(layers.Layer):
    """Draws a constant when it is traced."""

    def call(self, x):
        return x + np.random.normal(size=x.shape[1:]).astype("float32") + random.random()


@pytest.mark.parametrize("every", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_what_is_drawn_at_the_trace_is_drawn_once(every):
    def fitted(*monitors):
        keras.utils.set_random_seed(3)
        model = stack(Baked(), layers.Dense(1))
        model.fit(X, Y, epochs=2, verbose=0, callbacks=[*monitors])
        return np.array(model.layers[-1].kernel), random.random(), np.random.random()

    watching = monitor() if every == 1 else HealthMonitor(sample_every=every, verbose=0)
    for one, other in zip(fitted(watching), fitted(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert watching.record.samples


def strategies():
    return tf.distribute.MirroredStrategy(["cpu:0"]), tf.distribute.OneDeviceStrategy("cpu:0")


MIRRORED, ONE_DEVICE = range(2)


OTHERS = [(MIRRORED, False), (ONE_DEVICE, True), (ONE_DEVICE, False)]


@pytest.mark.parametrize(
    "which, noise", [(MIRRORED, True), *(pytest.param(*each, marks=pytest.mark.slow) for each in OTHERS)]
)
def test_a_strategy_of_one_replica_is_rehearsed(which, noise):
    def fitted(*monitors):
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        with strategies()[which].scope():
            model = stack(*[Noise()] * noise, layers.Dense(8, activation="silu"), layers.Dense(1), optimizer=momentum())
        model.fit(X, Y, batch_size=20, epochs=2, verbose=0, callbacks=[*monitors])
        return [np.array(value) for value in (*model.weights, *model.optimizer.variables)]

    watching = monitor()
    for one, other in zip(fitted(watching), fitted(), strict=True):
        np.testing.assert_array_equal(one, other)
    exact = set(watching.record.facts["watching"]["exact"].values())
    assert exact == {GraphSampler.REHEARSED if noise else GraphSampler.IN_PLACE}


def test_nothing_is_warned_of_once_more():
    def warned(*callbacks) -> int:
        model = Step()
        model.unused = model.add_weight(shape=(1,), name="unused")
        model.penalty = lambda x, weights: warnings.warn("a step of the user's own warns", stacklevel=1) or 0.0
        compiled(model)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model.fit(X, Y, epochs=2, verbose=0, callbacks=list(callbacks))
        return sum("of the user's own" in str(each.message) for each in caught)

    assert warned(monitor()) == warned() > 0


def test_a_check_of_all_numbers_does_not_end_the_run():
    tf.debugging.enable_check_numerics()
    try:
        with pytest.warns(KregtoolsWarning, match=r"enable_check_numerics` is on.*Call `tf.debugging.disable_check"):
            stack(layers.Dense(4, activation="relu"), layers.Dense(1)).fit(X, Y, verbose=0, callbacks=[monitor()])
    finally:
        tf.debugging.disable_check_numerics()


def test_where_all_functions_run_eagerly_so_does_the_monitor():
    tf.config.run_functions_eagerly(True)
    try:
        watching, case = monitor(), Case(lambda: stack(layers.Dense(4, activation="relu"), layers.Dense(1)))
        assert not differences(run(case, [watching]), run(case))
    finally:
        tf.config.run_functions_eagerly(False)
    assert watching.record.tensors("std") and watching.coverage.watched.str.contains("activation").all()


class Decorated(Step):
    train_step = tf.function(Step.train_step)


def test_a_train_step_that_is_a_tf_function_is_seen_into():
    case, watching = Case(lambda: compiled(Decorated())), monitor()
    assert not differences(run(case, [watching]), run(case))
    assert watching.coverage.set_index("layer").watched[watching.coverage.layer.iloc[0]].startswith("activation")


def test_in_a_loop_without_fit_nothing_is_put_in_place():
    model = stack(layers.Dense(1))
    callbacks = keras.callbacks.CallbackList([monitor()], model=model, epochs=1, steps=2)
    callbacks.on_train_begin()
    callbacks.on_epoch_begin(0)
    assert np.isfinite(model.train_on_batch(X[:8], Y[:8]))


class Truncated(layers.Layer):
    """Keeps the first steps, and says nothing of its mask."""

    supports_masking = True

    def call(self, x):
        return x[:, :6]


class Mean(layers.Layer):
    supports_masking = True

    def compute_mask(self, inputs, mask=None):
        return None

    def call(self, x):
        return ops.mean(x, axis=1)


def of_many_lengths():
    lengths = (9, 5, 6, 4)
    batches = [(np.ones((16, length), "int32"), np.zeros((16, 1), "float32")) for length in lengths]
    signature = tf.TensorSpec((None, None), tf.int32), tf.TensorSpec((None, 1))
    return {"x": tf.data.Dataset.from_generator(lambda: batches, output_signature=signature)}


@pytest.mark.filterwarnings("ignore::UserWarning:keras")
def test_a_mask_of_another_length_than_the_output_ends_no_run():
    def build() -> keras.Model:
        inputs = keras.Input((None,), dtype="int32")
        h = Truncated(name="cut")(layers.Embedding(3, 4, mask_zero=True)(inputs))
        return compiled(keras.Model(inputs, layers.Dense(1)(Mean()(h))))

    watching, case = monitor(), Case(build, of_many_lengths)
    assert not differences(run(case, [watching]), run(case))
    assert ("cut", "activation") in watching.record.tensors("std")


@pytest.mark.parametrize("policy", ["mixed_float16", pytest.param("float32", marks=pytest.mark.slow)])
def test_accumulated_gradients_are_looked_at_where_they_are_applied(policy):
    keras.config.set_dtype_policy(policy)
    try:
        model, watching = keras.Sequential([keras.Input((12,)), layers.Dense(1, name="top")]), monitor()
        model.compile(keras.optimizers.SGD(0.05, gradient_accumulation_steps=4), "mse")
        for fit in range(2):
            model.fit(X, Y, batch_size=8, verbose=0, callbacks=[watching])
            assert sorted(set(watching.record.frame().step)) == [12 * fit + 3, 12 * fit + 7, 12 * fit + 11]
            assert watching.record.logs[-1]["step"] == 12 * fit + 11
            assert (watching.record.series("top", "kernel", "update_norm")[:2] > 0).all()
    finally:
        keras.config.set_dtype_policy("float32")


class Twice(Step):
    def train_step(self, data):
        super().train_step(data)
        return super().train_step(data)


def test_the_steps_of_logs_and_samples_are_counted_alike():
    watching = monitor()
    run(Case(lambda: compiled(Twice())), [watching])
    assert [log["step"] for log in watching.record.logs] == [4, 9, 14]
    assert max(watching.record.frame().step) == 14


@pytest.mark.filterwarnings("ignore:Gradients do not exist")
@pytest.mark.parametrize("named", [True, False])
def test_targets_are_those_of_their_outputs(named):
    def build() -> keras.Model:
        inputs = keras.Input((12,))
        free = layers.Dense(10, name="free")(inputs)
        judged = layers.Dense(3, activation="softmax", name="judged")(inputs)
        model = keras.Model(inputs, {"free": free, "judged": judged} if named else [free, judged])
        loss = "sparse_categorical_crossentropy"
        model.compile("sgd", {"judged": loss} if named else [None, loss])
        return model

    labels, watching = np.arange(96) % 3, monitor()
    build().fit(X, {"judged": labels} if named else [None, labels], verbose=0, callbacks=[watching])
    name = "target:judged" if named else "target:1"
    assert watching.record.tensors("count_2") == [("", name)] and not watching.record.tensors("count_3")


class Boxes(keras.Model):
    """Two targets for one output, which its loss takes apart."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return sum(ops.mean((y_pred - ops.reshape(each, (-1, 1))) ** 2) for each in y)


def test_targets_without_an_output_of_their_own_are_recorded():
    inputs = keras.Input((12,))
    model, watching = compiled(Boxes(inputs, layers.Dense(1)(inputs))), monitor()
    model.fit(X, (Y, 2 * Y), verbose=0, callbacks=[watching])
    named = {tensor for _, tensor in watching.record.tensors("mean")}
    assert {"target:0", "target:1"} <= named


class Gated(layers.Layer):
    """Its activation is not the last that it does."""

    def __init__(self):
        super().__init__()
        self.activation, self.inner = keras.activations.get("relu"), layers.Dense(4)

    def build(self, shape):
        self.inner.build(shape)

    def call(self, x):
        return -ops.softplus(self.activation(self.inner(x)))


def test_an_activation_inside_a_layer_of_the_users_own_is_not_that_of_its_output():
    watching = monitor()
    stack(Gated(), layers.Dense(4, activation="relu", name="relu"), layers.Dense(1)).fit(
        X, Y, verbose=0, callbacks=[watching]
    )
    assert watching.record.tensors("dead_units") == [("relu", "activation")]


@pytest.mark.parametrize("activation", [functools.partial(ops.leaky_relu, negative_slope=0.2), layers.LeakyReLU()])
def test_an_activation_that_is_no_plain_function_has_its_name(activation):
    model = stack(layers.Dense(4, activation=activation, name="hidden"), layers.Dense(1))
    watching = monitor("auto")
    model.fit(X, Y, verbose=0, callbacks=[watching])
    assert {row["name"]: row["activation"] for row in watching.record.facts["layers"]}["hidden"] == "leaky_relu"


class Several(Step):
    def __init__(self):
        super().__init__()
        self.kept = {"first": keras.optimizers.SGD(0.01)}

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = ops.mean((self.top(x)[:, 0] - ops.cast(y, "float32")) ** 2)
        gradients = tape.gradient(loss, self.top.trainable_weights)
        self.kept["first"].apply(gradients, self.top.trainable_weights)
        return {"loss": loss}


def test_an_optimizer_kept_in_a_dictionary_is_listened_to():
    def build() -> keras.Model:
        model = compiled(Several())
        model.kept["first"].build(model.top.trainable_weights)
        return model

    watching = monitor()
    build().fit(X, Y, verbose=0, callbacks=[watching])
    assert watching.record.tensors("gradient_norm")
    assert not watching.coverage.reason.str.contains("no optimizer").any()


class Gan(keras.Model):
    """Two tapes that are open at once, the discriminator's asked first."""

    def __init__(self):
        super().__init__()
        self.generator = keras.Sequential([keras.Input((12,)), layers.Dense(12, name="drawn")])
        self.discriminator = keras.Sequential([keras.Input((12,)), layers.Dense(1, name="judged")])
        self.first, self.second = keras.optimizers.SGD(0.01), keras.optimizers.SGD(0.02)

    def losses_of(self, x):
        real, false = self.discriminator(x), self.discriminator(self.generator(x))
        return ops.mean(false**2) - ops.mean(real), -3.0 * ops.mean(false)

    def train_step(self, x):
        with tf.GradientTape() as one, tf.GradientTape() as other:
            told, fooled = self.losses_of(x)
        parts = [(one, told, self.discriminator, self.first), (other, fooled, self.generator, self.second)]
        for tape, loss, part, optimizer in parts:
            optimizer.apply(tape.gradient(loss, part.trainable_weights), part.trainable_weights)
        return {"loss": told}


def test_of_two_tapes_a_layers_gradient_is_that_of_the_loss_it_is_trained_by():
    keras.utils.set_random_seed(1)
    model, watching = Gan(), monitor()
    model.compile()
    with tf.GradientTape(persistent=True) as tape:
        drawn = model.generator(X)
        tape.watch(drawn)
        fooled = -3.0 * ops.mean(model.discriminator(drawn))
    expected = float(ops.norm(tape.gradient(fooled, drawn)))
    model.fit(X, batch_size=96, verbose=0, callbacks=[watching])
    found = watching.record.series("drawn", "activation", "gradient_norm")[0]
    assert found == pytest.approx(expected, rel=1e-5)
