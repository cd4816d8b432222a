"""Models of every build: several inputs and outputs, shared and nested parts, subclassed, own losses, noise."""

import keras
from keras import layers, ops
from watched import ACTIVATION, GRADIENT, Case, X, Y, arrays, momentum


def compiled(model: keras.Model, loss="mse", optimizer=None, **settings) -> keras.Model:
    model.compile(optimizer or momentum(), loss, **settings)
    return model


def stack(*body: layers.Layer, loss="mse", **settings) -> keras.Model:
    return compiled(keras.Sequential([keras.Input((12,)), *body]), loss, **settings)


def residual() -> keras.Model:
    inputs = keras.Input((12,))
    x = layers.Dense(8)(inputs)
    for _ in range(3):
        branch = layers.Dense(8)(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dropout(0.1)(keras.activations.gelu(branch))])
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=1e-3)
    return compiled(keras.Model(inputs, layers.Dense(1)(x)), optimizer=optimizer)


def branches() -> keras.Model:
    a, b = keras.Input((12,), name="a"), keras.Input((12,), name="b")
    shared = layers.Dense(6, activation="relu", name="shared")
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="tanh"), layers.BatchNormalization()])
    joined = layers.Concatenate()([inner(shared(a)), inner(shared(layers.Rescaling(2.0)(b)))])
    outputs = {"x": layers.Dense(1, name="x")(joined), "y": layers.Dense(1, activation="sigmoid", name="y")(joined)}
    losses = {"x": "mse", "y": "binary_crossentropy"}
    return compiled(keras.Model({"a": a, "b": b}, outputs), losses, loss_weights={"x": 0.3, "y": 1.0})


def lists() -> keras.Model:
    a, b = keras.Input((12,)), keras.Input((12,))
    difference = layers.Subtract()([layers.Dense(4)(a), layers.Dense(4)(b)])
    outputs = [layers.Dense(1)(difference), layers.Dense(2)(layers.Maximum()([difference, ops.square(difference)]))]
    return compiled(keras.Model([a, b], outputs), ["mse", "mae"], metrics=[["mae"], ["mse"]])


def nested_twice() -> keras.Model:
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"), layers.Dense(6)], name="inner")
    middle = keras.Input((6,))
    outer = keras.Model(middle, layers.Add()([middle, inner(layers.LayerNormalization()(middle))]), name="outer")
    inputs = keras.Input((12,))
    return compiled(keras.Model(inputs, layers.Dense(1)(outer(outer(layers.Dense(6)(inputs))))))


class Subclassed(keras.Model):
    """Layers in lists and dicts, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.blocks = [layers.Dense(6, activation="relu") for _ in range(2)]
        self.named = {"norm": layers.LayerNormalization(), "drop": layers.Dropout(0.2)}
        self.top = layers.Dense(1)
        self.spare = layers.Dense(3, name="spare")

    def call(self, x, training=False):
        for block in self.blocks:
            x = block(x)
        return self.top(self.named["drop"](self.named["norm"](x), training=training))


class Inner(layers.Layer):
    def __init__(self, units: int, **settings):
        super().__init__(**settings)
        self.wide, self.narrow = layers.Dense(2 * units, activation="gelu"), layers.Dense(units)
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        return {"out": x + self.scale * self.narrow(self.wide(x)), "mean": ops.mean(x, axis=-1)}


class SubclassedTwice(keras.Model):
    def __init__(self):
        super().__init__()
        self.body = Subclassed()
        self.inner = Inner(12)

    def call(self, x, training=False):
        found = self.inner(x)
        return self.body(found["out"], training=training) + found["mean"][:, None]


class Sampling(layers.Layer):
    """Draws from a normal distribution with a seed generator of its own."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.seed_generator = keras.random.SeedGenerator(11)

    def call(self, inputs):
        mean, log_variance = inputs
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        self.add_loss(-0.5 * ops.mean(1 + log_variance - ops.square(mean) - ops.exp(log_variance)))
        return mean + ops.exp(0.5 * log_variance) * noise


