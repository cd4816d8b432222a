"""What is done for watching's sake alone is not heard."""

import warnings

import keras
import keras_tuner
import numpy as np

from kregtools.callbacks import FitDiagnosis
from kregtools.capture.host import hushed

X, Y = np.random.default_rng(0).random((24, 3)), np.zeros(24)


def test_warnings_of_one_category_are_hushed_and_nothing_is_told_twice():
    def told_once():
        warnings.warn("once", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        told_once()
        before = list(warnings.filters)
        with hushed(DeprecationWarning):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            told_once()
            warnings.warn("other", RuntimeWarning, stacklevel=1)
        assert warnings.filters == before
        told_once()
        warnings.warn("new", DeprecationWarning, stacklevel=1)
    assert [str(each.message) for each in said] == ["once", "other", "new"]


def test_what_keras_is_asked_for_the_facts_is_not_heard(monkeypatch):
    """With some versions of NumPy, the settings of an optimizer cannot be had without a warning."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    original = keras.optimizers.SGD.get_config

    def warns(self):
        warnings.warn("__array__", DeprecationWarning, stacklevel=1)
        return original(self)

    monkeypatch.setattr(keras.optimizers.SGD, "get_config", warns)
    watching = FitDiagnosis(verbose=0)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(np.zeros((8, 3)), np.zeros(8), verbose=0, callbacks=[watching])
    assert not [each for each in said if "__array__" in str(each.message)]
    assert watching.record.facts["optimizer"]["momentum"] == 0.0


def build(hp):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(hp.Choice("units", [1, 2])), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_a_search_warns_of_nothing_that_was_never_measured(tmp_path):
    """NumPy warns when KerasTuner takes the best of a log that is NaN in every epoch."""
    tuner = keras_tuner.GridSearch(build, "loss", directory=tmp_path)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        tuner.search(X, Y, verbose=0, callbacks=[FitDiagnosis(verbose=0)])
        assert not [str(each.message) for each in said if "NaN" in str(each.message)]
        warnings.warn("All-NaN axis encountered", RuntimeWarning, stacklevel=1)
        assert len([each for each in said if "NaN" in str(each.message)]) == 1  # elsewhere it is still told
    trials = tuner.oracle.get_best_trials(2)
    assert len(trials) == 2
    assert all(trial.metrics.exists("kreg/grad_norm") for trial in trials)


def test_the_filters_do_not_grow_with_every_fit():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, callbacks=[FitDiagnosis(verbose=0)])
    before = list(warnings.filters)
    model.fit(X, Y, verbose=0, callbacks=[FitDiagnosis(verbose=0)])
    assert warnings.filters == before
