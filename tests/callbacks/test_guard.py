"""What a monitor says must not end or clutter a run."""

import warnings

import keras
import keras_tuner
import numpy as np

from kregtools.callbacks import FitDiagnosis

X, Y = np.random.default_rng(0).random((24, 3)), np.zeros(24)


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
