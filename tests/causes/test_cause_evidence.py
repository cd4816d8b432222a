"""What causes read of a record, and the code they propose."""

import numpy as np
import pytest

from kregtools.causes.evidence import (
    Name,
    accuracy,
    clipped,
    compile_with,
    fitting,
    head_code,
    heads,
    hidden_layers,
    joined,
    kernel_updates,
    largest,
    layer_code,
    layers,
    loss_code,
    optimizer,
    plain_layers,
    row_losses,
)
from kregtools.record import Record, example

NAN = float("nan")


def network(*kinds: str | None):
    """Layers of these classes, each with a kernel where it is a class that has one."""
    facts = [{"name": f"layer_{index}", "class": kind} for index, kind in enumerate(kinds)]
    bare = ("Dropout", "Flatten", "Activation")
    return [{**layer, "weights": [] if layer["class"] in bare else ["bias", "kernel"]} for layer in facts]


def test_facts_that_are_missing_are_none():
    for facts in ({}, {"layers": None, "optimizer": None}):
        assert layers(example(facts=facts)) == [] and hidden_layers(example(facts=facts)) == []
        assert optimizer(example(facts=facts)) == {} and plain_layers(example(facts=facts)) == []
    assert optimizer(example(facts={"optimizer": {"class": "Adam"}})) == {"class": "Adam"}


def test_hidden_layers_have_a_kernel_and_are_not_the_last():
    record = example(facts={"layers": [*network("Dense", "Dropout", "LSTM", None, "Dense"), {"name": "no_weights"}]})
    assert [layer["name"] for layer in hidden_layers(record)] == ["layer_0", "layer_2", "layer_3"]


def test_several_outputs_are_no_hidden_layers():
    facts = [
        {"name": "trunk", "class": "Dense", "weights": ["kernel"], "inbound": []},
        {"name": "left", "class": "Dense", "weights": ["kernel"], "inbound": ["trunk"]},
        {"name": "right", "class": "Dense", "weights": ["kernel"], "inbound": ["trunk"]},
        {"name": "softmax", "class": "Softmax", "weights": [], "inbound": ["right"]},
    ]
    record = example(facts={"layers": facts, "outputs": [{"layer": "left"}, {"layer": "softmax"}]})
    assert [layer["name"] for layer in hidden_layers(record)] == ["trunk"]


def test_a_model_within_the_model_is_no_layer_of_its_own():
    inner = {"name": "inner", "class": "Sequential", "weights": ["kernel", "kernel"]}
    record = example(facts={"layers": [inner, *network("Dense", "Dense")]})
    assert [layer["name"] for layer in hidden_layers(record)] == ["layer_0"]


def test_plain_layers_are_dense_or_convolutional():
    record = example(facts={"layers": network("Dense", "Conv2D", "LSTM", None, "DepthwiseConv2D", "Conv1D", "Dense")})
    assert [layer["name"] for layer in plain_layers(record)] == ["layer_0", "layer_1", "layer_5"]


def test_the_updates_of_kernels():
    series = {("a", "kernel", "update_ratio"): [1, 2], ("a", "bias", "update_ratio"): [5, 6]}
    names, values = kernel_updates(example(series=series))
    assert names == ["a"] and values.tolist() == [[1], [2]]


def test_the_largest_finite_value():
    assert largest(np.array([[1.0, NAN], [3.0, np.inf]])) == 3.0
    assert np.isnan(largest(np.array([NAN]))) and np.isnan(largest(np.array([])))


def losses(*named: str | None, **settings):
    return {"losses": [{"name": name, **settings} for name in named]}


@pytest.mark.parametrize(
    "facts, code",
    [
        (losses("mean_squared_error"), '"mean_squared_error"'),
        (losses("binary_crossentropy"), '"binary_crossentropy"'),
        (losses("sparse_categorical_crossentropy", from_logits=False), '"sparse_categorical_crossentropy"'),
        (
            losses("binary_focal_crossentropy", from_logits=True),
            "keras.losses.BinaryFocalCrossentropy(from_logits=True)",
        ),
        (
            losses("categorical_crossentropy", from_logits=True),
            "keras.losses.CategoricalCrossentropy(from_logits=True)",
        ),
        (losses("my_own", from_logits=True), "loss"),
        (losses(None), "loss"),
        (losses("huber", "huber"), "loss"),
        ({"losses": None}, "loss"),
        ({}, "loss"),
    ],
)
def test_the_loss_as_it_is_given_to_compile(facts, code):
    assert loss_code(example(facts=facts)) == code


