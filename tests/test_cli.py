"""The command line."""

import json
import subprocess
import sys
import time

import pytest

from kregtools.causes import CAUSES
from kregtools.cli import COMMANDS, main
from kregtools.record import example
from kregtools.symptoms import SYMPTOMS

OVERFIT = {"loss": [0.6, 0.3, 0.2, 0.1, 0.05], "val_loss": [0.5, 0.35, 0.36, 0.45, 0.5]}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True)


@pytest.fixture
def run_directory(tmp_path):
    example(logs=OVERFIT, facts={"model": {"name": "mlp"}}).save(tmp_path / "run")
    return str(tmp_path / "run")


# ---- help and use


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_examples(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([command, "--help"])
    told = capsys.readouterr().out
    assert stopped.value.code == 0 and f"kregtools {command}" in told and "Examples:" in told


def test_help_is_there_at_once_and_loads_no_backend():
    code = (
        "import sys, contextlib\nfrom kregtools.cli import COMMANDS, main\n"
        "for words in [[], *([name] for name in COMMANDS)]:\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(None):\n"
        "        main([*words, '--help'])\n"
        "heavy = {'tensorflow', 'jax', 'torch', 'keras', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    began = time.perf_counter()
    result = python("-c", code)
    assert result.returncode == 0, result.stderr
    assert time.perf_counter() - began < 5.0


def test_without_a_command_it_says_which_there_are(capsys):
    assert main([]) == 2
    told = capsys.readouterr().err
    assert all(f"    {name} " in told for name in COMMANDS)


def test_the_version_is_that_of_the_package():
    result = python("-m", "kregtools", "--version")
    assert result.stdout.startswith("kregtools 0.") and result.returncode == 0


# ---- symptoms and causes


@pytest.mark.parametrize("rule", [*SYMPTOMS, *CAUSES], ids=lambda rule: rule.name)
def test_every_symptom_and_cause_is_explained(rule, capsys):
    assert main(["explain", rule.name]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{rule.name} ({'symptom' if rule in SYMPTOMS else 'cause'})")
    assert "What to do:" in told and ("Can explain: " if rule in CAUSES else "Can be explained by: ") in told
    words = " ".join(type(rule).__doc__.split())
    assert words == " ".join(" ".join(told.split("\n\n")[1:-1]).split())


def test_all_are_listed_without_a_name(capsys):
    main(["explain"])
    told = capsys.readouterr().out
    assert all(f"  {rule.name} " in told for rule in [*SYMPTOMS, *CAUSES])


@pytest.mark.parametrize("command, rules", [("symptoms", SYMPTOMS), ("causes", CAUSES)])
def test_they_are_listed_by_kind_also_as_json(command, rules, capsys):
    assert main([command]) == 0
    assert all(f"  {rule.name} " in capsys.readouterr().out for rule in rules[:1])
    assert main([command, "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [page["name"] for page in listed] == [rule.name for rule in rules]
    assert all(page["sections"]["What to do"] and page["related"] for page in listed)


def test_an_unknown_name_is_refused_with_one_like_it_and_all_that_exist(capsys):
    assert main(["explain", "dead_rely"]) == 2
    told = capsys.readouterr().err
    assert "Received: 'dead_rely'. Did you mean dead_relu?" in told and "lr_too_high" in told


# ---- runs on disk


def test_a_run_is_reported_as_text_and_page(run_directory, tmp_path, capsys):
    assert main(["report", run_directory, "--output", str(tmp_path / "a.html")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("kregtools: overfit") and str(tmp_path / "a.html") in told
    assert "Overfit: " in (tmp_path / "a.html").read_text()


def test_a_run_is_reported_as_json(run_directory, capsys):
    assert main(["report", run_directory, "--json", "--output", ""]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["best_epoch"], told["written"]) == ("overfit", 2, {})
    assert told["symptoms"][0]["name"] == "overfit" and told["causes"][0]["remedy"]["code"]


@pytest.mark.parametrize("verdict, status", [("sick", 0), ("overfit", 1), ("any", 1)])
def test_it_fails_on_the_verdict_it_is_asked_to(run_directory, verdict, status, capsys):
    assert main(["report", run_directory, "--output", "", "--fail-on", verdict]) == status


def test_what_is_ignored_is_not_looked_for(run_directory, capsys):
    assert main(["report", run_directory, "--output", "", "--ignore", "overfit", "--fail-on", "overfit"]) == 0
    assert main(["report", run_directory, "--output", "", "--ignore", "overfitting"]) == 2
    assert "Received: ignore=" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["report", "nowhere"], ["compare", "nowhere", "elsewhere"]])
def test_a_run_that_is_not_there_is_an_error_that_says_what_is_expected(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    told = capsys.readouterr()
    assert "There is no record at" in told.err and "HealthMonitor(directory=...)" in told.err and not told.out
    assert not list(tmp_path.iterdir())


def test_runs_are_judged_on_a_machine_without_keras_or_a_backend(run_directory, tmp_path):
    example(logs={"loss": [0.5, 0.4]}).save(tmp_path / "other")
    code = (
        "import sys\nfor name in ('keras', 'keras_tuner', 'tensorflow', 'jax', 'torch'): sys.modules[name] = None\n"
        "from kregtools.cli import main\nrun, other, place = sys.argv[1:]\n"
        "status = main(['report', run, '-o', f'{place}/a.html', '--tensorboard', f'{place}/logs'])\n"
        "sys.exit(status or main(['compare', run, other, '-o', f'{place}/ab.html']) or main(['demo']) - 2)"
    )
    result = python("-c", code, run_directory, str(tmp_path / "other"), str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert "there is no module 'keras'. Expected a backend" in result.stderr
    assert (tmp_path / "a.html").exists() and (tmp_path / "ab.html").exists()


def test_a_crash_is_no_verdict(run_directory, monkeypatch, capsys):
    monkeypatch.setattr("kregtools.diagnose", lambda *_: 1 / 0)
    assert main(["report", run_directory, "--output", ""]) == 2
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_report_with_brackets_in_its_path_and_one_that_is_a_directory(run_directory, tmp_path, capsys):
    (tmp_path / "out[draft]").mkdir()
    page = tmp_path / "out[draft]" / "[x].html"
    assert main(["report", run_directory, "--output", str(page)]) == 0
    assert f"report: {page.resolve()}" in capsys.readouterr().out
    assert main(["report", run_directory, "--output", str(tmp_path)]) == 2
    assert "is a directory. Received: path=" in capsys.readouterr().err


def test_explain_writes_its_page_and_says_so_in_json(tmp_path, capsys):
    page = str(tmp_path / "rules.html")
    assert main(["explain", "--html", page, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": {"rules": page}}


def test_a_torn_record_is_a_warning_in_one_line(run_directory, tmp_path, capsys):
    path = tmp_path / "run" / "record.jsonl"
    path.write_text(path.read_text() + '{"epo')
    assert main(["report", run_directory, "--output", ""]) == 0
    assert capsys.readouterr().err.startswith("kregtools: warning: The last line of the record")


def test_a_closed_pipe_is_no_error(run_directory):
    command = f"{sys.executable} -m kregtools symptoms | head -n 1"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.stdout == "symptoms:\n" and not result.stderr
