import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest

from kregtools.layers import DropoutAwareBatchNormalization

X = np.random.default_rng(0).normal(2.0, 3.0, size=(40, 5)).astype("float32")


def test_training_and_inference_are_those_of_keras_to_the_bit():
    ours, plain = DropoutAwareBatchNormalization(), keras.layers.BatchNormalization()
    for training in (True, True, False):
        assert np.array_equal(ours(X, training=training), plain(X, training=training))
    for a, b in zip(ours.weights, plain.weights, strict=True):
        assert a.path.split("/")[-1] == b.path.split("/")[-1] and np.array_equal(a, b)


def test_plain_weights_load_and_ours_load_into_plain():
    def build(layer) -> keras.Model:
        return keras.Sequential([keras.Input((5,)), layer(), keras.layers.Dense(2)])

    kinds = keras.layers.BatchNormalization, DropoutAwareBatchNormalization
    for source, target in (kinds, kinds[::-1]):
        trained, fresh = build(source), build(target)
        trained.compile("sgd", "mse")
        trained.fit(X, X[:, :2], verbose=0)
        fresh.set_weights(trained.get_weights())
        np.testing.assert_array_equal(trained(X), fresh(X))


@pytest.mark.parametrize("axis, shape", [(-1, (16, 5)), (-1, (4, 6, 6, 3)), (1, (4, 3, 6, 6))])
def test_collecting_normalizes_by_the_batch_and_updates_nothing(axis, shape):
    layer = DropoutAwareBatchNormalization(axis=axis)
    x = np.random.default_rng(1).normal(1.0, 2.0, size=shape).astype("float32")
    layer(x, training=True)
    before, collected = [np.array(w) for w in layer.weights], []
    with layer.collecting(collected.append):
        outputs = np.asarray(layer(x, training=False))
    axes = tuple(i for i in range(len(shape)) if i != axis % len(shape))
    (moments,) = collected
    np.testing.assert_allclose(moments.mean, x.mean(axes), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(moments.variance, x.var(axes), rtol=1e-4)
    np.testing.assert_allclose(np.asarray(moments.count), x.size / shape[axis])
    np.testing.assert_allclose(outputs.mean(axes), 0, atol=1e-5)
    for old, new in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(old, new)
    np.testing.assert_array_equal(layer(x, training=False), layer(x))


def test_collecting_ends_with_the_block_even_when_it_fails():
    layer = DropoutAwareBatchNormalization()
    with pytest.raises(RuntimeError), layer.collecting(pytest.fail):
        raise RuntimeError
    layer(X)


def test_collecting_within_collecting():
    layer, outer, inner = DropoutAwareBatchNormalization(), [], []
    layer(X)
    with layer.collecting(outer.append):
        with layer.collecting(inner.append):
            layer(X)
        layer(X)
    layer(X)
    assert len(outer) == len(inner) == 1


@pytest.mark.slow
def test_a_model_with_it_loads_in_another_process(tmp_path):
    model = keras.Sequential([keras.Input((5,)), DropoutAwareBatchNormalization(momentum=0.5), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(X, X[:, :2], verbose=0)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", X)
    code = f"""
        import kregtools, keras, numpy as np
        model = keras.models.load_model(r"{tmp_path / "model.keras"}")
        print(type(model.layers[0]).__qualname__, model.layers[0].momentum)
        np.save(r"{tmp_path / "y.npy"}", model.predict(np.load(r"{tmp_path / "x.npy"}"), verbose=0))
    """
    result = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["DropoutAwareBatchNormalization", "0.5"]
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(X, verbose=0))
