"""Reports of real runs, in a real browser."""

import re
import shutil
import subprocess

import keras
import numpy as np
import pytest

from kregtools.callbacks import HealthMonitor
from kregtools.report.html import render

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(64, 8)).astype("float32")
Y = RNG.integers(0, 2, size=(64,)).astype("float32")

METRIC = "<script>alert($x_1)</script> 层"

pytestmark = pytest.mark.slow


class Deep(keras.Model):
    """Two hundred layers in a list, with as odd names as TensorFlow lets pass."""

    def __init__(self):
        super().__init__(name="deep")
        self.hidden = [keras.layers.Dense(4, activation="tanh", name=f"a.b>c-{index}") for index in range(200)]
        self.last = keras.layers.Dense(1, activation="sigmoid", name="last")

    def call(self, inputs):
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.last(inputs)


@pytest.fixture(scope="module")
def deep():
    """A subclassed model of 200 layers, and no validation data."""
    keras.utils.set_random_seed(0)
    model, monitor = Deep(), HealthMonitor(verbose=0)
    model.compile("sgd", "binary_crossentropy", metrics=[keras.metrics.BinaryAccuracy(name=METRIC)])
    model.fit(X, Y, epochs=3, batch_size=16, verbose=0, callbacks=[monitor])
    return monitor


def test_a_subclassed_model_of_two_hundred_layers_renders(deep):
    html = render(deep.record, deep.diagnosis)
    assert len(html.encode()) < 1_000_000
    assert "<script" not in html and "&lt;script&gt;alert($x_1)&lt;/script&gt; 层" in html and "a.b&gt;c-0" in html
    assert "pass <code>validation_data</code> or <code>validation_split</code> to <code>fit</code>" in html
    assert html.count("<svg") >= 10


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_without_a_word_in_the_console(deep, width, tmp_path):
    path = deep.report(tmp_path / "deep.html")
    result = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--enable-logging=stderr", "--v=0", f"--window-size={width},900", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert result.stdout.rstrip().endswith("</html>") and "The run" in result.stdout
    assert not re.findall(r"CONSOLE.*", result.stderr)
