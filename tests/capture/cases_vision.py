"""Nets for images: convolutions of all kinds, normalization, augmentation, frozen parts."""

import keras
import numpy as np
from cases_settings import mixed
from keras import layers
from watched import IMAGES, RNG, Case, Y, arrays, momentum

LABELS = Y[:64]
FILMS = RNG.random((24, 4, 6, 6, 1)).astype("float32")


def classifier(*body: layers.Layer, optimizer=None, **settings) -> keras.Model:
    top = [layers.GlobalAveragePooling2D(), layers.Dense(1, activation="sigmoid")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *body, *top])
    model.compile(optimizer or momentum(), "binary_crossentropy", **settings)
    return model


def convolutional(**settings) -> keras.Model:
    return classifier(
        layers.RandomFlip("horizontal"),
        layers.Conv2D(6, 3, padding="same"),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.SpatialDropout2D(0.2),
        layers.MaxPooling2D(),
        layers.SeparableConv2D(8, 3, activation="relu"),
        **settings,
    )


def plain_conv(**settings) -> keras.Model:
    return classifier(
        layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(8, 3, activation="relu"),
        optimizer="adam",
        **settings,
    )


def augmented() -> keras.Model:
    return classifier(
        layers.RandomRotation(0.1),
        layers.RandomZoom(0.1),
        layers.RandomTranslation(0.1, 0.1),
        layers.RandomContrast(0.2),
        layers.RandomBrightness(0.1, value_range=(0, 1)),
        layers.Rescaling(2.0, offset=-1.0),
        layers.Conv2D(4, 3, activation="relu"),
    )


def plain_norm() -> keras.Model:
    """Its gradients are products that TensorFlow folds into the optimizer's own, if nothing else uses them."""
    return classifier(layers.Conv2D(6, 3), layers.BatchNormalization())


def before_activation(kind: str, trainable: bool = True):
    """TensorFlow computes product, bias and activation as one, if nothing else uses what is between them."""

    def build() -> keras.Model:
        body = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(16, 3), layers.Activation(kind)])
        body.trainable = trainable
        model = keras.Sequential([body, layers.GlobalAveragePooling2D(), layers.Dense(16), layers.Activation(kind)])
        model.add(layers.Dense(1, activation="sigmoid"))
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "binary_crossentropy")
        return model

    return build


def squeeze_excite_resnet(**settings) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False)(inputs)
    for block in range(2):
        y = layers.BatchNormalization()(x)
        y = layers.Activation("relu6")(y)
        y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization()(y)
        y = layers.Activation("silu")(y)
        gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
        gate = layers.Conv2D(2, 1, activation="relu")(gate)
        gate = layers.Conv2D(8, 1, activation="sigmoid", name=f"gate_{block}")(gate)
        y = layers.Conv2D(8, 1)(layers.Multiply()([y, gate]))
        x = layers.Add()([x, y])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(momentum(), "binary_crossentropy", **settings)
    return model


def unet() -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    wide = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    deep = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(wide))
    up = layers.Conv2DTranspose(4, 2, strides=2, activation="relu")(deep)
    up = layers.Concatenate()([wide, up, layers.UpSampling2D()(deep)])
    model = keras.Model(inputs, layers.Conv2D(3, 1)(layers.GroupNormalization(2)(up)))
    model.compile(momentum(), "mse")
    return model


def frozen_body() -> keras.Model:
    body = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(6, 3), layers.BatchNormalization(), layers.ReLU()])
    body.trainable = False
    inputs = keras.Input((8, 8, 3))
    x = layers.GlobalAveragePooling2D()(body(inputs, training=False))
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dense(8, activation="relu")(x)))
    model.compile(momentum(), "binary_crossentropy")
    return model


def partly_frozen_body() -> keras.Model:
    model = squeeze_excite_resnet()
    for layer in model.layers[:8]:
        layer.trainable = False
    model.compile(momentum(), "binary_crossentropy")
    return model


def spectral() -> keras.Model:
    return classifier(
        layers.SpectralNormalization(layers.Conv2D(6, 3, activation="leaky_relu"), power_iterations=1),
        layers.GaussianNoise(0.1),
        layers.SpectralNormalization(layers.Conv2D(6, 3)),
        layers.PReLU(),
    )


def conv_lstm() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((4, 6, 6, 1)),
            layers.ConvLSTM2D(3, 3, return_sequences=True, dropout=0.1),
            layers.BatchNormalization(),
            layers.ConvLSTM2D(2, 3),
            layers.Flatten(),
            layers.Dense(1),
        ]
    )
    model.compile(momentum(), "mse")
    return model


def conv3d() -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((4, 6, 6, 1)),
            layers.TimeDistributed(layers.Conv2D(2, 3, activation="relu")),
            layers.Conv3D(3, 2, activation="elu"),
            layers.GlobalMaxPooling3D(),
            layers.Dense(1),
        ]
    )
    model.compile(momentum(), "mse")
    return model


FEED = arrays(IMAGES, LABELS)
FILM_FEED = arrays(FILMS, Y[:24], batch_size=7)
CASES = {
    "convolutional": Case(convolutional, FEED),
    "convolutional, xla": Case(lambda: plain_conv(jit_compile=True), FEED),
    "convolutional, eager": Case(lambda: plain_conv(run_eagerly=True), FEED),
    "convolutional, steps_per_execution": Case(lambda: plain_conv(steps_per_execution=3), FEED),
    "convolutional, mixed_float16": Case(mixed("mixed_float16", plain_conv), FEED),
    "convolutional, mixed_bfloat16": Case(mixed("mixed_bfloat16", plain_conv), FEED),
    "batchnorm without activation": Case(plain_norm, FEED),
    "linear, then elu": Case(before_activation("elu"), FEED),
    "linear, then tanh": Case(before_activation("tanh"), FEED),
    "linear, then relu, NaN": Case(before_activation("relu"), arrays(np.where(IMAGES > 0.999, np.nan, IMAGES), LABELS)),
    "frozen, then mish": Case(before_activation("mish", trainable=False), FEED),
    "augmentation": Case(augmented, FEED),
    "squeeze-excite resnet": Case(squeeze_excite_resnet, FEED),
    "squeeze-excite resnet, xla": Case(lambda: squeeze_excite_resnet(jit_compile=True), FEED),
    "unet": Case(unet, arrays(IMAGES, IMAGES)),
    "frozen sub-model": Case(frozen_body, FEED),
    "partly frozen": Case(partly_frozen_body, FEED),
    "spectral normalization": Case(spectral, FEED),
    "convolutional lstm": Case(conv_lstm, FILM_FEED),
    "time distributed, three dimensions": Case(
        conv3d, FILM_FEED, without={"conv2d": {"activation", "activation gradient"}}
    ),
}
