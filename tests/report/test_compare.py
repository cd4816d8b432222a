"""Two runs side by side."""

import io
import json
import math

import pytest
from rich.console import Console

import kregtools
from kregtools.cli import main
from kregtools.diagnosis import diagnose
from kregtools.record import example
from kregtools.report.compare import comparison, comparison_table, write_comparison

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}
SOUND = {"loss": [0.6, 0.5, 0.4, 0.35, 0.33], "val_loss": [0.5, 0.45, 0.4, 0.36, 0.34], "accuracy": [0.5] * 5}
NASTY = "<script>alert(1)</script>"


def layers(**rates):
    return [{"name": name, "class": "Dropout", "rate": rate, "inbound": [name]} for name, rate in rates.items()]


A = example(logs=OVERFIT, facts={"optimizer": {"class": "SGD", "learning_rate": 0.5}, "layers": layers(x=0.1, a=0.2)})
B = example(
    logs=SOUND,
    facts={"optimizer": {"class": "SGD", "learning_rate": 0.25}, "layers": layers(x=0.3, b=0.2), "seed": 3},
    series={("x", "activation", "std"): [1.0, 1.0]},
)


def compared(a=A, b=B):
    return comparison({"runs/a": (a, diagnose(a)), NASTY: (b, diagnose(b))})


def test_it_says_how_the_verdicts_differ():
    assert compared().sentence == "A is overfit, B is undetermined."


def test_of_the_same_verdict_it_says_which_loss_is_lower():
    worse = example(logs={**SOUND, "val_loss": [0.9] * 5})
    assert compared(B, worse).sentence == "Both are undetermined; the val_loss of A is lower: 0.34 to 0.9."
    assert compared(B, B).sentence == "Both are undetermined."
    assert compared(example(), example()).sentence == "Both are undetermined."


def test_what_differs_is_listed_and_what_is_the_same_is_not():
    assert sorted(compared().differences) == [
        ("layer x: rate", "0.1", "0.3"),
        ("layers only here", "a", "b"),
        ("optimizer learning_rate", "0.5", "0.25"),
        ("seed", "none", "3"),
    ]
    assert compared(A, A).differences == []


def test_layers_that_differ_in_keras_numbers_alone_are_the_same():
    def run(rate, number, kind="Dropout"):
        names = (f"dense_{number}", f"dropout_{number}")
        found = [{"name": name, "class": each, "rate": rate} for name, each in zip(names, ("Dense", kind), strict=True)]
        facts = {"layers": found, "model": {"name": f"sequential_{number}"}, "losses": [{"output": names[0]}]}
        return example(logs=SOUND, facts=facts)

    assert compared(run(0.1, 17), run(0.1, 19)).differences == []
    assert compared(run(0.1, 17), run(0.2, 19)).differences == [
        ("layer dense_17: rate", "0.1", "0.2"),
        ("layer dropout_17: rate", "0.1", "0.2"),
    ]
    assert compared(run(0.1, 17), run(0.1, 19, "Activation")).differences == [
        ("layers only here", "dense_17, dropout_17", "dense_19, dropout_19")
    ]


def test_it_takes_what_load_returns(runs):
    found = comparison({name: kregtools.load(name) for name in runs})
    assert found.sentence == "A is overfit, B is undetermined."


def test_numbers_that_count_have_all_their_digits():
    long = example(logs={**SOUND, "rows": [12_345.0] * 5})
    shown = Console(width=100, file=io.StringIO())
    shown.print(comparison_table(compared(long, long)))
    assert "12345" in shown.file.getvalue() and "e+04" not in shown.file.getvalue()


def test_it_takes_two_runs():
    with pytest.raises(ValueError, match=r"Two runs are compared\. Received: a\. Expected two"):
        comparison({"a": (A, diagnose(A))})


def test_numbers_are_those_of_the_best_epoch():
    numbers = {name: values for name, *values in compared().numbers}
    assert numbers["best epoch"] == [2, 5] and numbers["val_loss"] == [0.35, 0.34]
    assert numbers["accuracy"] == [None, 0.5]


def test_the_page_has_both_runs_and_escapes_their_names(tmp_path):
    html = write_comparison(tmp_path / "ab.html", compared()).read_text()
    assert "<script" not in html and "&lt;script&gt;" in html
    for text in ("A is overfit, B is undetermined.", "layer x: rate", "A training", "B validation", "not measured"):
        assert text in html


def test_runs_without_anything_give_a_page(tmp_path):
    html = write_comparison(tmp_path / "ab.html", compared(example(), example())).read_text()
    assert "No epoch has ended in either." in html and "Nothing was found." in html
    assert comparison_table(compared(example(), example()))


@pytest.fixture
def runs(tmp_path):
    A.save(tmp_path / "a")
    B.save(tmp_path / "b")
    return [str(tmp_path / "a"), str(tmp_path / "b")]


def test_the_command_prints_and_writes_it(runs, tmp_path, capsys):
    assert main(["compare", *runs, "--output", str(tmp_path / "ab.html")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("A is overfit, B is undetermined.") and str(tmp_path / "ab.html") in told
    assert "<title>" in (tmp_path / "ab.html").read_text()


def test_the_command_prints_json(runs, capsys):
    assert main(["compare", *runs, "--json", "--output", ""]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [run["verdict"] for run in told["runs"].values()] == ["overfit", "undetermined"]
    assert told["differences"]["optimizer learning_rate"] == ["0.5", "0.25"]


def test_json_has_none_for_what_is_not_finite(tmp_path, capsys):
    logs = {**SOUND, "kreg/dead_units": [math.nan] * 5}
    runs = []
    for name in ("a", "b"):
        example(logs=logs).save(tmp_path / name)
        runs.append(str(tmp_path / name))
    assert main(["compare", *runs, "--json", "--output", ""]) == 0
    assert json.loads(capsys.readouterr().out)["numbers"]["kreg/dead_units"] == [None, None]


def test_names_and_paths_are_no_markup(tmp_path, capsys):
    A.save(tmp_path / "a[red]")
    B.save(tmp_path / "b[x]")
    page = tmp_path / "out[draft]" / "r.html"
    page.parent.mkdir()
    assert main(["compare", str(tmp_path / "a[red]"), str(tmp_path / "b[x]"), "--output", str(page)]) == 0
    assert f"comparison: {page.resolve()}" in capsys.readouterr().out
    shown = Console(width=100, file=io.StringIO())
    shown.print(comparison_table(comparison({"a[/x]": (A, diagnose(A)), "b[red]": (B, diagnose(B))})))
    assert "A: a[/x]" in shown.file.getvalue()


def test_a_run_is_not_compared_with_itself(runs, capsys):
    assert main(["compare", runs[0], runs[0]]) == 2
    assert "Expected two runs" in capsys.readouterr().err
