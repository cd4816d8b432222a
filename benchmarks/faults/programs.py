"""Small programs with known faults, and healthy ones that tempt to a false alarm.

A program is what a user would write: data, model, `compile`, `fit`. What is wrong with a faulty one is said in terms
of kregtools' names: the symptoms that are right to report, and the causes that would be a right explanation; several
are acceptable where several changes mend it.
"""

from __future__ import annotations

import keras
from data import (
    cancer,
    circles,
    classes,
    diabetes,
    digits,
    few_validation,
    first,
    imbalanced,
    itself,
    moons,
    noisy_labels,
    one_hot,
    other_validation,
    raw_cancer,
    regression,
    several_labels,
    shuffled_labels,
    wine,
    with_inputs,
    with_nan,
    with_target,
)
from keras import layers
from kinds import Program, faulty, fitted, healthy, names
from networks import (
    BINARY,
    SQUARED,
    adam,
    attention,
    compiled,
    conv,
    frozen,
    logarithm,
    mlp,
    one,
    recurrent,
    residual,
    sgd,
)

STUCK = "no_learning constant_output underfit slow_convergence loss_metric_mismatch"
# What follows from a step that was too large, and is true as well: dead units pass no gradient on.
BLOWN = (
    "nonfinite exploding_gradient diverging_loss large_update dead_relu no_learning oscillating_loss constant_output "
    "underfit vanishing_gradient saturated_activation loss_metric_mismatch"
)
SMALL_SGD = compiled(optimizer=lambda: sgd(0.05))
MOMENTUM = compiled(optimizer=lambda: sgd(0.05, momentum=0.9))
LESS_DATA = names("missing_regularization", "insufficient_data", "label_noise")
TOO_SMALL = names("insufficient_capacity", "missing_nonlinearity", "too_few_epochs")