@pytest.mark.parametrize(
    "facts, arguments",
    [
        ({"class": "SGD", "momentum": 0.9, "nesterov": True}, "SGD(learning_rate=0.05, momentum=0.9, nesterov=True)"),
        ({"class": "SGD", "momentum": 0.0, "nesterov": False}, "SGD(learning_rate=0.05)"),
        ({"class": "SGD", "momentum": 0.899999976}, "SGD(learning_rate=0.05, momentum=0.9)"),
        ({"class": "RMSprop", "rho": 0.9}, "RMSprop(learning_rate=0.05)"),
        ({"class": "RMSprop", "rho": 0.95, "learning_rate": 3.0}, "RMSprop(learning_rate=0.05, rho=0.95)"),
        (
            {"class": "AdamW", "beta_1": 0.9, "beta_2": 0.95, "weight_decay": 0.01, "global_clipnorm": 1.0},
            "AdamW(learning_rate=0.05, beta_2=0.95, weight_decay=0.01, global_clipnorm=1.0)",
        ),
        ({"class": None}, "Adam(learning_rate=0.05)"),
        (None, "Adam(learning_rate=0.05)"),
    ],
)
def test_the_line_that_compiles_again(facts, arguments):
    record = example(facts={"optimizer": facts, **losses("huber")})
    assert compile_with(record, learning_rate=0.0500000007) == (
        f'model.compile(keras.optimizers.{arguments}, loss="huber", metrics=[...])'
    )


def test_a_setting_that_is_changed_is_not_also_kept():
    facts = {"class": "SGD", "learning_rate": 0.1, "clipnorm": 0.001, "weight_decay": 0.5}
    record = example(facts={"optimizer": facts})
    assert "SGD(learning_rate=0.1, weight_decay=0.01, clipnorm=0.001)" in compile_with(record, weight_decay=0.01)
    # Keras takes one way of clipping.
    assert "SGD(learning_rate=0.1, weight_decay=0.5, global_clipnorm=1.0)" in compile_with(record, global_clipnorm=1.0)


def test_a_schedule_that_is_left_out_is_named():
    record = example(facts={"optimizer": {"class": "SGD", "schedule": {"class": "CosineDecay"}}})
    assert compile_with(record, learning_rate=0.1).endswith(
        "metrics=[...])  # without its CosineDecay, which may start from this rate"
    )
    assert compile_with(record, learning_rate=Name("schedule")) == (
        "model.compile(keras.optimizers.SGD(learning_rate=schedule), loss=loss, metrics=[...])"
    )


@pytest.mark.parametrize(
    "facts, made",
    [
        (losses("sparse_categorical_crossentropy"), "keras.losses.SparseCategoricalCrossentropy(reduction=None)"),
        (
            losses("binary_crossentropy", from_logits=True),
            "keras.losses.BinaryCrossentropy(from_logits=True, reduction=None)",
        ),
        (losses("mean_squared_error"), "keras.losses.MeanSquaredError(reduction=None)"),
        (losses("my_own"), "loss"),
        (losses("huber", "huber"), "loss"),
        ({}, "loss"),
    ],
)
def test_the_line_that_computes_the_loss_of_each_row(facts, made):
    assert row_losses(example(facts=facts)) == f"losses = {made}(y, model.predict(x))"


@pytest.mark.parametrize(
    "name, labels, predictions",
    [
        ("sparse_categorical_crossentropy", [0, 2, 1], [[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.8, 0.1, 0.1]]),
        ("binary_crossentropy", [0, 1, 1], [[0.1], [0.9], [0.1]]),
        ("mean_absolute_error", [0.0, 1.0, 5.0], [[0.1], [0.9], [0.1]]),
    ],
)
def test_the_loss_of_each_row_is_largest_for_the_wrong_one(name, labels, predictions):
    import keras

    class Model:
        def predict(self, x):
            return np.array(predictions, "float32")

    scope = {"keras": keras, "y": np.array(labels), "x": None, "model": Model()}
    exec(row_losses(example(facts=losses(name))), scope)
    assert keras.ops.convert_to_numpy(keras.ops.argsort(scope["losses"])).tolist()[-1] == 2


def test_settings_that_are_no_floats_stay_as_they_are():
    assert "SGD(learning_rate=1, nesterov=True)" in compile_with(
        example(facts={"optimizer": {"class": "SGD"}}), learning_rate=1, nesterov=True
    )
    assert "learning_rate=1.23457e-05" in compile_with(example(), learning_rate=1.23456789e-5)


@pytest.mark.parametrize(
    "names, sentence",
    [
        ([], ""),
        (["a"], "a"),
        (["a", "b"], "a and b"),
        (["a", "b", "c", "d"], "a, b, c and d"),
        (["a", "b", "c", "d", "e"], "a, b, c, d and 1 more"),
        (list("abcdefg"), "a, b, c, d and 3 more"),
    ],
)
def test_names_in_a_sentence(names, sentence):
    assert joined(names) == sentence


