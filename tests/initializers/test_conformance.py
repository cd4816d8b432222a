"""One table for every initializer: what Keras asks of one."""

import functools

import keras
import numpy as np
import pytest
from keras.src import testing

from kregtools import initializers
from kregtools.initializers.dropout_aware import DISTRIBUTIONS, MODES
from kregtools.testing import KERNEL_SHAPES, check_initializer

WIDENING = tuple(shape for shape in KERNEL_SHAPES if len(shape) > 2 and shape[-1] >= shape[-2])
CONVOLUTIONS = tuple(shape for shape in KERNEL_SHAPES if len(shape) > 2)


def dropout_aware(**arguments):
    return lambda seed=None: initializers.DropoutAware(seed=seed, **arguments)


TABLE = {
    **{f"DropoutAware-{name}": (dropout_aware(distribution=name), KERNEL_SHAPES) for name in DISTRIBUTIONS},
    **{
        f"DropoutAware-{name}": (dropout_aware(activation="gelu", rate=0.2, mode=name), KERNEL_SHAPES) for name in MODES
    },
    "DropoutAware-axes": (dropout_aware(input_axes=(0, 1), output_axes=(0, 1, 3)), [(3, 3, 8, 4), (3, 3, 1, 2)]),
    "SemiOrthogonal": (lambda seed=None: initializers.SemiOrthogonal(1.5, seed), KERNEL_SHAPES),
    "DeltaOrthogonal": (lambda seed=None: initializers.DeltaOrthogonal(1.5, seed), WIDENING),
    "Sparse": (lambda seed=None: initializers.Sparse(0.8, seed=seed), KERNEL_SHAPES),
    "Sparse-stddev": (lambda seed=None: initializers.Sparse(0.5, 0.01, seed), KERNEL_SHAPES),
    "Dirac": (lambda: initializers.Dirac(), CONVOLUTIONS),
    "Dirac-groups": (lambda: initializers.Dirac(2), [(3, 3, 4, 8)]),
    "ZerO": (lambda: initializers.ZerO(), KERNEL_SHAPES),
}


@pytest.mark.parametrize("name", TABLE)
def test_an_initializer_keeps_to_what_keras_asks(name):
    make, shapes = TABLE[name]
    check_initializer(make, shapes)


@pytest.mark.parametrize("name", TABLE)
def test_it_passes_the_serialization_test_of_keras(name):
    make, _ = TABLE[name]
    testing.TestCase().run_class_serialization_test(make())


@pytest.mark.parametrize("name", ["DropoutAware", "SemiOrthogonal", "DeltaOrthogonal", "Sparse", "Dirac", "ZerO"])
def test_it_is_known_by_its_name(name):
    found = keras.initializers.get(f"kregtools>{name}")
    assert type(found) is getattr(initializers, name)
    layer = keras.layers.Conv2D(8, 3, kernel_initializer=f"kregtools>{name}")
    layer.build((None, 8, 8, 4))
    restored = keras.layers.Conv2D.from_config(layer.get_config())
    assert type(restored.kernel_initializer) is type(found)


def test_a_class_or_a_partial_makes_initializers_as_well():
    check_initializer(initializers.Sparse, KERNEL_SHAPES[:1])
    check_initializer(functools.partial(initializers.SemiOrthogonal, 1.5), KERNEL_SHAPES[:1])


def test_a_check_that_fails_says_what_is_wrong():
    @keras.saving.register_keras_serializable(package="test")
    class Forgetful(keras.initializers.Initializer):
        def __init__(self, scale=1.0):
            self.scale = scale

        def __call__(self, shape, dtype=None):
            return keras.ops.ones(shape, dtype) * self.scale

        def get_config(self):
            return {}

    check_initializer(lambda: Forgetful())
    with pytest.raises(AssertionError, match="`from_config` changes the values"):
        check_initializer(lambda: Forgetful(2.0))

    @keras.saving.register_keras_serializable(package="test")
    class Deaf(initializers.Sparse):
        def values(self, layout, dtype):
            return keras.ops.convert_to_tensor(np.random.default_rng(0).normal(size=layout.shape), dtype)

    with pytest.raises(AssertionError, match="the seeds 7 and 8 give the same values"):
        check_initializer(lambda seed=None: Deaf(seed=seed))
