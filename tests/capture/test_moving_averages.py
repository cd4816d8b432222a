"""What the moving averages of a model tell of the batches it was trained on."""

import keras
import numpy as np
import pytest
from keras import layers

from kregtools.callbacks import HealthMonitor, RecalibrateBatchNorm
from kregtools.capture.moving_averages import MovingAverages

RNG = np.random.default_rng(0)
X = (3.0 + 5.0 * RNG.normal(size=(256, 4))).astype("float32")
Y = RNG.integers(0, 2, 256)


def model(momentum=0.9, **settings):
    keras.utils.set_random_seed(0)
    norm = layers.BatchNormalization(momentum=momentum, name="norm", **settings)
    made = keras.Sequential([keras.Input((4,)), norm, layers.Dense(1, "sigmoid")])
    made.compile(keras.optimizers.SGD(0.01), "binary_crossentropy")
    return made


def fit(made, epochs=1, **options):
    made.fit(X, Y, epochs=epochs, batch_size=32, verbose=0, **options)


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_it_is_how_far_they_are_from_what_the_batches_had(momentum):
    made = model(momentum)
    averages = MovingAverages(made)
    averages.begin()
    fit(made)
    lag, norm = averages.lag(8), made.layers[0]
    mean, variance = (np.asarray(keras.ops.convert_to_numpy(each)) for each in (norm.moving_mean, norm.moving_variance))
    factor = np.exp(np.median(np.abs(np.log(X.var(axis=0) / variance))))
    shift = np.median(np.abs(X.mean(axis=0) - mean) / np.sqrt(variance))
    assert lag["norm", "moving_variance", "lag"] == pytest.approx(factor, rel=0.1)
    assert lag["norm", "moving_mean", "lag"] == pytest.approx(shift, abs=0.1)


def test_they_come_near_with_the_steps():
    made = model(0.9)
    averages, found = MovingAverages(made), []
    for _ in range(10):
        averages.begin()
        fit(made)
        found.append(averages.lag(8)["norm", "moving_variance", "lag"])
    assert found[0] > 1.5 and found[-1] < 1.05 and all(np.diff(found[:5]) < 0)


@pytest.mark.parametrize("settings", [{"trainable": False}, {"momentum": 0.0}, {"momentum": 1.0}])
def test_what_does_not_move_is_left_out(settings):
    made = model(**settings)
    averages = MovingAverages(made)
    averages.begin()
    fit(made)
    assert averages.lag(8) == {}


def test_renormalization_is_left_out_as_training_uses_the_averages_too():
    made = model()
    averages = MovingAverages(made)
    averages.begin()
    fit(made)
    made.layers[0].renorm = True  # an argument from Keras 3.14 on
    assert averages.lag(8) == {}


def test_channels_that_say_nothing_do_not_count():
    made = model()
    averages = MovingAverages(made)
    averages.begin()
    variance = keras.ops.convert_to_numpy(made.layers[0].moving_variance).copy()
    variance[:3] = [0.0, np.nan, 1e-3]  # dead, broken, and below what so few steps can have left of 1
    made.layers[0].moving_variance.assign(variance)
    assert averages.lag(8)["norm", "moving_variance", "lag"] == pytest.approx(1.0)
    made.layers[0].moving_variance.assign([np.nan] * 4)
    assert averages.lag(8) == {}


def test_constant_channels_say_nothing_however_many_they_are():
    """Their averages decay to 0, and what the rounding leaves of that is no variance."""
    made = model(0.99)
    averages, rows = MovingAverages(made), X * np.array([1, 0, 0, 0], dtype="float32")
    for _ in range(40):
        averages.begin()
        made.fit(rows, Y, batch_size=8, verbose=0)
    assert averages.lag(32)["norm", "moving_variance", "lag"] == pytest.approx(1.0, abs=0.1)


def test_weights_that_are_loaded_before_the_first_epoch_are_what_it_starts_from():
    """As `BackupAndRestore` does, after the monitor if it comes later in the list."""
    trained = model(0.99)
    fit(trained, epochs=80)

    class Load(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.set_weights(trained.get_weights())

    monitor = HealthMonitor(verbose=0)
    fit(model(0.99), callbacks=[monitor, Load()])
    assert monitor.record.series("norm", "moving_variance", "lag")[-1] < 1.2


def test_a_layer_that_is_built_by_the_first_step_is_measured_from_the_second_epoch_on_at_the_latest():
    made = keras.Sequential([layers.BatchNormalization(name="norm"), layers.Dense(1, "sigmoid")])
    made.compile("sgd", "binary_crossentropy")
    monitor = HealthMonitor(verbose=0)
    fit(made, epochs=3, callbacks=[monitor])
    measured = np.isfinite(monitor.record.series("norm", "moving_variance", "lag"))
    assert monitor.record.sample_epochs[measured].tolist()[-2:] == [1, 2]


def test_a_monitor_measures_at_the_end_of_every_epoch():
    monitor = HealthMonitor(verbose=0)
    fit(model(0.99), epochs=3, callbacks=[monitor], validation_split=0.25)
    measured = np.isfinite(monitor.record.series("norm", "moving_variance", "lag"))
    assert monitor.record.steps[measured].tolist() == [5, 11, 17]
    assert monitor.record.sample_epochs[measured].tolist() == [0, 1, 2]


def test_a_long_fit_is_measured_at_its_milestones():
    monitor = HealthMonitor(verbose=0)
    made = model()
    made.fit(X[:32], Y[:32], epochs=206, batch_size=32, verbose=0, callbacks=[monitor])
    measured = np.isfinite(monitor.record.series("norm", "moving_variance", "lag"))
    assert monitor.record.sample_epochs[measured][-4:].tolist() == [199, 200, 202, 204]


def sharp(momentum):
    """Small inputs: what the normalization has of them is far from a variance of 1."""
    keras.utils.set_random_seed(0)
    made = keras.Sequential([
        *(keras.Input((4,)), layers.Rescaling(3e-2), layers.Dense(32)),
        *(layers.BatchNormalization(momentum=momentum, name="norm"), layers.ReLU(), layers.Dense(1, "sigmoid")),
    ])  # fmt: skip
    made.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return made


def learned(momentum, *callbacks):
    rows = np.random.default_rng(1).normal(size=(640, 4)).astype("float32")
    labels = (rows[:, 0] > rows[:, 1]).astype("float32")
    monitor = HealthMonitor(verbose=0)
    data = {"validation_data": (rows[512:], labels[512:]), "epochs": 5, "batch_size": 32, "verbose": 0}
    recalibrations = [RecalibrateBatchNorm(rows[:512])] if callbacks else []
    sharp(momentum).fit(rows[:512], labels[:512], callbacks=[*recalibrations, monitor], **data)
    return monitor


def test_a_run_that_is_too_short_for_its_averages_is_told():
    diagnosis = learned(0.99).diagnosis
    assert [(symptom.name, symptom.severity) for symptom in diagnosis.symptoms] == [("moving_average_lag", "warning")]
    (cause,) = diagnosis.causes
    assert cause.name == "slow_moving_average"
    assert cause.reason == (
        "A momentum of 0.99 remembers 100 steps: after 80 steps 45% of an average is still what it was before training."
    )
    assert cause.remedy.text == (
        "Give norm a momentum of 0.68, which forgets its start within an epoch; or leave the model as it is, and take "
        "the statistics anew before each validation. The validation loss should then follow the training loss."
    )


def test_its_remedies_mend_it():
    assert learned(0.68).diagnosis.verdict == "healthy"
    assert learned(0.99, "recalibrated").diagnosis.verdict == "healthy"
