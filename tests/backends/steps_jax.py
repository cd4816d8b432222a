"""Train steps of one's own in JAX's form: pure functions of state and batch."""

import jax
import keras
from cases_structure import compiled
from keras import layers, ops
from steps_common import net
from watched import Case


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.top = layers.Dense(8, activation="relu"), layers.Dropout(0.2), layers.Dense(1)

    def call(self, x, training=False):
        return self.top(self.drop(self.hidden(x), training=training))

    def loss_of(self, trainable, others, x, y):
        y_pred, others = self.stateless_call(trainable, others, x, training=True)
        return self.compute_loss(x, y, y_pred), (y_pred, others)

    def train_step(self, state, data):
        trainable, others, optimizer, metrics = state
        x, y = data
        differentiated = jax.value_and_grad(self.loss_of, has_aux=True)
        (loss, (y_pred, others)), gradients = differentiated(trainable, others, x, y)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return self.logs(loss, y, y_pred, metrics, trainable, others, optimizer)

    def logs(self, loss, y, y_pred, metrics, trainable, others, optimizer):
        updated, logs = [], {}
        for metric in self.metrics:
            own, metrics = metrics[: len(metric.variables)], metrics[len(metric.variables) :]
            own = metric.stateless_update_state(own, *((loss,) if metric.name == "loss" else (y, y_pred)))
            logs[metric.name] = metric.stateless_result(own)
            updated += own
        return logs, (trainable, others, optimizer, updated)


class GradAlone(OwnStep):
    """`jax.grad` instead of `jax.value_and_grad`."""

    def train_step(self, state, data):
        trainable, others, optimizer, metrics = state
        x, y = data
        gradients, (y_pred, others) = jax.grad(self.loss_of, has_aux=True)(trainable, others, x, y)
        trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
        return self.logs(ops.mean(y_pred), y, y_pred, metrics, trainable, others, optimizer)


class Physics(OwnStep):
    """Trained on a derivative of its own output: a gradient inside the function that is differentiated."""

    def loss_of(self, trainable, others, x, y):
        def output(rows):
            return ops.sum(self.stateless_call(trainable, others, rows, training=False)[0])

        slope = jax.grad(output)(x)
        y_pred, others = self.stateless_call(trainable, others, x, training=True)
        return ops.mean(ops.square(slope[:, 0] - y)) + self.compute_loss(x, y, y_pred), (y_pred, others)


class Adversarial(OwnStep):
    """A gradient with respect to the inputs first."""

    def train_step(self, state, data):
        trainable, others, _, _ = state
        x, y = data
        moved = x + 0.1 * ops.sign(jax.grad(lambda rows: self.loss_of(trainable, others, rows, y)[0])(x))
        return super().train_step(state, (moved, y))


class Checkpointed(OwnStep):
    """Activations computed once more in the backward pass."""

    def loss_of(self, trainable, others, x, y):
        return jax.checkpoint(super().loss_of)(trainable, others, x, y)


class Distiller(OwnStep):
    """The teacher is only called."""

    def __init__(self):
        super().__init__()
        self.teacher = net(layers.Dense(8, activation="tanh", name="teaches"), layers.Dense(1, name="teaches_too"))
        self.teacher.trainable = False

    def loss_of(self, trainable, others, x, y):
        # The variables themselves hold no values during a fit.
        state = [*zip(self.trainable_variables, trainable, strict=True)]
        state += zip(self.non_trainable_variables, others, strict=True)
        with keras.StatelessScope(state_mapping=state):
            taught = self.teacher(x)
        y_pred, others = self.stateless_call(trainable, others, x, training=True)
        return ops.mean(ops.square(taught - y_pred)), (y_pred, others)


CASES = {
    "own step": Case(lambda: compiled(OwnStep(), metrics=["mae"])),
    "own step, not compiled": Case(lambda: compiled(OwnStep(), jit_compile=False)),
    "own step, eager": Case(lambda: compiled(OwnStep(), run_eagerly=True)),
    "own step, steps_per_execution": Case(lambda: compiled(OwnStep(), steps_per_execution=3)),
    "grad alone": Case(lambda: compiled(GradAlone())),
    "derivative of its own": Case(lambda: compiled(Physics())),
    "adversarial inputs": Case(lambda: compiled(Adversarial())),
    "checkpointed": Case(
        lambda: compiled(Checkpointed()),
        without={name: {"activation", "activation gradient"} for name in ("Dense", "Dropout")},
    ),
    "distillation": Case(
        lambda: compiled(Distiller()), without={"teaches": {"kernel", "bias"}, "teaches_too": {"kernel", "bias"}}
    ),
}
