"""What is recorded agrees with the model taken apart: layer by layer in the backend, reduced by NumPy in float64."""

import functools

import by_numpy
import keras
import numpy as np
import pytest
from cases_structure import compiled, stack
from keras import layers, ops
from watched import IMAGES, RNG, SERIES, Case, X, Y, arrays, run

from kregtools.callbacks import HealthMonitor

LABELS = Y[:64]
TOKENS = RNG.integers(0, 20, size=(32, 7))
PADDED = np.where(np.arange(7) < RNG.integers(2, 8, size=(32, 1)), np.maximum(TOKENS, 1), 0)


def gradient_of(function, at: np.ndarray) -> np.ndarray:
    """The gradient of a scalar function of one tensor, by whichever backend there is."""
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(jax.numpy.asarray(at)), "float64")
    if keras.backend.backend() == "torch":
        import torch

        tensor = torch.tensor(at, requires_grad=True)
        return torch.autograd.grad(function(tensor), tensor)[0].detach().numpy().astype("float64")
    import tensorflow as tf

    tensor = tf.convert_to_tensor(at)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = function(tensor)
    return np.asarray(tape.gradient(value, tensor).numpy(), "float64")


def array(tensor) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(ops.stop_gradient(tensor)))


def dense_net(**settings) -> keras.Model:
    body = [layers.Dense(8, activation="relu"), layers.LayerNormalization(), layers.Dense(5, activation="tanh")]
    return stack(*body, layers.Dense(1), optimizer=keras.optimizers.SGD(0.1, **settings))


def conv_net() -> keras.Model:
    body = [layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(), layers.Conv2D(3, 2), layers.Flatten()]
    return compiled(keras.Sequential([keras.Input((8, 8, 3)), *body, layers.Dense(1)]), optimizer="sgd")


def recurrent_net() -> keras.Model:
    body = [layers.LSTM(4, return_sequences=True), layers.GRU(3), layers.Dense(1)]
    return compiled(keras.Sequential([keras.Input((12, 3)), *body]), optimizer="sgd")


NETS = {
    "dense": (dense_net, X, Y),
    "convolutional": (conv_net, IMAGES, LABELS),
    "recurrent": (recurrent_net, SERIES, LABELS),
}


def first_step(build, x, y) -> tuple[HealthMonitor, keras.Model, keras.Model]:
    """One step on all rows: what was seen of it, the model before and the model after."""
    monitor, before = HealthMonitor(sample_every=1, verbose=0), run(Case(build, arrays(x, y, epochs=0))).model
    after = run(Case(build, arrays(x, y, epochs=1, batch_size=len(x), shuffle=False)), [monitor]).model
    return monitor, before, after


@functools.cache
def first_step_of(net: str) -> tuple[HealthMonitor, keras.Model, keras.Model]:
    return first_step(*NETS[net])


def value(monitor: HealthMonitor, layer: str, tensor: str, statistic: str) -> float:
    return monitor.record.series(layer, tensor, statistic)[0]


def squared_error(y):
    target = ops.convert_to_tensor(y.reshape(-1, 1).astype("float32"))
    return lambda output: ops.mean(ops.square(target - output))


def outputs_and_gradients(model: keras.Model, x, y):
    """Layer by layer: its name, its output, and the gradient of the loss with respect to that output."""
    loss, hidden = squared_error(y), ops.convert_to_tensor(x)
    for index, layer in enumerate(model.layers):
        hidden = layer(hidden)

        def rest(tensor, layers_after=tuple(model.layers[index + 1 :])):
            for after in layers_after:
                tensor = after(tensor)
            return loss(tensor)

        output = array(hidden)
        yield layer.name, output.astype("float64"), gradient_of(rest, output)


@pytest.mark.parametrize("net", NETS)
def test_activations_and_their_gradients(net):
    (_, x, y), (monitor, before, _) = NETS[net], first_step_of(net)
    for name, a, g in outputs_and_gradients(before, x, y):
        for statistic, number in {**by_numpy.activation(a), **by_numpy.gradient(g)}.items():
            found = value(monitor, name, "activation", statistic)
            assert found == pytest.approx(number, rel=1e-5, abs=2e-7), (name, statistic)


@pytest.mark.parametrize("net", NETS)
def test_gradients_weights_and_updates(net):
    (_, x, y), (monitor, before, after) = NETS[net], first_step_of(net)
    loss = squared_error(y)
    for variable, moved in zip(before.trainable_variables, after.trainable_variables, strict=True):
        old, new = array(variable.value), array(moved.value)

        def of_variable(tensor, variable=variable):
            state = [tensor if each is variable else each.value for each in before.trainable_variables]
            output, _ = before.stateless_call(state, before.non_trainable_variables, ops.convert_to_tensor(x))
            return loss(output)

        g = gradient_of(of_variable, old)
        layer, name = owner(before, variable), variable.name
        norm, step = np.linalg.norm(old.astype("float64")), np.linalg.norm(new.astype("float64") - old)
        assert value(monitor, layer, name, "gradient_norm") == pytest.approx(np.linalg.norm(g), rel=1e-5)
        assert value(monitor, layer, name, "gradient_rms") == pytest.approx(np.sqrt((g**2).mean()), rel=1e-5)
        assert value(monitor, layer, name, "gradient_nonfinite") == 0
        assert value(monitor, layer, name, "weight_norm") == pytest.approx(norm, rel=1e-5)
        assert value(monitor, layer, name, "update_norm") == pytest.approx(step, rel=1e-5, abs=1e-9)
        if norm:
            assert value(monitor, layer, name, "update_ratio") == pytest.approx(step / norm, rel=1e-5)


