"""What the recipes' models share: hyperparameters with roles, the optimizer and its schedule, data."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import keras
import keras_tuner

from kregtools._numbers import is_integer, is_number
from kregtools.models.hyperparameters import Choice, Float, Int
from kregtools.models.optimization import OPTIMIZERS, SCHEDULES, scheduled

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np


_VALIDATION_BATCH = 256


class Data(NamedTuple):
    """Inputs and labels: to train on, to choose by, and to report on once at the end."""

    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]


def split(x: Any, y: Any, test: tuple[Any, Any], *, one_in: int, rows: int | None) -> Data:
    """The first rows of each part; the last one in `one_in` of the training rows is for validation."""
    x, y = x[:rows], y[:rows]
    kept = len(x) - len(x) // one_in
    return Data((x[:kept], y[:kept]), (x[kept:], y[kept:]), (test[0][:rows], test[1][:rows]))


class RecipeModel(keras_tuner.HyperModel):
    """A model builder with sane defaults, the data it is for, and the part each hyperparameter plays.

    It is a `keras_tuner.HyperModel`: `build(hp)` makes a compiled model, `fit(hp, model, ...)` trains it with its
    batch size and its schedule of the learning rate, and both work inside any KerasTuner tuner. All of
    `hyperparameters` have defaults, so `build(keras_tuner.HyperParameters())` gives the recipe as it is meant. Those
    with a role in regularization and optimization are searched (`l2`, `dropout`, `learning_rate`), the others keep
    their defaults unless `search` names them.

    A subclass gives `name`, `epochs`, `hyperparameters`, `loss` and `metrics`, and implements `load` and `network`.

    Args:
        search: Sequence of strings, the hyperparameters to search. Defaults to `None`, which is `l2`, `dropout` and
            `learning_rate`.
        **fixed: Values of hyperparameters, by name; these are not searched. A value of 0 for `l2` or `dropout`
            leaves the regularizer or the layers out. `None` leaves a hyperparameter as it is. Numbers may be outside
            of the range that is searched; activations and initializers may be any that Keras knows.

    Raises:
        ValueError: If a name is none of the model's hyperparameters, or a value cannot be one.

    Attributes:
        name: String, the recipe's name.
        roles: Dictionary, from `"l2"`, `"dropout"`, `"learning_rate"` and, where the size is a hyperparameter,
            `"capacity"` to the name of the hyperparameter that plays it.
        epochs: Integer, for how many epochs it is meant to be trained.
        batch_size: Integer, the default of the hyperparameter of that name.
        mixed_precision: Boolean, whether it keeps its accuracy when layers compute in float16.

    Example:

    ```python
    hypermodel = kregtools.models.FashionDense(l2=0, search=("dropout", "units"))
    hp = keras_tuner.HyperParameters()
    model = hypermodel.build(hp)
    data = hypermodel.load()
    hypermodel.fit(hp, model, *data.train, validation_data=data.validation)
    ```
    """

    name: ClassVar[str]
    epochs: ClassVar[int]
    roles: ClassVar[Mapping[str, str]] = {"l2": "l2", "dropout": "dropout", "learning_rate": "learning_rate"}
    hyperparameters: ClassVar[Mapping[str, Float | Int | Choice]]
    loss: ClassVar[str | keras.losses.Loss] = "sparse_categorical_crossentropy"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    mixed_precision: ClassVar[bool] = True

    def __init__(self, *, search: Sequence[str] | None = None, **fixed: Any) -> None:
        super().__init__(name=self.name)
        self.fixed = {name: value for name, value in fixed.items() if value is not None}
        if isinstance(search, str):
            raise ValueError(
                f"Invalid value for argument `search`. Received: search={search!r}. Expected a sequence of names, such "
                f"as ({search!r},)."
            )
        searched = ("l2", "dropout", "learning_rate") if search is None else search
        unknown = [name for name in (*self.fixed, *(search or ())) if name not in self.hyperparameters]
        if unknown:
            raise ValueError(
                f"{type(self).__name__} has no such hyperparameter. Received: {', '.join(unknown)}. "
                f"Expected names among: {', '.join(self.hyperparameters)}."
            )
        for name, value in self.fixed.items():
            _check(name, value, self.hyperparameters[name])
        self.searched = [name for name in searched if name in self.hyperparameters and name not in self.fixed]

    @property
    def batch_size(self) -> int:
        return self.fixed.get("batch_size", self.hyperparameters["batch_size"].default)

    def load(self, directory: str | os.PathLike[str] | None = None, rows: int | None = None) -> Data:
        """Load the data as the model takes them.

        Args:
            directory: String or path, where to look first; see `kregtools.datasets.load`. Defaults to `None`.
            rows: Integer, how many of the training rows, validation included, and of the test rows to take. Defaults
                to `None`, which is all.

        Returns:
            `kregtools.models.Data`, a tuple `(train, validation, test)` of tuples `(x, y)`.

        Raises:
            As `kregtools.datasets.load`.
        """
        raise NotImplementedError

    def network(self, chosen: SimpleNamespace) -> keras.Model:
        """Build the model, not compiled, from the values of the hyperparameters."""
        raise NotImplementedError

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        chosen = self._chosen(hp)
        model = self.network(chosen)
        optimizer = OPTIMIZERS[chosen.optimizer](chosen.learning_rate)
        model.compile(optimizer=optimizer, loss=self.loss, metrics=list(self.metrics))
        return model

    def fit(self, hp: keras_tuner.HyperParameters, model: keras.Model, x: Any, y: Any = None, **options: Any) -> Any:
        """Train a model that `build` made.

        Args:
            hp: The hyperparameters it was built from.
            model: The model.
            x: As for `keras.Model.fit`.
            y: As for `keras.Model.fit`.
            **options: As for `keras.Model.fit`. `epochs` and `batch_size` are the recipe's own where they are not
                given or `None`.

        Returns:
            The `History` of `keras.Model.fit`.
        """
        chosen = self._chosen(hp)
        epochs = options.pop("epochs", None) or self.epochs
        if y is not None:
            options["batch_size"] = options.get("batch_size") or chosen.batch_size
            # Small batches are for training; nothing depends on those of the validation.
            options.setdefault("validation_batch_size", max(options["batch_size"], _VALIDATION_BATCH))
        if chosen.schedule != "constant":
            batches = len(x) if y is None else -(-len(x) // options["batch_size"])
            model.optimizer.learning_rate = scheduled(chosen.schedule, chosen.learning_rate, epochs * batches)
        return model.fit(x, y, epochs=epochs, **options)

    def _chosen(self, hp: keras_tuner.HyperParameters) -> SimpleNamespace:
        return SimpleNamespace(**{name: self._value(hp, name) for name in self.hyperparameters})

    def _value(self, hp: keras_tuner.HyperParameters, name: str) -> Any:
        declared = self.hyperparameters[name]
        if name in self.searched:
            return declared.declare(hp, name)
        return hp.Fixed(name, self.fixed.get(name, declared.default))


def _check(name: str, value: Any, declared: Float | Int | Choice) -> None:
    if isinstance(declared, Choice):
        # Keras knows more of the others, and refuses what is none.
        fits = name in ("activation", "initializer", "normalization") or value in declared.values
        expected = f"one of {', '.join(map(repr, declared.values))}"
    elif isinstance(declared, Int):
        least = min(declared.low, 1)
        fits, expected = is_integer(value) and value >= least, f"an integer of at least {least}"
    elif name == "dropout":
        fits, expected = is_number(value) and 0 <= value < 1, "a number from 0 to below 1"
    else:
        fits, expected = is_number(value) and value >= 0, "a number of at least 0"
    if not fits:
        raise ValueError(f"Invalid value for `{name}`. Received: {name}={value!r}. Expected {expected}.")


def with_capacity(name: str) -> dict[str, str]:
    """The roles of a model whose size is set by the hyperparameter of that name."""
    return {**RecipeModel.roles, "capacity": name}


def common(**own: Float | Int | Choice) -> dict[str, Float | Int | Choice]:
    """The hyperparameters that every recipe has, with a recipe's own defaults and additions."""
    shared: dict[str, Float | Int | Choice] = {
        "l2": Float(1e-4, 1e-6, 1e-2, "log"),
        "l1": Float(0.0, 0.0, 1e-3),
        "dropout": Float(0.3, 0.0, 0.8),
        "learning_rate": Float(1e-3, 1e-4, 1e-2, "log"),
        "activation": Choice("relu", ("relu", "leaky_relu", "elu", "gelu", "silu", "tanh")),
        "initializer": Choice("he_normal", ("he_normal", "glorot_uniform", "lecun_normal", "dropout_aware")),
        "normalization": Choice("none", ("none", "batch", "layer")),
        "augment": Choice("none", ("none", "standard")),
        "batch_size": Int(128, 16, 1024, "log"),
        "optimizer": Choice("adam", tuple(OPTIMIZERS)),
        "schedule": Choice("constant", SCHEDULES),
    }
    return {**shared, **own}
