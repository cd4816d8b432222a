"""Interrupts, errors, several monitors, several fits: the run is the user's, whatever happens in it."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from cases_settings import CASES, dense
from watched import Case, Run, X, Y, differences, gaps, is_as_before, noted, plain, run

from kregtools.callbacks import FitDiagnosis, HealthMonitor

DENSE = CASES["dense"]
HOOKS = ["on_train_batch_begin", "on_train_batch_end", "on_epoch_end"]
QUICK = (KeyboardInterrupt, HOOKS[1], 3)
INTERRUPTS = [
    pytest.param(*case, marks=() if case == QUICK else pytest.mark.slow)
    for case in itertools.product([KeyboardInterrupt, RuntimeError], HOOKS, [1, 3])
]


class Raises(keras.callbacks.Callback):
    def __init__(self, error, batch=1, hook="on_train_batch_end"):
        super().__init__()
        self.error, self.batch = error, batch
        setattr(self, hook, self.raises)

    def raises(self, batch=0, logs=None):
        if batch == self.batch:
            raise self.error("stop")


def monitor(every=1, **settings) -> HealthMonitor:
    return HealthMonitor(sample_every=every, verbose=0, **settings)


@pytest.mark.parametrize("error, hook, every", INTERRUPTS)
def test_an_interrupted_fit_goes_on_as_if_unwatched(error, hook, every):
    """Two fits, the first cut short; nothing is left behind, and the second is watched again."""

    def twice(callbacks, others):
        keras.backend.clear_session()
        keras.utils.set_random_seed(7)
        model = dense()
        settings = {"batch_size": 20, "verbose": 0}
        with pytest.raises(error):
            model.fit(X, Y, epochs=3, callbacks=[*callbacks, Raises(error, hook=hook)], **settings)
        model.fit(X, Y, **settings)
        assert is_as_before(model)
        model.fit(X, Y, callbacks=others, **settings)
        assert is_as_before(model)
        return [np.array(v) for v in [*model.get_weights(), *model.optimizer.variables]]

    watching = monitor(every)
    for one, other in zip(twice([watching], [watching]), twice([], []), strict=True):
        assert one.tobytes() == other.tobytes()
    assert watching.record.samples


def test_an_interrupt_inside_a_sampled_step_leaves_nothing_behind():
    class Interrupts(keras.layers.Layer):
        armed = True

        def call(self, x):
            if type(self).armed and not isinstance(x, keras.KerasTensor) and self.trained:
                raise KeyboardInterrupt
            return x

        trained = False

    layer = Interrupts()
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(3), layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model.predict(X[:3], verbose=0)
    before, layer.trained = model.get_weights(), True
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, verbose=0, callbacks=[monitor()])
    Interrupts.armed = False
    np.testing.assert_array_equal(before[0], model.get_weights()[0])
    model.fit(X, Y, verbose=0)
    assert is_as_before(model)


def test_an_error_of_the_users_own_step_is_told_as_without_the_monitor():
    class Wrong(keras.layers.Layer):
        def call(self, x):
            return keras.ops.reshape(x, (-1, 7))

    def message(callbacks):
        keras.backend.clear_session()
        model = keras.Sequential([keras.layers.Dense(3), Wrong(), keras.layers.Dense(1)])
        model.compile("sgd", "mse", run_eagerly=True)
        with pytest.raises(Exception) as told:
            model.fit(X, Y, batch_size=20, verbose=0, callbacks=callbacks)
        return type(told.value), str(told.value)

    unwatched, watched = message([]), message([monitor()])
    assert unwatched[0] is watched[0]
    assert unwatched[1].split("Arguments received")[0] == watched[1].split("Arguments received")[0]


def without_notes(watched: Run) -> Run:
    """Two diagnoses of one fit write to the same logs, of which they warn."""
    watched.said = [message for message in watched.said if "The logs have kreg/" not in message]
    return watched


@pytest.mark.parametrize(
    "every", [(1, 3), pytest.param((1, 1), marks=pytest.mark.slow), pytest.param((2, "auto"), marks=pytest.mark.slow)]
)
def test_two_monitors_watch_one_fit(every):
    monitors = [monitor(each) for each in every]
    watched = without_notes(run(DENSE, monitors))
    assert not differences(watched, plain(DENSE))
    assert is_as_before(watched.model)
    for each in monitors:
        assert not gaps(watched.model, each)
    steps = [set(each.record.frame().step) for each in monitors]
    if every == (1, 3):
        assert steps[1] < steps[0]
    for key in [("dense", "kernel", "gradient_norm"), ("dense", "activation", "mean"), ("", "loss", "value")]:
        one, other = (each.record.frame() for each in monitors)
        one, other = (
            f[(f.layer == key[0]) & (f.tensor == key[1]) & (f.statistic == key[2])].set_index("step").value
            for f in (one, other)
        )
        shared = one.index.intersection(other.index)
        assert len(shared) and (one[shared] == other[shared]).all()


def test_what_is_recorded_does_not_depend_on_how_often():
    """The rare samples of one run are among those of another that looks at every step."""
    dense_monitor, rare = monitor(1), monitor(5)
    run(DENSE, [dense_monitor])
    run(DENSE, [rare])
    columns = ["step", "layer", "tensor", "statistic"]
    every, fifth = (each.record.frame().set_index(columns).value for each in (dense_monitor, rare))
    shared = fifth.index.intersection(every.index)
    assert {0, 5, 10} <= set(shared.get_level_values("step"))
    np.testing.assert_allclose(every[shared], fifth[shared], rtol=1e-5, atol=1e-7)


def test_a_fit_diagnosis_beside_it_is_no_hindrance():
    watching, logs = monitor(), FitDiagnosis(verbose=0)
    assert not differences(without_notes(run(DENSE, [logs, watching])), plain(DENSE))
    assert watching.record.samples


@pytest.mark.parametrize("every", ["auto", *(pytest.param(each, marks=pytest.mark.slow) for each in (1, 3))])
def test_fifty_short_fits_are_traced_once(every):
    """TensorFlow logs a warning when a function is traced again and again."""
    model, watching, traced = dense(), monitor(every), []

    class Counts(keras.layers.Layer):
        def call(self, x):
            traced.append(1)
            return x

    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(4), Counts(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with noted() as said:
        for _ in range(3):
            model.fit(X, Y, batch_size=48, verbose=0, callbacks=[watching])
        so_far = len(traced)
        for _ in range(47):
            model.fit(X, Y, batch_size=48, verbose=0, callbacks=[watching])
    assert not said
    assert len(traced) == so_far
    assert is_as_before(model)
    assert set(watching.record.frame().step) <= {98, 99}  # the record is that of the last fit


def test_steps_are_counted_on_over_fits():
    watching = monitor()
    run(Case(dense, fits=3), [watching])
    assert sorted(set(watching.record.frame().step)) == list(range(30, 45))


def test_train_on_batch_is_left_alone():
    """There is no fit to watch, and no callback is called."""
    model = run(DENSE, [monitor()]).model
    twin = run(DENSE).model
    for each in (model, twin):
        each.train_on_batch(X, Y)
    assert [w.tobytes() for w in model.get_weights()] == [w.tobytes() for w in twin.get_weights()]
    assert is_as_before(model)


def test_a_train_function_made_anew_is_watched_again():
    from cases_settings import Recompiles

    model, watching = dense(), monitor()
    model.fit(X, Y, epochs=3, verbose=0, callbacks=[watching, Recompiles()])
    frame = watching.record.frame()
    frame = frame[(frame.statistic == "gradient_norm") & ~frame.tensor.str.startswith("activation")]
    kernels = frame.groupby("epoch").layer.nunique()
    assert kernels[0] == kernels[1] + 1 == kernels[2] + 1


@pytest.mark.parametrize("last", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_the_order_of_callbacks_does_not_matter(last):
    class Perturbs(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.optimizer.learning_rate.assign(self.model.optimizer.learning_rate * 0.9)
            tf.random.uniform(())

    case = Case(dense, callbacks=lambda: [Perturbs()])
    assert not differences(run(case, [monitor()], last), run(case))


def test_logs_that_callbacks_see_are_the_same():
    class Sees(keras.callbacks.Callback):
        def __init__(self, seen):
            super().__init__()
            self.seen = seen

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append({name: float(value) for name, value in logs.items()})

        def on_epoch_end(self, epoch, logs=None):
            self.seen.append({name: float(value) for name, value in logs.items() if not name.startswith("kreg/")})

    seen: tuple[list, list] = ([], [])
    for each, monitors in zip(seen, ([], [monitor()]), strict=True):
        run(Case(dense, callbacks=lambda each=each: [Sees(each)]), monitors)
    assert repr(seen[0]) == repr(seen[1])
