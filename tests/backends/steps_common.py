"""Parts of the models with train steps of their own."""

import keras
from keras import layers

FROZEN = {"activation gradient", "kernel", "bias"}
TAUGHT = {"teaches": FROZEN, "teaches_too": FROZEN}


def net(*body: layers.Layer, width: int = 12) -> keras.Sequential:
    return keras.Sequential([keras.Input((width,)), *body])


def discriminator() -> keras.Sequential:
    return net(layers.Dense(8, activation="leaky_relu"), layers.Dropout(0.2), layers.Dense(1))


def generator() -> keras.Sequential:
    return net(layers.Dense(8, activation="relu"), layers.BatchNormalization(), layers.Dense(12), width=4)