def test_fewer_names_in_a_sentence():
    assert joined(["a", "b", "c"], 1) == "a and 2 more"


@pytest.mark.parametrize(
    "layer, units, arguments, code",
    [
        ({"class": "Dense", "units": 64, "activation": "tanh"}, None, {}, 'Dense(64, activation="tanh")'),
        (
            {"class": "Dense", "units": 64, "activation": "tanh"},
            9,
            {"activation": '"gelu"'},
            'Dense(9, activation="gelu")',
        ),
        (
            {"class": "Conv2D", "units": 8},
            None,
            {"use_bias": "False"},
            'Conv2D(8, kernel_size, activation="relu", use_bias=False)',
        ),
        ({"class": None, "activation": None}, None, {}, 'Dense(units, activation="relu")'),
    ],
)
def test_the_line_that_makes_a_layer(layer, units, arguments, code):
    assert layer_code(layer, units, **arguments) == f"x = keras.layers.{code}(x)"


def test_the_lines_that_make_an_output():
    assert head_code(3, "softmax", "huber") == (
        'outputs = keras.layers.Dense(3, activation="softmax")(x)\n'
        'model.compile(optimizer, loss="huber", metrics=[...])'
    )


@pytest.mark.parametrize(
    "logs, last",
    [
        ({"accuracy": [0.5, 0.6, 0.7]}, 0.7),
        ({"my_acc": [0.5, 0.7], "val_accuracy": [0.1, 0.2]}, 0.7),
        ({"val_accuracy": [0.1, 0.2], "val_acc": [0.1, 0.2]}, None),
        ({"mae": [0.1, 0.2]}, None),
        ({"accuracy": [0.5, NAN]}, None),
        ({}, None),
    ],
)
def test_the_last_training_accuracy(logs, last):
    assert accuracy(example(logs=logs)) == last


def test_an_accuracy_that_the_last_epoch_lacks_is_not_the_last():
    record = Record()
    record.add_epoch(0, 9, {"acc": 0.5})
    record.add_epoch(1, 19, {"accuracy": 0.6})
    assert accuracy(record) == 0.6


SGD = {"class": "SGD", "learning_rate": 0.1}


@pytest.mark.parametrize(
    "depth, facts, clips",
    [
        (8, SGD, True),
        (7, SGD, False),
        (8, {**SGD, "class": "Adam"}, False),
        (8, {**SGD, "schedule": "CosineDecay"}, False),
        (8, {"class": "SGD"}, False),
        (8, None, False),
    ],
)
def test_gradients_that_come_through_a_deep_network_are_clipped_under_sgd(depth, facts, clips):
    text, code = clipped(example(facts={"layers": network(*["Dense"] * (depth + 1)), "optimizer": facts}))
    if not clips:
        assert (text, code) == ("", "")
        return
    assert text == " Steps become larger: clip the gradients to a norm of 1."
    assert code == (
        "\nmodel.compile(keras.optimizers.SGD(learning_rate=0.1, global_clipnorm=1.0), loss=loss, metrics=[...])"
    )


# ---- outputs and their targets

TWO = {"mean": 0.3, "std": 0.21**0.5, "min": 0.0, "max": 1.0}


def seen(
    units: int | None = None, loss: str = "huber", name: str = "target", means: list[float] | None = None, **values
):
    """An output of so many units, and statistics of its targets."""
    means = means or [values.pop("mean", 0.0)]
    series = {("", name, statistic): [value] * len(means) for statistic, value in values.items()}
    series |= {("", name, "mean"): means} if values else {}
    output = {"tensor": name.replace("target", "output"), "target": name, "shape": [None, units] if units else None}
    return example(facts={"losses": [{"name": loss, "target": name}], "outputs": [output]}, series=series)


def kind(record) -> str:
    (head,) = heads(record)
    return head.kind


def test_an_output_with_all_that_is_known_of_it():
    facts = {
        "losses": [{"name": "binary_crossentropy", "from_logits": True, "target": "target:b", "label_smoothing": 0.1}],
        "outputs": [
            {"tensor": "output:a", "target": "target:a", "activation": "relu", "shape": [None, 5]},
            {"tensor": "output:b", "target": "target:b", "activation": "sigmoid", "shape": [None, 7, 1]},
        ],
    }
    (head,) = heads(example(facts=facts, series={("", "target:b", name): [value] for name, value in TWO.items()}))
    assert (head.loss, head.from_logits, head.settings) == ("binary_crossentropy", True, facts["losses"][0])
    assert (head.activation, head.units, head.output, head.target) == ("sigmoid", 1, "output:b", "target:b")
    assert head.kind == "binary" and head.targets.mean == 0.3


