import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras.src import testing

from kregtools.initializers import DropoutAware, moments
from kregtools.initializers.dropout_aware import DISTRIBUTIONS, MODES

KERNELS = {"dense": (300, 200), "conv1d": (5, 60, 200), "conv2d": (3, 3, 40, 200), "conv3d": (3, 3, 3, 20, 200)}


def values(initializer, shape=(300, 200), dtype=None) -> np.ndarray:
    drawn = keras.ops.cast(initializer(shape, dtype=dtype), "float32")
    return np.asarray(keras.ops.convert_to_numpy(drawn), "float64")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5])
def test_forward_variance_is_keep_over_fan_in_and_the_second_moment(kernel, distribution, rate):
    shape = KERNELS[kernel]
    fan_in = np.prod(shape[:-1])
    drawn = values(DropoutAware("tanh", rate, distribution=distribution, seed=1), shape)
    assert drawn.var() == pytest.approx((1 - rate) / (fan_in * moments("tanh").square), rel=0.03)


@pytest.mark.parametrize("shape, fan_in, fan_out", [((300, 200), 300, 200), ((3, 3, 40, 20), 360, 180)])
def test_the_modes_weigh_forward_and_backward(shape, fan_in, fan_out):
    keep = 0.7
    f, slope = moments("tanh").square, moments("tanh").slope_square
    forward, backward = fan_in * f / keep, fan_out * slope / keep
    expected = {
        "forward": forward,
        "backward": backward,
        "average": (forward + backward) / 2,
        "sum": forward + backward,
    }
    for mode in MODES:
        initializer = DropoutAware("tanh", 0.3, mode=mode, distribution="uniform", seed=1)
        assert values(initializer, shape).var() == pytest.approx(1 / expected[mode], rel=0.03)


def test_backward_keeps_the_variance_of_gradients_through_keras_dropout():
    """Inverted dropout scales the gradient by 1/p as well: the paper's p would let it shrink by a factor of 4."""
    rng = np.random.default_rng(0)
    delta = rng.normal(size=(2000, 300))
    for _ in range(3):
        kernel = values(DropoutAware("relu", 0.5, mode="backward", seed=keras.random.SeedGenerator(3)), (300, 300))
        mask = (rng.random((2000, 300)) < 0.5) / 0.5
        slope = rng.normal(size=(2000, 300)) > 0
        delta = delta @ kernel.T * mask * slope
    assert delta.var() == pytest.approx(1.0, rel=0.15)


def test_on_the_hypersphere_every_output_has_the_same_norm():
    for shape in KERNELS.values():
        drawn = values(DropoutAware("relu", 0.5, distribution="hypersphere"), shape).reshape(-1, shape[-1])
        np.testing.assert_allclose(np.linalg.norm(drawn, axis=0), 1.0, rtol=1e-5)


def test_orthogonal_columns_or_rows_where_the_layer_widens():
    narrow = values(DropoutAware("linear", 0, seed=1), (64, 16))
    np.testing.assert_allclose(narrow.T @ narrow, np.eye(16), atol=1e-5)
    wide = values(DropoutAware("linear", 0, seed=1), (16, 64))
    np.testing.assert_allclose(wide @ wide.T, 4 * np.eye(16), atol=1e-5)


def std_ratios(rate: float, distribution: str, draws: int, width: int = 256) -> np.ndarray:
    """The std of the 30th layer's pre-activations over that of the first, in training mode."""
    ratios = []
    for seed in range(draws):
        keras.utils.set_random_seed(seed)
        h = keras.random.normal((256, width), seed=seed)
        stds = []
        for depth in range(30):
            initializer = DropoutAware("relu", rate, distribution=distribution)
            z = keras.layers.Dense(width, kernel_initializer=initializer)(h)
            stds.append(float(np.std(keras.ops.convert_to_numpy(z))))
            h = keras.layers.Dropout(rate, seed=1000 * seed + depth)(keras.ops.relu(z), training=True)
        ratios.append(stds[-1] / stds[0])
    return np.array(ratios)


@pytest.mark.parametrize("rate", [0.5, *(pytest.param(each, marks=pytest.mark.slow) for each in (0.0, 0.3))])
def test_thirty_layers_keep_the_std(rate):
    assert 1 / 1.4 < np.median(std_ratios(rate, "orthogonal", draws=7)) < 1.4


@pytest.mark.slow
def test_orthogonal_draws_vary_less_than_those_on_the_hypersphere():
    spread = {name: np.log(std_ratios(0.0, name, draws=12)).std() for name in ("orthogonal", "hypersphere")}
    assert spread["orthogonal"] < spread["hypersphere"]


