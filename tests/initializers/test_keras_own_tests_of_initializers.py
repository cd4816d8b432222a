"""Keras' own tests of random initializers, run on ours. Its wheel has them from 3.15 on."""

import importlib
import importlib.util
import sys
import types
from unittest import mock

import keras
import pytest

from kregtools import initializers

KERAS_TESTS = "keras.src.initializers.random_initializers_test"
if importlib.util.find_spec(KERAS_TESTS) is None:
    pytest.skip(f"Keras {keras.__version__} comes without its tests", allow_module_level=True)


def keras_tests():
    """Keras' file of tests, which takes a decorator from a `conftest` of its own; here that name is another's."""
    own = types.ModuleType("conftest")
    own.skip_if_backend = lambda name, reason: pytest.mark.skipif(keras.backend.backend() == name, reason=reason)
    ours = sys.modules.get("conftest")
    sys.modules["conftest"] = own
    try:
        return importlib.import_module(KERAS_TESTS)
    finally:
        sys.modules.pop("conftest")
        if ours is not None:
            sys.modules["conftest"] = ours


random_initializers_test = keras_tests()


class SemiOrthogonalInPlaceOfOrthogonal(random_initializers_test.RandomInitializersTest):
    """Keras' own tests of random initializers, with ours where `Orthogonal` stands."""

    def setUp(self):
        super().setUp()
        patch = mock.patch.object(random_initializers_test.initializers, "Orthogonal", initializers.SemiOrthogonal)
        self.enterContext(patch)
        getter = random_initializers_test.initializers.get

        def ours(identifier):
            named = isinstance(identifier, str) and identifier == "OrthogonalInitializer"
            return getter("kregtools>SemiOrthogonal" if named else identifier)

        self.enterContext(mock.patch.object(random_initializers_test.initializers, "get", ours))


del random_initializers_test.RandomInitializersTest