def test_an_output_of_which_little_is_known():
    (head,) = heads(example(facts={"losses": [{}]}))
    assert (head.loss, head.from_logits, head.settings, head.activation) == ("", False, {}, None)
    assert (head.units, head.output, head.target, head.kind) == (None, "output", "target", "unknown")
    (head,) = heads(example(facts={"losses": [{"name": "huber", "target": "target:a"}], "outputs": None}))
    assert (head.output, head.target) == ("output:a", "target:a")
    assert heads(example()) == [] and heads(example(facts={"losses": None})) == []


def test_tensors_may_have_names_of_their_own():
    output = {"tensor": "output:0", "target": "target:y", "shape": [None, 1]}
    (head,) = heads(example(facts={"losses": [{"name": "huber"}], "outputs": [output]}))
    assert (head.output, head.target) == ("output:0", "target:y")
    (head,) = heads(example(facts={"losses": [{"name": "huber", "target": "target:target"}]}))
    assert (head.output, head.target) == ("output:target", "target:target")


def test_the_only_output_is_that_of_the_loss():
    facts = {"losses": [{"name": "huber"}], "outputs": [{"activation": "relu", "shape": [None, 2]}]}
    (head,) = heads(example(facts=facts))
    assert (head.activation, head.units, head.output) == ("relu", 2, "output")
    (head,) = heads(example(facts={**facts, "outputs": facts["outputs"] * 2}))
    assert (head.activation, head.units) == (None, None)


@pytest.mark.parametrize(
    "record, expected",
    [
        (seen(1), "unknown"),
        (seen(4, labels_out_of_range=0.0, mean=1.5), "labels"),
        (seen(1, **TWO), "binary"),
        (seen(None, **TWO), "binary"),
        (seen(1, mean=0.4, std=0.5, min=-1.0, max=1.0), "numbers"),
        (seen(1, mean=0.0, std=1.0, min=-1.0, max=1.0), "binary"),
        (seen(1, mean=1.5, std=0.5, min=1.0, max=2.0), "binary"),
        (seen(1, mean=3.0, std=1.0, min=2.0, max=4.0), "numbers"),
        (seen(1, mean=51.0, std=102.0, min=0.0, max=255.0, integer_fraction=1.0), "binary"),
        (seen(1, mean=51.0, std=60.0, min=0.0, max=255.0, integer_fraction=1.0), "integers"),
        (seen(784, mean=51.0, std=60.0, min=0.0, max=255.0, integer_fraction=1.0), "numbers"),
        (seen(2, mean=0.5, std=0.5, min=0.0, max=1.0), "one_hot"),
        (seen(4, mean=0.25, std=0.1875**0.5, min=0.0, max=1.0), "one_hot"),
        (seen(4, **TWO), "multi_label"),
        (seen(2, means=[0.4, 0.6], std=0.49, min=0.0, max=1.0), "multi_label"),
        (seen(2, means=[0.5, NAN], std=0.5, min=0.0, max=1.0), "one_hot"),
        (seen(2, mean=0.0, std=1.0, min=-1.0, max=1.0), "numbers"),
        (seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=1.0), "integers"),
        (seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=0.99), "numbers"),
        (seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=NAN), "numbers"),
    ],
)
def test_what_kind_of_targets_they_are(record, expected):
    assert kind(record) == expected


def test_the_width_of_an_output_that_is_not_known_is_that_of_its_targets():
    columns = {"count": 64, "rows": 32, "count_0": 16, "count_1": 16, "mean": 0.5, "std": 0.5, "min": 0.0, "max": 1.0}
    assert kind(seen(None, **columns)) == "one_hot"


@pytest.mark.parametrize(
    "record, asked",
    [
        (
            seen(4, labels_out_of_range=0.0, mean=1.5, min=0.0, max=9.0),
            (10, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(20, labels_out_of_range=0.0, mean=1.5, min=0.0, max=9.0),
            (20, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(None, labels_out_of_range=0.0, mean=0.0, min=0.0, max=0.0),
            (2, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(1, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=1.0),
            (10, "softmax", "sparse_categorical_crossentropy"),
        ),
        (
            seen(30, mean=3.0, std=1.0, min=0.0, max=9.0, integer_fraction=1.0),
            (30, "linear", "mean_squared_error"),
        ),
        (seen(4, mean=0.25, std=0.1875**0.5, min=0.0, max=1.0), (4, "softmax", "categorical_crossentropy")),
        (seen(4, **TWO), (4, "sigmoid", "binary_crossentropy")),
        (seen(1, **TWO), (1, "sigmoid", "binary_crossentropy")),
        (seen(3, mean=3.0, std=1.0, min=2.0, max=4.5), (3, "linear", "mean_squared_error")),
        (seen(None), (1, "linear", "mean_squared_error")),
    ],
)
def test_what_targets_ask_for(record, asked):
    (head,) = heads(record)
    assert fitting(head) == asked
