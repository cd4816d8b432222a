"""Train steps of the user's own, in the form of this backend."""

import keras
import numpy as np
import pytest
import steps_torch
import torch
from cases_settings import dense
from cases_structure import compiled
from keras import layers
from twins import matrix, watched_as_plain
from watched import Case, X, Y, differences, run

from kregtools.callbacks import HealthMonitor


@pytest.mark.parametrize(("case", "every"), matrix(steps_torch.CASES, list(steps_torch.CASES)))
def test_a_watched_run_is_bit_identical_and_fully_recorded(case, every):
    watched_as_plain(case, every, run(case))


class TorchOptimizer(steps_torch.OwnStep):
    """Trained by an optimizer of PyTorch's."""

    def train_step(self, data):
        x, y = data
        if "sgd" not in vars(self):
            self(x)
            object.__setattr__(self, "sgd", torch.optim.SGD([v.value for v in self.trainable_variables], 0.1))
        self.sgd.zero_grad()
        loss = self.compute_loss(x, y, self(x, training=True))
        loss.backward()
        self.sgd.step()
        return {"loss": loss.detach()}


def test_weights_that_no_keras_optimizer_moves_are_listed():
    case = Case(lambda: compiled(TorchOptimizer()))
    monitor = HealthMonitor(sample_every=1, verbose=0)
    assert not differences(run(case, [monitor]), run(case))
    table = monitor.coverage.set_index("layer")
    assert table.watched.str.contains("activation").all()
    assert table.reason[["dense", "dense_1"]].str.contains("optimizer").all()


def test_a_loader_of_pytorch_feeds_as_before():
    def feed():
        data = torch.utils.data.TensorDataset(torch.tensor(X), torch.tensor(Y))
        return {"x": torch.utils.data.DataLoader(data, batch_size=20, shuffle=True)}

    watched_as_plain(Case(dense, feed), 1, run(Case(dense, feed)))


@pytest.mark.slow
def test_a_compiled_step_is_watched_or_warned_of():
    case = Case(lambda: dense(jit_compile=True))
    monitor = HealthMonitor(sample_every=3, verbose=0)
    plain, watched = run(case), run(case, [monitor])
    told = [message for message in watched.said if message.startswith("KregtoolsWarning")]
    watched.said = [message for message in watched.said if message not in told]
    assert not differences(watched, plain)
    assert monitor.record.samples or told


def test_dead_channels_that_come_first():
    bias = np.array([-100.0, 0.0, -100.0, 0.0, 0.0], "float32")
    inputs = keras.Input((3, 6, 6))
    images = np.abs(np.random.default_rng(0).normal(size=(256, 3, 6, 6))).astype("float32")

    def build() -> keras.Model:
        conv = layers.Conv2D(
            5,
            3,
            activation="relu",
            data_format="channels_first",
            kernel_initializer="ones",
            bias_initializer=keras.initializers.Constant(bias),
            name="conv",
        )
        model = keras.Model(inputs, layers.Dense(1)(layers.Flatten()(conv(inputs))))
        return compiled(model, optimizer=keras.optimizers.SGD(0.0))

    monitor = HealthMonitor(sample_every=1, verbose=0)
    run(Case(build, lambda: {"x": images, "y": images[:, 0, 0, 0], "epochs": 1}), [monitor])
    assert monitor.record.series("conv", "activation", "units")[-1] == 5
    assert monitor.record.series("conv", "activation", "dead_units")[-1] == 2
