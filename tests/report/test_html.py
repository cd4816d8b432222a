"""The report page."""

import re
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from kregtools.causes import CAUSES
from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.report import write_html
from kregtools.report.html import render, write_rules
from kregtools.symptoms import SYMPTOMS

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}
NASTY = '<script>alert("$x$ & _y_")</script>'
NAN = float("nan")


def page(record) -> str:
    return render(record, diagnose(record))


def watched(layers, samples: int = 6):
    series = {}
    for index, layer in enumerate(layers):
        for place in ("activation", "kernel"):
            for decade in ("below_1e-9", *(f"1e{decade}" for decade in range(-9, 3))):
                series[layer, place, f"magnitude_{decade}"] = [1 / 13] * samples
        series[layer, "activation", "std"] = [0.5 + index + 0.01 * step for step in range(samples)]
        series[layer, "activation", "dead_units"] = [float(index % 3)] * samples
        series[layer, "activation", "units"] = [64.0] * samples
        series[layer, "kernel", "gradient_rms"] = [10.0 ** -(index % 5) + 1e-6 * step for step in range(samples)]
        series[layer, "kernel", "gradient_norm"] = [10.0 ** -(index % 5) + 1e-6 * step for step in range(samples)]
        series[layer, "kernel", "update_ratio"] = [1e-3 + 1e-6 * step * index for step in range(samples)]
        series[layer, "moving_variance", "variance_ratio"] = [1.0] * samples
    return series


VOID = {"meta", "link", "br", "img"}


class Elements(HTMLParser):
    """Everything a page would fetch, its ids, its text, and whether all its tags are closed."""

    def __init__(self, html: str):
        super().__init__()
        self.fetched, self.open, self.ids, self.tags, self.text = [], [], [], set(), ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.fetched += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset")]
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        self.text += data


def test_it_says_what_was_found_why_and_what_to_do():
    layers = [
        {"name": "hidden", "class": "Dense", "units": 16, "weights": ["kernel"]},
        {"name": "output", "class": "Dense", "weights": ["kernel"]},
    ]
    html = page(example(logs=OVERFIT, facts={"layers": layers, "model": {"name": "mlp", "class": "Sequential"}}))
    for text in ("Overfit: the network learns its training data by heart.", "missing_regularization", "Dropout(0.5)",
                 "overfits after epoch 2", "best: epoch 2", "onset epoch", "How it is detected",
                 "use HealthMonitor in place of FitDiagnosis"):  # fmt: skip
        assert text in html


def test_the_facts_of_the_run_are_there():
    facts = {
        "model": {"name": "mlp", "class": "Functional", "parameters": 12345},
        "optimizer": {"class": "AdamW", "learning_rate": 2e-4},
        "versions": {"keras": "3.99.1"},
        "seed": 77,
        "cost": {"watching": 0.5, "training": 50.0},
        "watching": {"taps": True, "coverage": [{"layer": "cell", "class": "C", "watched": "", "reason": "a loop"}]},
    }
    text = Elements(page(example(logs=OVERFIT, facts=facts))).text
    for told in ("12,345", "AdamW", "0.0002", "3.99.1", "77", "1.0% (0.5 s of watching", "0 of 1", "a loop"):
        assert told in text


RECORDS = [example(), *(rule.SICK[0] for rule in (*SYMPTOMS, *CAUSES[::3])), example(series=watched("abc"))]


@pytest.mark.parametrize("record", RECORDS)
def test_every_record_gives_a_whole_page_that_fetches_nothing(record):
    elements = Elements(page(record))
    assert not elements.open
    assert all(link.startswith(("#", "data:")) for link in elements.fetched)
    assert all(link[1:] in elements.ids for link in elements.fetched if link.startswith("#"))
    assert len(set(elements.ids)) == len(elements.ids)
    assert set(re.findall(r"url\(#([^)]+)\)", page(record))) <= set(elements.ids)
    assert "script" not in elements.tags


