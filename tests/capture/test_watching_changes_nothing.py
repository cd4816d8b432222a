"""With the same seed, a run ends in the same bits with and without the monitor, and leaves the model as it was."""

import cases_sequences
import cases_settings
import cases_structure
import cases_vision
import pytest
from twins import matrix, watched_as_plain
from watched import differences, plain, run

from kregtools.callbacks import FitDiagnosis

TABLES = {
    "settings": cases_settings.CASES,
    "structure": cases_structure.CASES,
    "vision": cases_vision.CASES,
    "sequences": cases_sequences.CASES,
}
CASES = {f"{table}: {name}": case for table, cases in TABLES.items() for name, case in cases.items()}
CORE = [
    "settings: dense",
    "vision: convolutional",
    "settings: xla",
    "settings: mixed_float16",
    "settings: eager",
    "settings: steps_per_execution",
    "settings: gradient accumulation, clip, ema",
    "structure: tensors handed on",
    "structure: loop and branch",
]


@pytest.mark.parametrize(("case", "every"), matrix(CASES, CORE))
def test_a_watched_run_is_bit_identical_and_fully_recorded(case, every):
    watched_as_plain(case, every, plain(case))


def test_logs_alone_change_nothing_either():
    case = CASES["settings: dense"]
    assert not differences(run(case, [FitDiagnosis(verbose=0)]), plain(case))
