"""The zoo of faulty programs speaks of symptoms and causes that exist, and holds enough of each kind."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from kregtools.causes import CAUSES
from kregtools.diagnosis import known_names
from kregtools.symptoms import SYMPTOMS

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks" / "faults"))
from programs import PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_is_true_of_a_program_has_a_name(name):
    program = PROGRAMS[name]
    assert program.symptoms <= set(known_names(SYMPTOMS))
    assert program.causes <= set(known_names(CAUSES))
    assert (program.kind == "healthy") == (not program.symptoms)


def test_enough_programs_are_healthy_or_merely_over_or_underfit():
    kinds = Counter(program.kind for program in PROGRAMS.values())
    assert sum(kinds.values()) >= 60
    assert kinds["faulty"] <= 0.6 * sum(kinds.values())
