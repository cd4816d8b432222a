"""What is done for watching's sake alone is not heard."""

import warnings

import keras
import numpy as np

from kregtools.callbacks import FitDiagnosis
from kregtools.capture.host import hushed


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