def variational() -> keras.Model:
    inputs = keras.Input((12,))
    hidden = layers.Dense(8, activation="relu")(inputs)
    z = Sampling()([layers.Dense(2)(hidden), layers.Dense(2)(hidden)])
    outputs = layers.Dense(12)(layers.Dense(8, activation="relu")(z))
    return compiled(keras.Model(inputs, outputs))


class LossInside(layers.Layer):
    def __init__(self):
        super().__init__()
        self.rate_tracker = keras.metrics.Mean(name="rate")

    def call(self, x):
        self.add_loss(1e-2 * ops.mean(ops.abs(x)))
        return x


class NoLoss(keras.Model):
    """Trained by what its call adds, without targets."""

    def __init__(self):
        super().__init__()
        self.encode, self.decode = layers.Dense(4, activation="tanh"), layers.Dense(12)

    def call(self, x):
        decoded = self.decode(self.encode(x))
        self.add_loss(ops.mean(ops.square(decoded - x)))
        return decoded


class OwnLoss(keras.Model):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        error = ops.mean(ops.square(ops.reshape(y, (-1, 1)) - y_pred))
        return error + 0.1 * ops.mean(ops.square(y_pred - ops.mean(x, axis=1, keepdims=True)))

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {**super().compute_metrics(x, y, y_pred, sample_weight), "fixed": ops.convert_to_tensor(1.0)}


def own_loss() -> keras.Model:
    inputs = keras.Input((12,))
    hidden = layers.Dense(6, activation="softplus")(inputs)
    return compiled(OwnLoss(inputs, layers.Dense(1)(hidden)), loss=None)


def noises() -> keras.Model:
    return stack(
        layers.GaussianNoise(0.1),
        layers.Dense(8, activation="selu"),
        layers.AlphaDropout(0.1),
        layers.Dense(8, activation="relu"),
        layers.GaussianDropout(0.1),
        layers.Dropout(0.2, noise_shape=(None, 1)),
        layers.Dropout(0.0),
        layers.Dropout(0.2, seed=3),
        layers.ActivityRegularization(l2=1e-3),
        layers.Dense(1),
    )


class Passes(layers.Layer):
    """Gives back the very tensor it was given."""

    def call(self, x):
        return x


def aliases() -> keras.Model:
    return stack(
        layers.Dense(6),
        layers.Identity(),
        layers.Activation("linear"),
        Passes(),
        layers.Reshape((2, 3)),
        layers.Permute((2, 1)),
        layers.Flatten(),
        layers.Dense(1),
    )


class Looped(layers.Layer):
    """Calls a layer in a loop, another in a branch."""

    def __init__(self):
        super().__init__()
        self.looped, self.branched = layers.Dense(6, name="in_loop"), layers.Dense(6, name="in_branch")

    def build(self, shape):
        self.looped.build(shape)
        self.branched.build(shape)

    def call(self, x):
        x = ops.fori_loop(0, 2, lambda index, state: state + 0.1 * self.looped(state), x)
        positive = ops.mean(x) > 0
        return ops.cond(positive, lambda: self.branched(x), lambda: -self.branched(x))


class Mapped(layers.Layer):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(6, name="in_map")

    def build(self, shape):
        self.inner.build((None, *shape[2:]))

    def call(self, x):
        return ops.vectorized_map(self.inner, x)


def mapped() -> keras.Model:
    return stack(layers.Reshape((2, 6)), Mapped(), layers.Flatten(), layers.Dense(1))


class Stopped(layers.Layer):
    def call(self, x):
        return ops.stop_gradient(x)


def stopped() -> keras.Model:
    inputs = keras.Input((12,))
    early = layers.Dense(6, name="unreached")(inputs)
    late = layers.Dense(6)(inputs)
    return compiled(keras.Model(inputs, layers.Dense(1)(Stopped()(early) + late)))


