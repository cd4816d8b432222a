"""What the README shows is what happens: every block is run, in the order of the page."""

import contextlib
import io
import re
import shlex
from pathlib import Path

import keras
import pytest

import kregtools
from kregtools import symptoms
from kregtools.cli import COMMANDS, main

README = Path(__file__).parents[1] / "README.md"
# What prepares a machine or serves until it is stopped.
NOT_RUN = ("pip ", "make ", "tensorboard ", "python ")
# The demo as it is takes a while.
SHORTER = {"kregtools demo": "kregtools demo --epochs 1"}


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", README.read_text(), flags=re.DOTALL | re.MULTILINE)


class Session:
    """Runs the blocks one after the other, as a reader would, and keeps what each printed."""

    def __init__(self) -> None:
        self.names: dict = {}
        self.printed: list[tuple[str, str, str]] = []

    def run(self, kind: str, text: str) -> None:
        keras.backend.clear_session() if not self.names else None
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            if kind == "python":
                exec(text, self.names)
            elif kind == "sh":
                for line in text.splitlines():
                    self._command(line.split("#")[0].strip())
        self.printed.append((kind, text, said.getvalue()))

    def _command(self, line: str) -> None:
        if line and not line.startswith(NOT_RUN):
            program, *arguments = shlex.split(SHORTER.get(line, line))
            assert program == "kregtools" and main(arguments) == 0, line


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("readme"))
        patch.setenv("COLUMNS", "100")
        patch.setattr(symptoms, "SYMPTOMS", symptoms.SYMPTOMS)
        session = Session()
        for kind, text in blocks():
            session.run(kind, text)
        session.files = {path.name for path in Path.cwd().rglob("*")}
    return session


def skeleton(text: str) -> list[str]:
    """The words of a text, its numbers left out: they differ in the last digits from machine to machine."""
    return re.findall(r"[A-Za-z_]{2,}", text)


def test_every_block_runs(session):
    kinds = [kind for kind, *_ in session.printed]
    assert kinds.count("python") >= 10 and kinds.count("sh") >= 2
    assert set(kinds) <= {"python", "sh", "text"}


def test_what_is_said_to_be_printed_is_printed(session):
    shown = [index for index, (kind, *_) in enumerate(session.printed) if kind == "text"]
    assert len(shown) >= 3
    for index in shown:
        assert skeleton(session.printed[index - 1][2]) == skeleton(session.printed[index][1])


def printed_by(session, part: str) -> str:
    return next(said for _, text, said in session.printed if part in text)


@pytest.mark.parametrize(
    "part, told",
    [
        ("kregtools.preflight", "nonfinite_data  critical"),
        ("kregtools.gradient_check(", "kernel"),
        ("kregtools.learning_curve", "<LearningCurve"),
        ("tensorboard=", "kregtools 3/3"),
        ("kregtools.variance_shift", "<VarianceShift over"),
        ("kregtools compare", "A is overfit"),
        ("kregtools.tune", "2"),
        ("StillFalling", "still_falling"),
    ],
)
def test_each_part_does_what_it_says(session, part, told):
    assert told in printed_by(session, part)


def test_the_files_are_there(session):
    files = {"report.html", "live.html", "plain.html", "compare.html", "curve.png", "kregtools", "sick.html"}
    assert files <= session.files


def test_with_a_sane_learning_rate_the_first_prints_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = next(text for kind, text in blocks() if kind == "python")
    assert "learning_rate=3.0" in code
    exec(code.replace("learning_rate=3.0", "learning_rate=0.003"), {})
    assert capsys.readouterr().out == ""


def test_what_it_refers_to_is_there():
    text = README.read_text()
    for path in re.findall(r"(?:recipes|tests|kregtools|benchmarks|\.github)/[\w/]+(?:\.\w+)?", text):
        assert (README.parent / path).exists(), path
    headings = {
        re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-")
        for heading in re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", text)) <= headings


def test_every_public_name_and_command_is_in_the_table():
    table = README.read_text().split("## All public names")[1]
    names = [*kregtools.__all__, *COMMANDS[:6]]
    for module in ("callbacks", "initializers", "layers", "models", "tuning"):
        names += getattr(kregtools, module).__all__
    assert not [name for name in names if not re.search(rf"\b{name}\b", table)]