def test_drawings_are_wellformed_and_named_for_those_who_cannot_see_them():
    html = page(example(logs=OVERFIT, series=watched("abc")))
    drawings = [ElementTree.fromstring(drawing) for drawing in re.findall(r"<svg.*?</svg>", html, flags=re.DOTALL)]
    names = [drawing.get("aria-label") for drawing in drawings]
    # The finding, the loss, four heat maps, the gradient by depth, six distributions, the variance shift.
    assert len(drawings) == 1 + 1 + 4 + 1 + 6 + 1 and len(set(names)) == len(names)
    assert all(drawing.get("role") == "img" for drawing in drawings)


def test_names_are_escaped_and_stay_text():
    record = example(
        logs={**OVERFIT, NASTY: [1.0] * 5},
        series=watched([NASTY, "b"]),
        facts={
            "model": {"name": NASTY, "class": NASTY},
            "layers": [{"name": NASTY, "class": NASTY, "weights": ["kernel"]}],
            "watching": {"taps": True, "coverage": [{"layer": NASTY, "class": NASTY, "watched": "", "reason": NASTY}]},
        },
    )
    elements = Elements(page(record))
    assert "script" not in elements.tags and NASTY in elements.text


def test_what_stands_between_backticks_is_code_and_still_escaped():
    record = example(logs={"loss": [0.5] * 4}, facts={"watching": {"taps": False, "reason": "`<b>` is odd"}})
    assert "<code>&lt;b&gt;</code> is odd" in page(record)


def test_a_hundred_layers_and_epochs_stay_below_a_megabyte_and_five_seconds():
    series = watched([f"layer_{index}" for index in range(100)], samples=300)
    record = example(logs={"loss": [0.5] * 100, "val_loss": [0.5] * 100, "accuracy": [0.9] * 100}, series=series)
    diagnosis, began = diagnose(record), time.process_time()
    html = render(record, diagnosis)
    assert time.process_time() - began < 5.0
    assert 100_000 < len(html.encode()) < 1_000_000


def test_a_live_page_loads_itself_anew_and_says_how_far_it_is():
    record = example(logs=OVERFIT, facts={"fit": {"epochs": 30}})
    live, done = render(record, diagnose(record), live=True), render(record, diagnose(record))
    assert "location.reload()" in live and "training, epoch 5 of 30" in live
    assert "location.reload()" not in done


def test_a_run_that_still_improves_is_told_to_go_on_once_it_has_ended():
    record = example(logs={"loss": [2.0, 1.6, 1.4, 1.25, 1.15]})
    said = "The training loss still falls by 8% an epoch: train longer"
    assert said in render(record, diagnose(record)) and said not in render(record, diagnose(record), live=True)


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path, monkeypatch):
    path = write_html(tmp_path / "run.html", example(), diagnose(example()))
    before = path.read_text()
    monkeypatch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_html(path, example(logs=OVERFIT), diagnose(example()))
    assert path.read_text() == before and [file.name for file in tmp_path.iterdir()] == ["run.html"]


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no directory .*nowhere.* create it first"):
        write_html(tmp_path / "nowhere" / "run.html", example(), diagnose(example()))


def test_a_directory_in_the_place_of_a_file_is_an_error(tmp_path):
    with pytest.raises(IsADirectoryError, match=r"is a directory. Received: path=.*Expected the path of a file, such"):
        write_html(tmp_path, example(), diagnose(example()))


def test_a_path_may_begin_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert write_html("~/run.html", example(), diagnose(example())) == tmp_path / "run.html"


def test_the_page_of_rules_has_every_symptom_and_cause_with_its_docstring(tmp_path):
    elements = Elements(write_rules(tmp_path / "rules.html").read_text())
    text = " ".join(elements.text.split())
    for rule in (*SYMPTOMS, *CAUSES):
        assert rule.name in elements.ids
        assert all(" ".join(part.replace("`", "").split()) in text for part in rule.__doc__.strip().split("\n\n"))
