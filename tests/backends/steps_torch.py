"""Train steps of one's own in PyTorch's form: `zero_grad`, `backward`, an optimizer."""

import keras
import torch
from cases_structure import compiled
from keras import layers, ops
from steps_common import TAUGHT, discriminator, generator, net
from watched import Case, X, arrays


class OwnStep(keras.Model):
    def __init__(self):
        super().__init__()
        self.hidden, self.drop, self.top = layers.Dense(8, activation="relu"), layers.Dropout(0.2), layers.Dense(1)

    def call(self, x, training=False):
        return self.top(self.drop(self.hidden(x), training=training))

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        loss = self.compute_loss(x, y, self(x, training=True))
        loss.backward()
        weights = list(self.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss.detach()}


class TwoBackwards(OwnStep):
    """Gradients added up over two backward passes."""

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        for half in (0, 1):
            loss = self.compute_loss(x[half::2], y[half::2], self(x[half::2], training=True))
            loss.backward()
        weights = list(self.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss.detach()}


class Physics(OwnStep):
    """Trained on a derivative of its own output: a gradient with a graph of its own."""

    def train_step(self, data):
        x, y = data
        self.zero_grad()
        x = x.clone().requires_grad_()
        output = self(x, training=True)
        slope = torch.autograd.grad(output.sum(), x, create_graph=True)[0]
        loss = ((slope[:, 0] - y) ** 2).mean() + (output**2).mean()
        loss.backward()
        weights = list(self.trainable_weights)
        with torch.no_grad():
            self.optimizer.apply([weight.value.grad for weight in weights], weights)
        return {"loss": loss.detach()}


class InPlace(OwnStep):
    """Changes the output of a layer in place."""

    def __init__(self):
        keras.Model.__init__(self)
        self.hidden, self.drop, self.top = layers.Dense(8), layers.Dropout(0.2), layers.Dense(1)

    def call(self, x, training=False):
        hidden = self.hidden(x)
        return self.top(self.drop(torch.relu_(hidden), training=training))


class TwoOptimizers(keras.Model):
    def __init__(self):
        super().__init__()
        self.discriminator, self.generator = discriminator(), generator()
        self.seed_generator = keras.random.SeedGenerator(5)
        self.built = True

    def compile(self):
        super().compile()
        self.d_optimizer, self.g_optimizer = keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-3)
        self.loss_fn = keras.losses.BinaryCrossentropy(from_logits=True)

    def learn(self, loss, optimizer, weights):
        self.zero_grad()
        loss.backward()
        with torch.no_grad():
            optimizer.apply([weight.value.grad for weight in weights], weights)

    def penalty(self, real, fake):
        return 0.0

    def train_step(self, data):
        real = data[0] if isinstance(data, tuple) else data
        size = real.shape[0]
        noise = keras.random.normal((size, 4), seed=self.seed_generator)
        fake = self.generator(noise).detach()
        labels = ops.concatenate([ops.ones((size, 1)), ops.zeros((size, 1))], axis=0)
        judged = self.discriminator(ops.concatenate([fake, real], axis=0), training=True)
        d_loss = self.loss_fn(labels, judged) + self.penalty(real, fake)
        self.learn(d_loss, self.d_optimizer, self.discriminator.trainable_weights)
        noise = keras.random.normal((size, 4), seed=self.seed_generator)
        g_loss = self.loss_fn(ops.zeros((size, 1)), self.discriminator(self.generator(noise, training=True)))
        self.learn(g_loss, self.g_optimizer, self.generator.trainable_weights)
        return {"d_loss": d_loss.detach(), "g_loss": g_loss.detach()}


class GradientPenalty(TwoOptimizers):
    """A gradient inside the loss of the critic."""

    def penalty(self, real, fake):
        alpha = keras.random.uniform((real.shape[0], 1), seed=self.seed_generator)
        between = (real + alpha * (fake - real)).detach().requires_grad_()
        judged = self.discriminator(between, training=True)
        slope = torch.autograd.grad(judged.sum(), between, create_graph=True)[0]
        return 10.0 * ((slope.norm(dim=1) - 1.0) ** 2).mean()


def adversaries(kind) -> keras.Model:
    model = kind()
    model.compile()
    return model


class Distiller(OwnStep):
    """The teacher is only called, without gradients."""

    def __init__(self):
        super().__init__()
        self.teacher = net(layers.Dense(8, activation="tanh", name="teaches"), layers.Dense(1, name="teaches_too"))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        with torch.no_grad():
            taught = self.teacher(x)
        return ops.mean(ops.square(taught - y_pred))

    def train_step(self, data):
        self.teacher.trainable = False
        return super().train_step(data)


CASES = {
    "own step": Case(lambda: compiled(OwnStep())),
    "own step, eager": Case(lambda: compiled(OwnStep(), run_eagerly=True)),
    "two backward passes": Case(lambda: compiled(TwoBackwards())),
    "derivative of its own": Case(lambda: compiled(Physics())),
    "in place": Case(lambda: compiled(InPlace())),
    "two optimizers": Case(lambda: adversaries(TwoOptimizers), arrays(X, None)),
    "gradient penalty": Case(lambda: adversaries(GradientPenalty), arrays(X, None)),
    "distillation": Case(lambda: compiled(Distiller()), without=TAUGHT),
}
