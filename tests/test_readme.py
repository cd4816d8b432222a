"""What the README shows is what happens."""

import re
from pathlib import Path

import keras
import pytest

README = Path(__file__).parents[1] / "README.md"


def blocks(kind: str) -> list[str]:
    found = re.findall(r"```(\w*)\n(.*?)```", README.read_text(), flags=re.DOTALL)
    return [text for name, text in found if name == kind]


@pytest.fixture
def printed(tmp_path, monkeypatch, capsys):
    """Runs code in an empty directory and returns what it prints."""

    def run(code: str, names: dict) -> str:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "100")
        keras.backend.clear_session()  # layers are numbered from the start, as in a process of one's own
        exec(code, names)
        return capsys.readouterr().out

    return run


def skeleton(text: str) -> list[str]:
    """The words of a text, its numbers left out: they differ in the last digits from machine to machine."""
    return re.findall(r"[A-Za-z_]{2,}", text)


def test_the_blocks_run_and_the_first_prints_what_it_says(printed, tmp_path):
    names: dict = {}
    first, second = blocks("python")
    shown = blocks("")[2]
    assert shown.startswith("kregtools: sick")
    assert skeleton(printed(first, names)) == skeleton(shown)
    assert (tmp_path / "report.html").stat().st_size > 10_000
    assert "<VarianceShift over" in printed(second, names)


def test_with_a_sane_learning_rate_the_first_prints_nothing(printed):
    code = blocks("python")[0]
    assert printed(code.replace("learning_rate=3.0", "learning_rate=0.003"), {}) == ""


def test_what_it_refers_to_is_there():
    text = README.read_text()
    for path in re.findall(r"(?:recipes|tests|kregtools)/[\w/]+(?:\.\w+)?", text):
        assert (README.parent / path).exists(), path
