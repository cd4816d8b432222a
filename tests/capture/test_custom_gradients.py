from __future__ import annotations

import gc

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from kregtools.capture.custom_gradients import forgotten_afterwards


def graphs() -> int:
    keras.utils.clear_session()
    gc.collect()
    return sum(isinstance(thing, FuncGraph) for thing in gc.get_objects())


def train() -> None:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.ones((8, 4)), np.zeros(8), verbose=0)


def test_nothing_is_left_of_a_models_graphs() -> None:
    with forgotten_afterwards():
        train()
    before = graphs()
    for _ in range(3):
        with forgotten_afterwards():
            train()
    assert graphs() <= before
    train()
    assert graphs() > before, "TensorFlow empties its registry by now: this module has nothing left to do"


def test_a_function_traced_inside_still_has_its_gradient_outside() -> None:
    @tf.function
    def reversed_gradient(x: tf.Tensor) -> tf.Tensor:
        return tf.custom_gradient(lambda x: (tf.identity(x), lambda upstream: -upstream))(x)

    def gradient() -> float:
        x = tf.Variable(2.0)
        with tf.GradientTape() as tape:
            y = reversed_gradient(x)
        return float(tape.gradient(y, x))

    with forgotten_afterwards():
        assert gradient() == -1
    assert gradient() == -1
