"""One small net under the settings of `compile`, of `fit` and of optimizers, and with callbacks that do something."""

import keras
from keras import layers
from watched import Case, X, Y, arrays, momentum

WEIGHTS = X[:, 0] + 0.5
VALIDATION = {"validation_data": (X[:30], Y[:30])}


def dense(**settings) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((12,)),
            layers.Dense(8, activation="relu"),
            layers.BatchNormalization(),
            layers.Dropout(0.3),
            layers.Dense(1, activation="sigmoid", kernel_regularizer="l2"),
        ]
    )
    settings = {"optimizer": momentum(), "loss": "binary_crossentropy", "metrics": ["accuracy"], **settings}
    model.compile(**settings)
    return model


def with_optimizer(kind: str, *arguments, **settings) -> Case:
    return Case(lambda: dense(optimizer=getattr(keras.optimizers, kind)(*arguments, **settings)))


def mixed(policy: str, build=dense):
    def build_mixed() -> keras.Model:
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            return build()
        finally:
            keras.config.set_dtype_policy(before)

    return build_mixed


def scheduled() -> keras.Model:
    schedule = keras.optimizers.schedules.CosineDecay(0.0, 10, alpha=0.1, warmup_target=0.1, warmup_steps=3)
    return dense(optimizer=keras.optimizers.SGD(schedule, momentum=0.9))


def frozen_layer() -> keras.Model:
    model = dense()
    model.layers[0].trainable = False
    model.compile(momentum(), "binary_crossentropy")
    return model


class Confusion(keras.metrics.Metric):
    """Keeps a matrix, and what it saw last."""

    def __init__(self, name="confusion"):
        super().__init__(name=name)
        self.matrix = self.add_weight(shape=(2, 2), initializer="zeros", name="matrix")
        self.last = self.add_weight(shape=(), initializer="zeros", name="last")

    def update_state(self, y_true, y_pred, sample_weight=None):
        true, found = (keras.ops.cast(keras.ops.reshape(y, (-1,)) > 0.5, "float32") for y in (y_true, y_pred))
        pairs = keras.ops.stack([1 - true, true]), keras.ops.stack([1 - found, found], axis=1)
        self.matrix.assign_add(keras.ops.matmul(*pairs))
        self.last.assign(keras.ops.reshape(y_pred, (-1,))[-1])

    def result(self):
        return self.matrix[0, 1] + self.last


class Predicts(keras.callbacks.Callback):
    """Uses the model between the steps and the epochs of its own training."""

    def on_train_batch_end(self, batch, logs=None):
        if batch == 1:
            self.model.predict(X[:5], verbose=0)
            self.model.evaluate(X[:40], Y[:40], batch_size=20, verbose=0)

    def on_epoch_end(self, epoch, logs=None):
        self.model.predict(X[:7], verbose=0)
        self.model.evaluate(X, Y, verbose=0)


class TrainsInBetween(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.train_on_batch(X[:8], Y[:8])


class Recompiles(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.model.layers[0].trainable = False
            self.model.make_train_function(force=True)


def watches_quality() -> list[keras.callbacks.Callback]:
    return [
        keras.callbacks.EarlyStopping("val_loss", patience=0, restore_best_weights=True),
        keras.callbacks.ReduceLROnPlateau("loss", factor=0.5, patience=0, min_delta=1.0),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
        keras.callbacks.TerminateOnNaN(),
    ]


CASES = {
    "dense": Case(dense),
    "xla": Case(lambda: dense(jit_compile=True)),
    "no xla": Case(lambda: dense(jit_compile=False)),
    "eager": Case(lambda: dense(run_eagerly=True)),
    "steps_per_execution": Case(lambda: dense(steps_per_execution=3)),
    "steps_per_execution, xla": Case(lambda: dense(steps_per_execution=3, jit_compile=True)),
    "steps_per_execution, eager": Case(lambda: dense(steps_per_execution=2, run_eagerly=True)),
    "adam": with_optimizer("Adam"),
    "adamw, clip, ema": with_optimizer("AdamW", clipnorm=1.0, use_ema=True, ema_overwrite_frequency=4),
    "clip by global norm": with_optimizer("SGD", 0.1, global_clipnorm=0.1),
    "clip by value": with_optimizer("RMSprop", 0.01, clipvalue=0.01),
    "nesterov, weight decay": with_optimizer("SGD", 0.01, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "lion": with_optimizer("Lion", 0.01),
    "adafactor": with_optimizer("Adafactor", 0.01),
    "gradient accumulation": with_optimizer("Adam", gradient_accumulation_steps=2),
    "gradient accumulation, clip, ema": with_optimizer(
        "AdamW", gradient_accumulation_steps=4, use_ema=True, global_clipnorm=1.0
    ),
    "loss scale": with_optimizer("SGD", 0.1, loss_scale_factor=1024.0),
    "learning rate schedule": Case(scheduled),
    "mixed_float16": Case(mixed("mixed_float16")),
    "mixed_bfloat16": Case(mixed("mixed_bfloat16")),
    "float16 with infinite gradients": Case(mixed("mixed_float16"), arrays(X * 3e4)),
    "frozen layer": Case(frozen_layer),
    "metrics with state": Case(lambda: dense(metrics=[Confusion(), "auc"], weighted_metrics=["mse"])),
    "class_weight": Case(dense, arrays(class_weight={0: 0.5, 1: 2.0})),
    "sample_weight": Case(dense, arrays(sample_weight=WEIGHTS)),
    "validation": Case(dense, arrays(**VALIDATION)),
    "callbacks of keras": Case(dense, arrays(**VALIDATION), watches_quality),
    "callbacks that predict and evaluate": Case(dense, callbacks=lambda: [Predicts()]),
    "a callback that trains": Case(dense, callbacks=lambda: [TrainsInBetween()]),
    "a callback that recompiles": Case(dense, callbacks=lambda: [Recompiles()], without={"dense": {"kernel", "bias"}}),
    "three fits": Case(dense, arrays(epochs=1), fits=3),
    "begins at epoch 2": Case(dense, arrays(initial_epoch=2)),
    "one step": Case(dense, arrays(batch_size=96, epochs=1)),
    "not shuffled": Case(dense, arrays(shuffle=False)),
}