class Rounds(layers.Layer):
    """Integers in the middle of a net."""

    def call(self, x):
        return ops.cast(ops.clip(ops.floor(x * 5), 0, 4), "int32")


def integers() -> keras.Model:
    return stack(Rounds(), layers.Embedding(5, 3), layers.Flatten(), layers.Dense(1))


def crosses_precision() -> keras.Model:
    return stack(
        layers.Dense(6, activation="relu", dtype="mixed_bfloat16"),
        layers.Dense(6, dtype="float32"),
        layers.Dense(1, dtype="float64"),
    )


def adapted() -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(X)
    return stack(normalization, layers.Dense(5, activation="hard_sigmoid"), layers.Dense(1))


def low_rank() -> keras.Model:
    model = stack(layers.Dense(8, activation="relu", name="low"), layers.Dense(1))
    model.layers[0].enable_lora(2)
    return compiled(model)


def not_built() -> keras.Model:
    body = [layers.Dense(6, activation="relu"), layers.BatchNormalization(), layers.Dropout(0.2), layers.Dense(1)]
    return compiled(keras.Sequential(body))


def experts() -> keras.Model:
    """Many small layers whose outputs one sum takes up."""
    inputs = keras.Input((12,))
    gates = layers.Dense(4, activation="softmax", name="gates")(inputs)
    outputs = [layers.Dense(3, activation="relu")(inputs) for _ in range(4)]
    mixture = ops.sum(ops.stack(outputs, axis=1) * gates[..., None], axis=1)
    return compiled(keras.Model(inputs, layers.Dense(1)(mixture)))


def softmax_inside() -> keras.Model:
    return stack(
        layers.Dense(6), layers.Softmax(), layers.Dense(3, activation="softmax"), loss="sparse_categorical_crossentropy"
    )


def only_the_inner_calls(*names: str) -> dict[str, set[str]]:
    return {name: {ACTIVATION, GRADIENT} for name in names}


CASES = {
    "residual": Case(residual),
    "branches": Case(branches, arrays({"a": X, "b": X[::-1].copy()}, {"x": Y, "y": Y})),
    "branches, weighted": Case(
        branches, arrays({"a": X, "b": X}, {"x": Y, "y": Y}, sample_weight={"x": X[:, 0], "y": X[:, 1]})
    ),
    "lists": Case(lists, arrays([X, X * 2], [Y, X[:, :2]])),
    "nested twice": Case(nested_twice),
    "subclassed": Case(lambda: compiled(Subclassed()), without={"spare": {ACTIVATION, GRADIENT, "kernel", "bias"}}),
    "subclassed twice": Case(
        lambda: compiled(SubclassedTwice()), without={"spare": {ACTIVATION, GRADIENT, "kernel", "bias"}}
    ),
    "variational, add_loss": Case(variational, arrays(X, X)),
    "add_loss alone": Case(lambda: compiled(NoLoss(), loss=None), arrays(X, None)),
    "add_loss beside": Case(lambda: stack(layers.Dense(4), LossInside(), layers.Dense(1))),
    "own compute_loss": Case(own_loss),
    "noise": Case(noises),
    "tensors handed on": Case(aliases),
    "loop and branch": Case(
        lambda: stack(layers.Dense(6), Looped(), layers.Dense(1)), without=only_the_inner_calls("in_loop", "in_branch")
    ),
    "vectorized map": Case(mapped, without=only_the_inner_calls("in_map")),
    "stopped gradient": Case(stopped, without={"unreached": {GRADIENT}}),
    "integers inside": Case(integers, without={"rounds": {ACTIVATION}}),
    "several precisions": Case(crosses_precision),
    "adapted normalization": Case(adapted),
    "low rank": Case(low_rank),
    "not built": Case(not_built),
    "experts": Case(experts),
    "softmax inside": Case(softmax_inside),
}