def owner(model: keras.Model, variable) -> str:
    from kregtools.capture.names import variable_names

    return variable_names(model)[id(variable)][0]


def test_the_loss_is_what_keras_logs():
    monitor = HealthMonitor(sample_every=1, verbose=0)
    history = run(Case(dense_net, arrays(epochs=4, batch_size=96)), [monitor]).history[0]
    np.testing.assert_allclose(monitor.record.matrix("loss", "value")[1][:, 0], history["loss"], rtol=1e-5)


@pytest.mark.parametrize("scale", [128.0, pytest.param(65536.0, marks=pytest.mark.slow)])
def test_the_loss_scale_is_taken_off_every_gradient(scale):
    plain, _, _ = first_step_of("dense")
    scaled, _, _ = first_step(lambda: dense_net(loss_scale_factor=scale), X, Y)
    for layer, tensor in plain.record.tensors("gradient_norm"):
        for statistic in ("gradient_norm", "gradient_rms"):
            expected = value(plain, layer, tensor, statistic)
            assert value(scaled, layer, tensor, statistic) == pytest.approx(expected, rel=1e-5), (layer, tensor)


def test_the_dynamic_loss_scale_is_taken_off_every_gradient():
    def build() -> keras.Model:
        model = dense_net()
        model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=512.0), "mse")
        return model

    plain, _, _ = first_step_of("dense")
    scaled, _, _ = first_step(build, X, Y)
    for layer, tensor in plain.record.tensors("gradient_norm"):
        expected = value(plain, layer, tensor, "gradient_norm")
        assert value(scaled, layer, tensor, "gradient_norm") == pytest.approx(expected, rel=1e-5), (layer, tensor)


def test_masked_positions_are_left_out():
    def build() -> keras.Model:
        tokens = keras.Input((7,), dtype="int32")
        x = layers.Embedding(20, 4, mask_zero=True, name="embedding")(tokens)
        x = layers.LSTM(3, return_sequences=True, name="lstm")(x)
        return compiled(keras.Model(tokens, layers.Dense(1)(layers.GlobalAveragePooling1D()(x))), optimizer="sgd")

    monitor, before, _ = first_step(build, PADDED, Y[:32])
    mask = PADDED != 0
    for layer in ("embedding", "lstm"):
        a = array(keras.Model(before.inputs[0], before.get_layer(layer).output)(PADDED))[mask].astype("float64")
        for statistic, number in by_numpy.activation(a).items():
            assert value(monitor, layer, "activation", statistic) == pytest.approx(number, rel=1e-5, abs=1e-7), layer


def test_what_is_not_finite_is_counted():
    def build() -> keras.Model:
        return stack(layers.Dense(5, activation="tanh", name="hidden"), layers.Dense(1, name="top"), optimizer="sgd")

    x = X.copy()
    x[3, 0] = np.nan
    monitor, _, _ = first_step(build, x, Y)
    assert value(monitor, "", "loss", "nonfinite") == 1
    assert value(monitor, "hidden", "activation", "nonfinite") == 5
    assert value(monitor, "top", "activation", "nonfinite") == 1
    assert value(monitor, "top", "kernel", "gradient_nonfinite") == 5
    assert value(monitor, "top", "kernel", "weight_nonfinite") == 5


def test_a_layer_called_twice_is_told_apart_by_call():
    def build() -> keras.Model:
        first, second = keras.Input((12,)), keras.Input((12,))
        shared = layers.Dense(4, name="shared", use_bias=False)
        joined = layers.Subtract()([shared(first), shared(second)])
        return compiled(keras.Model([first, second], layers.Dense(1)(joined)), optimizer="sgd")

    monitor = HealthMonitor(sample_every=1, verbose=0)
    run(Case(build, arrays([X, 3 * X], Y, epochs=1, batch_size=96)), [monitor])
    for statistic in ("std", "rms"):
        one, other = (value(monitor, name, "activation", statistic) for name in ("shared", "shared#1"))
        assert other == pytest.approx(3 * one, rel=1e-5)
    one, other = (value(monitor, name, "activation", "gradient_norm") for name in ("shared", "shared#1"))
    assert other == pytest.approx(one, rel=1e-5)  # the same but for the sign


@pytest.mark.parametrize("every", [3, *(pytest.param(each, marks=pytest.mark.slow) for each in (1, "auto"))])
def test_details_are_dense_at_first_and_then_ten_steps_apart(every):
    monitor = HealthMonitor(sample_every=every, verbose=0)
    run(Case(dense_net, arrays(epochs=13)), [monitor])
    frame = monitor.record.frame()
    detailed = sorted(set(frame[(frame.tensor == "activation") & (frame.statistic == "gradient_norm")].step))
    sampled = sorted(set(frame.step))
    assert detailed[0] == sampled[0] == 0
    assert len(detailed) > 1 and set(detailed) <= set(sampled)
    if every != "auto":
        assert min(np.diff([step for step in detailed if step >= 15])) >= 10
        assert sampled == list(range(0, 65, every))
