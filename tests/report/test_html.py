import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.report import write_html
from kregtools.report.figures import curves_data, profiles_data
from kregtools.symptoms import SYMPTOMS

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}
NASTY = '<script>alert("$x$ & _y_")</script>'


def page(record, tmp_path) -> str:
    return write_html(tmp_path / "run.html", record, diagnose(record)).read_text()


def watched(layers, samples: int = 6):
    series = {}
    for index, layer in enumerate(layers):
        series[layer, "activation", "std"] = [0.5 + index] * samples
        series[layer, "kernel", "gradient_rms"] = [10.0**-index] * samples
        series[layer, "kernel", "update_ratio"] = [1e-3] * samples
    return series


VOID = {"meta", "link", "br", "img"}


class Links(HTMLParser):
    """Everything a page would fetch, and whether all its tags are closed."""

    def __init__(self):
        super().__init__()
        self.fetched, self.open = [], []

    def handle_starttag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href")]


def test_it_says_what_was_found_why_and_what_to_do(tmp_path):
    layers = [
        {"name": "hidden", "class": "Dense", "units": 16, "weights": ["kernel"]},
        {"name": "output", "class": "Dense", "weights": ["kernel"]},
    ]
    html = page(
        example(logs=OVERFIT, facts={"layers": layers, "model": {"name": "mlp", "class": "Sequential"}}), tmp_path
    )
    for text in ("Overfit: the network learns its training data by heart.", "missing_regularization", "Dropout(0.5)",
                 "overfits after epoch 2", "onset epoch", "use HealthMonitor in place of FitDiagnosis"):  # fmt: skip
        assert text in html


@pytest.mark.parametrize("record", [example(), *(rule.SICK[0] for rule in SYMPTOMS), example(series=watched("abc"))])
def test_every_record_gives_a_whole_page_that_fetches_nothing(record, tmp_path):
    links = Links()
    links.feed(page(record, tmp_path))
    assert not links.open
    assert all(link.startswith(("#", "data:")) for link in links.fetched)


def test_drawings_are_wellformed_and_their_ids_are_unique(tmp_path):
    html = page(example(logs=OVERFIT, series=watched("abc")), tmp_path)
    drawings = re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        ElementTree.fromstring(drawing)
    clips = re.findall(r'<clipPath id="([^"]+)"', html)
    assert len(set(clips)) == len(clips)


def test_names_are_escaped(tmp_path):
    record = example(
        logs={**OVERFIT, NASTY: [1.0] * 5},
        series=watched([NASTY, "b"]),
        facts={"model": {"name": NASTY, "class": NASTY}},
    )
    html = page(record, tmp_path)
    assert "<script" not in html and "&lt;script&gt;" in html


def test_the_curves_come_with_the_onset():
    record = example(logs={**OVERFIT, "accuracy": [0.5, 0.6, 0.7, 0.8, 0.9], "kreg/findings": [0.0] * 5})
    loss, accuracy = curves_data(record, diagnose(record))
    assert (loss.metric, accuracy.metric) == ("loss", "accuracy")
    assert loss.onset == 2 and loss.epochs.tolist() == [1, 2, 3, 4, 5]
    assert loss.validation.tolist() == OVERFIT["val_loss"] and not accuracy.validation.size


def test_the_profiles_are_layers_by_samples():
    std, gradient, _ = profiles_data(example(series=watched(["first", "second"])))
    assert std.layers == ["first", "second"] and std.values.shape == (2, 6)
    assert gradient.values[:, 0].tolist() == [1.0, 0.1]


def test_a_hundred_layers_and_epochs_stay_below_a_megabyte(tmp_path):
    series = watched([f"layer_{index}" for index in range(100)], samples=300)
    html = page(example(logs={"loss": [0.5] * 100, "val_loss": [0.5] * 100}, series=series), tmp_path)
    assert len(html) < 1_000_000


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*nowhere.* create it first"):
        write_html(tmp_path / "nowhere" / "run.html", example(), diagnose(example()))