class KerasConformance(testing.TestCase):
    """What Keras' own tests ask of every random initializer."""

    def test_serialization(self):
        for distribution in DISTRIBUTIONS:
            initializer = DropoutAware("gelu", 0.2, mode="average", distribution=distribution, seed=1234)
            self.run_class_serialization_test(initializer)

    def test_serialization_with_a_function(self):
        config = DropoutAware(keras.activations.elu, 0.1, seed=3).get_config()
        self.assertAllClose(values(DropoutAware.from_config(config)), values(DropoutAware("elu", 0.1, seed=3)))

    def test_seeds(self):
        for distribution in DISTRIBUTIONS:
            fixed = DropoutAware(distribution=distribution, seed=1337)
            self.assertAllClose(fixed((25, 20)), fixed((25, 20)))
            self.assertAllClose(fixed((25, 20)), fixed.clone()((25, 20)))
            unseeded = DropoutAware(distribution=distribution)
            self.assertAllClose(unseeded((25, 20)), unseeded((25, 20)))
            self.assertNotAllClose(unseeded((25, 20)), unseeded.clone()((25, 20)))
            generator = DropoutAware(distribution=distribution, seed=keras.random.SeedGenerator(1337))
            self.assertNotAllClose(generator((25, 20)), generator((25, 20)))

    def test_dtypes(self):
        for dtype in ("float32", "float16", "bfloat16"):
            drawn = DropoutAware(seed=1)((25, 20), dtype=dtype)
            assert keras.backend.standardize_dtype(drawn.dtype) == dtype
            self.assertAllClose(
                values(DropoutAware(seed=1), dtype=dtype).std(), values(DropoutAware(seed=1)).std(), atol=2e-3
            )

    def test_a_wrong_seed_is_refused_as_by_keras(self):
        with self.assertRaisesRegex(ValueError, "`seed` argument should be"):
            DropoutAware(seed="one")


@pytest.mark.parametrize("arguments, message", [
    ({"rate": 1.0}, r"`rate`. Received: rate=1.0. .* what is dropped, not what is kept"),
    ({"rate": -0.1}, "from 0 to below 1"),
    ({"rate": "half"}, "Received: rate='half'"),
    ({"mode": "both"}, r"Received: mode='both'. Expected one of: forward, backward, average, sum"),
    ({"distribution": "normal"}, r"Expected one of: hypersphere, orthogonal, truncated_normal, uniform"),
    ({"activation": "rleu"}, "Unknown activation"),
])  # fmt: skip
def test_bad_arguments_are_errors_that_say_what_is_expected(arguments, message):
    with pytest.raises(ValueError, match=message):
        DropoutAware(**arguments)


def test_a_shape_that_is_no_kernel_is_an_error():
    with pytest.raises(ValueError, match=r"Received: shape=\(10,\). Expected at least two axes"):
        DropoutAware()((10,))


def test_the_string_identifier_works():
    layer = keras.layers.Dense(4, kernel_initializer="kregtools>DropoutAware")
    assert isinstance(layer.kernel_initializer, DropoutAware)


def test_a_layer_that_is_built_while_keras_traces_it_can_have_one():
    class Block(keras.layers.Layer):
        def build(self, shape):
            # A function of its own: its moments are not known yet.
            initializer = DropoutAware(lambda x: keras.ops.relu(x) + 0.1 * x, 0.3)
            self.dense = keras.layers.Dense(4, kernel_initializer=initializer)
            self.dense.build(shape)

        def call(self, x):
            return self.dense(x)

    model = keras.Sequential([Block()])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).normal(size=(50, 8))
    model.fit(x, x[:, :4], verbose=0)
    assert model.layers[0].dense.kernel.shape == (8, 4)


@pytest.mark.parametrize(
    "first, second", [("kregtools", "keras"), pytest.param("keras", "kregtools", marks=pytest.mark.slow)]
)
def test_a_model_with_it_loads_in_another_process(tmp_path, first, second):
    inputs = keras.Input((8,))
    initializer = DropoutAware("elu", 0.2, mode="average", seed=1)
    model = keras.Model(inputs, keras.layers.Dense(4, kernel_initializer=initializer)(inputs))
    model.save(tmp_path / "model.keras")
    code = f"""
        import {first}
        import {second}
        layer = keras.models.load_model(r"{tmp_path / "model.keras"}").layers[-1]
        initializer = layer.kernel_initializer
        print(type(initializer).__name__, initializer.get_config()["mode"], layer.kernel.numpy().sum())
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["DropoutAware", "average", str(model.layers[-1].kernel.numpy().sum())]


def test_a_lambda_is_taken_and_not_saved():
    initializer = DropoutAware(lambda x: keras.ops.relu(x) ** 2)
    assert initializer((8, 4)).shape == (8, 4)
    with pytest.raises(ValueError, match=r"A lambda cannot be saved. Received: .*register_keras_serializable"):
        initializer.get_config()