PROGRAMS: dict[str, Program] = {
    # nothing is wrong
    "digits": healthy(digits, mlp),
    "digits, SGD with momentum": healthy(digits, mlp, MOMENTUM),
    "digits, large rate with BatchNorm": healthy(digits, lambda: mlp(norm=True), compiled(optimizer=lambda: sgd(0.5))),
    "digits, dropout": healthy(digits, lambda: mlp(hidden=(256, 256), dropout=0.5)),
    "digits, L2": healthy(digits, lambda: mlp(kernel_regularizer=keras.regularizers.L2(1e-4))),
    "digits, logits": healthy(
        digits, lambda: mlp(last=None), compiled(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    ),
    "digits, cosine": healthy(
        digits, mlp, compiled(optimizer=lambda: adam(keras.optimizers.schedules.CosineDecay(3e-3, 43 * 15)))
    ),
    "digits, gelu": healthy(digits, lambda: mlp(activation="gelu"), compiled(optimizer=keras.optimizers.AdamW)),
    "digits, sigmoid": healthy(digits, lambda: mlp(hidden=(64,), activation="sigmoid"), epochs=30),
    "digits, selu, deep": healthy(
        digits, lambda: mlp(hidden=(64,) * 10, activation="selu", kernel_initializer="lecun_normal")
    ),
    "digits, convolutional": healthy(digits, conv, epochs=20),
    "digits, convolutional, BatchNorm": healthy(digits, lambda: conv(norm=True)),
    "digits, BatchNorm, few epochs": healthy(digits, lambda: conv(norm=True, momentum=0.8), epochs=6),
    "digits, residual from zero": healthy(digits, residual),
    "digits, LSTM": healthy(digits, recurrent, epochs=25),
    "digits, attention": healthy(digits, attention, epochs=25),
    "digits, few validation rows": healthy(lambda seed: few_validation(digits(seed)), mlp),
    "digits, no validation": healthy(digits, mlp, validated=False),
    "digits, to the end": healthy(
        digits, lambda: mlp(dropout=0.3), compiled(optimizer=lambda: adam(1e-3)), epochs=60, batch_size=64
    ),
    "digits, sparse": healthy(
        digits, lambda: mlp(hidden=(256, 128), bias_initializer=keras.initializers.Constant(-0.1)), epochs=15
    ),
    "digits, autoencoder": healthy(
        lambda seed: itself(digits(seed)), lambda: mlp(hidden=(32,), outputs=64, last="sigmoid"), compiled(SQUARED)
    ),
    "digits, categorical": healthy(lambda seed: one_hot(digits(seed)), mlp, compiled("categorical_crossentropy")),
    "cancer, logistic regression": healthy(cancer, one(30, (), "sigmoid"), compiled(BINARY), epochs=40),
    "cancer": healthy(cancer, one(30, (16,), "sigmoid", dropout=0.3), compiled(BINARY)),
    "wine": healthy(wine, lambda: mlp(13, (16,), 3), epochs=40),
    "moons, tanh": healthy(moons, one(2, (32, 32), "sigmoid", activation="tanh"), compiled(BINARY), epochs=40),
    "moons, noise": healthy(
        lambda seed: moons(seed, 2000, 0.3), one(2, (16,), "sigmoid"), compiled(BINARY, lambda: adam(1e-2)), epochs=40
    ),
    "regression": healthy(regression, one(20, (64,)), compiled(SQUARED), epochs=40),
    "several labels": healthy(
        several_labels, lambda: mlp(20, (32,), 5, last="sigmoid", dropout=0.2), compiled(BINARY), epochs=25
    ),
    # too much, too little
    "few digits": fitted(
        "overfit",
        lambda seed: first(digits(seed), 60),
        lambda: mlp(hidden=(256, 256)),
        compiled(optimizer=lambda: adam(3e-3)),
        LESS_DATA,
        epochs=150,
    ),
    "flipped labels": fitted(
        "overfit",
        lambda seed: classes(seed, 400, 0.2),
        one(20, (128, 128), "sigmoid"),
        compiled(BINARY),
        LESS_DATA,
        epochs=60,
    ),
    "few moons": fitted(
        "overfit",
        lambda seed: first(moons(seed, 1000, 0.35), 60),
        one(2, (256, 256), "sigmoid"),
        compiled(BINARY, lambda: adam(3e-3)),
        LESS_DATA,
        epochs=150,
    ),
    "diabetes, wide": fitted("overfit", diabetes, one(10, (256, 256)), compiled(SQUARED), LESS_DATA, epochs=100),
    "noisy digits": fitted("overfit", noisy_labels, lambda: mlp(hidden=(256, 256)), compiled(), LESS_DATA, epochs=40),
    "circles, linear": fitted("underfit", circles, one(2, (), "sigmoid"), compiled(BINARY), TOO_SMALL),
    "circles, linear layers": fitted(
        "underfit", circles, one(2, (16, 16), "sigmoid", activation=None), compiled(BINARY), TOO_SMALL
    ),
    "digits, one unit": fitted(
        "underfit",
        digits,
        lambda: mlp(hidden=(1,), activation="tanh"),
        compiled(optimizer=lambda: adam(0.02)),
        TOO_SMALL,
        epochs=60,
    ),
    # What is dropped nearly always is off, and passes no gradient on.
    "digits, dropout .95": fitted(
        "underfit",
        digits,
        lambda: mlp(hidden=(16, 16), dropout=0.95),
        compiled(),
        names("over_regularization"),
        consequences="dead_relu vanishing_gradient",
    ),
    "digits, L2 of 1": fitted(
        "underfit",
        digits,
        lambda: mlp(kernel_regularizer=keras.regularizers.L2(1.0)),
        compiled(),
        names("over_regularization"),
        consequences="large_update dead_relu",  # the penalty takes all weights away
    ),
    # faults
    "rate too high": faulty(digits, mlp, compiled(optimizer=lambda: sgd(20.0)), BLOWN, "lr_too_high"),
    "rate too high, Adam": faulty(digits, mlp, compiled(optimizer=lambda: adam(1.0)), BLOWN, "lr_too_high"),
    "rate too high, regression": faulty(
        regression, one(20, (64, 64)), compiled(SQUARED, lambda: sgd(1.0)), BLOWN, "lr_too_high"
    ),
    "rate too low": faulty(digits, mlp, compiled(optimizer=lambda: sgd(1e-5)), STUCK, "lr_too_low wrong_optimizer"),
    "rate too low, Adam": faulty(digits, mlp, compiled(optimizer=lambda: adam(1e-7)), STUCK, "lr_too_low"),
    "negative rate": faulty(digits, mlp, compiled(optimizer=lambda: sgd(-0.05)), BLOWN, "negative_lr"),
    "zeros": faulty(
        digits,
        lambda: mlp(kernel_initializer="zeros"),
        compiled(),
        STUCK + " symmetric_units dead_relu vanishing_gradient",
        "bad_init",
    ),
    "all the same": faulty(
        digits,
        lambda: mlp(kernel_initializer=keras.initializers.Constant(0.01)),
        compiled(),
        STUCK + " symmetric_units",
        "bad_init",
    ),
    "weights too large": faulty(
        digits,
        lambda: mlp(
            hidden=(64,) * 4, activation="tanh", kernel_initializer=keras.initializers.RandomNormal(stddev=3.0)
        ),
        compiled(optimizer=lambda: sgd(1e-3)),
        STUCK + " saturated_activation slow_convergence",
        "bad_init",
    ),
    "weights too small": faulty(
        digits,
        lambda: mlp(hidden=(64,) * 10, kernel_initializer=keras.initializers.RandomNormal(stddev=0.01)),
        MOMENTUM,
        STUCK + " vanishing_gradient dead_relu",
        "bad_init missing_normalization_layer",
    ),
    "deep sigmoid": faulty(
        digits,
        lambda: mlp(hidden=(64,) * 10, activation="sigmoid"),
        MOMENTUM,
        STUCK + " vanishing_gradient",
        "wrong_hidden_activation too_deep_for_width missing_normalization_layer bad_init",
    ),
    "deep and narrow": faulty(
        digits,
        lambda: mlp(hidden=(4,) * 25),
        SMALL_SGD,
        STUCK + " vanishing_gradient dead_relu",
        "too_deep_for_width missing_normalization_layer bad_init",
    ),
    "softmax between": faulty(
        digits,
        lambda: mlp(hidden=(64, 64, 64), activation="softmax"),
        SMALL_SGD,
        STUCK + " vanishing_gradient",
        "wrong_hidden_activation",
    ),
    "dead from the start": faulty(
        digits,
        lambda: mlp(bias_initializer=keras.initializers.Constant(-10.0)),
        compiled(),
        STUCK + " dead_relu vanishing_gradient",
        "bad_init",
    ),
    "raw inputs": faulty(
        raw_cancer,
        one(30, (32, 32), "sigmoid"),
        compiled(BINARY, lambda: sgd(0.01)),
        BLOWN,
        "unnormalized_input",
    ),
    "inputs a thousand times": faulty(
        with_inputs(digits, lambda x: 1e4 * x),
        mlp,
        compiled(optimizer=lambda: sgd(0.05)),
        BLOWN,
        "unnormalized_input",
    ),
    "raw target": faulty(
        with_target(regression, lambda y: 5000 + 1000 * y),
        one(20, (32,)),
        compiled(SQUARED),
        STUCK + " slow_convergence",
        "unnormalized_target",
    ),
    "raw target, SGD": faulty(
        with_target(regression, lambda y: 1000 * y),
        one(20, (32,)),
        compiled(SQUARED, lambda: sgd(0.05)),
        BLOWN,
        "unnormalized_target lr_too_high",
    ),
    "squared error of labels": faulty(
        digits,
        lambda: mlp(outputs=1, last="sigmoid"),
        compiled(SQUARED),
        STUCK,
        "wrong_output_activation wrong_loss wrong_output_units unnormalized_target",
    ),
    "softmax of one": faulty(
        cancer, one(30, (16,), "softmax"), compiled(BINARY), STUCK, "wrong_output_activation wrong_output_units"
    ),
    "relu before the loss": faulty(
        cancer, one(30, (16,), "relu"), compiled(BINARY), BLOWN + " " + STUCK, "wrong_output_activation"
    ),
    "no activation before the loss": faulty(
        digits, lambda: mlp(last=None), compiled(), BLOWN + " " + STUCK, "wrong_output_activation wrong_loss"
    ),
    "sigmoid for a wide target": faulty(
        with_target(regression, lambda y: 3 * y),
        one(20, (32,), "sigmoid"),
        compiled(SQUARED),
        STUCK,
        "wrong_output_activation unnormalized_target",
    ),
    "tanh for a positive target": faulty(
        with_target(regression, lambda y: 50 + 10 * y),
        one(20, (32,), "tanh"),
        compiled(SQUARED),
        STUCK,
        "wrong_output_activation unnormalized_target",
    ),
    "labels of minus one": faulty(
        with_target(cancer, lambda y: 2 * y - 1),
        one(30, (16,), "sigmoid"),
        compiled(BINARY),
        "negative_loss diverging_loss",
        "wrong_loss wrong_output_activation wrong_labels",
    ),
    "frozen": faulty(digits, frozen, compiled(), STUCK, "frozen_layers"),
    "wrong labels": faulty(
        shuffled_labels,
        lambda: mlp(hidden=(256, 256)),
        compiled(),
        "no_generalization overfit no_learning underfit",
        "wrong_labels label_noise split_mismatch",
        epochs=40,
    ),
    "other validation": faulty(
        other_validation,
        mlp,
        compiled(),
        "train_val_mismatch no_generalization overfit",
        "split_mismatch wrong_labels",
    ),
    "missing values": faulty(
        with_inputs(digits, with_nan),
        mlp,
        compiled(),
        "nonfinite no_learning constant_output underfit",
        "unsafe_numerics unnormalized_input",
    ),
    "logarithm of zero": faulty(
        with_target(with_inputs(cancer, lambda x: 30 * x), lambda y: y[:, None].astype("float32")),
        one(30, (16,), "sigmoid"),
        compiled(logarithm, lambda: adam(1e-2)),
        "nonfinite",
        "unsafe_numerics unnormalized_input",
    ),
    "averages behind": faulty(
        with_inputs(digits, lambda x: 0.1 * x),
        lambda: conv(norm=True),
        compiled(),
        "moving_average_lag",
        "slow_moving_average",
        epochs=5,
    ),
    "clipped too tightly": faulty(
        digits, mlp, compiled(optimizer=lambda: sgd(0.05, global_clipnorm=1e-4)), STUCK, "clipping_too_tight"
    ),
    "schedule too short": faulty(
        digits,
        mlp,
        compiled(optimizer=lambda: sgd(keras.optimizers.schedules.ExponentialDecay(0.05, 10, 0.5))),
        STUCK,
        "schedule_too_short",
    ),
    "too few epochs": faulty(
        digits,
        mlp,
        compiled(optimizer=lambda: sgd(0.003)),
        "slow_convergence underfit",
        "too_few_epochs lr_too_low wrong_optimizer",
        epochs=5,
    ),
    "Adadelta by default": faulty(
        digits, mlp, compiled(optimizer=lambda: keras.optimizers.Adadelta()), STUCK, "wrong_optimizer lr_too_low"
    ),
    "rare class": faulty(imbalanced, one(10, (16,), "sigmoid"), compiled(BINARY), STUCK, "class_imbalance", epochs=15),
    "one batch an epoch": faulty(
        digits,
        mlp,
        compiled(optimizer=lambda: sgd(0.05)),
        STUCK,
        "wrong_batch_size too_few_epochs lr_too_low",
        batch_size=2000,
    ),
    "wild recurrence": faulty(
        digits,
        lambda: recurrent(
            layers.SimpleRNN, activation="relu", recurrent_initializer=keras.initializers.RandomNormal(stddev=2.0)
        ),
        compiled(optimizer=lambda: sgd(0.1)),
        BLOWN,
        "bad_init lr_too_high unnormalized_input",
    ),
}
