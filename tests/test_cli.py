"""The command line."""

import pytest

from kregtools.causes import CAUSES
from kregtools.cli import main
from kregtools.symptoms import SYMPTOMS


@pytest.mark.parametrize("rule", [*SYMPTOMS, *CAUSES], ids=lambda rule: rule.name)
def test_every_symptom_and_cause_is_explained(rule, capsys):
    assert main(["explain", rule.name]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{rule.name} ({'symptom' if rule in SYMPTOMS else 'cause'})")
    assert "What to do:" in told


def test_all_are_listed_without_a_name(capsys):
    main(["explain"])
    told = capsys.readouterr().out
    assert all(f"  {rule.name} " in told for rule in [*SYMPTOMS, *CAUSES])


def test_an_unknown_name_is_refused_with_those_that_exist(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["explain", "dead_rely"])
    assert stopped.value.code == 2
    assert "invalid choice: 'dead_rely' (choose from" in capsys.readouterr().err
