"""The diagnosis of a record: what it shows, what explains it, what to change."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
import pandas as pd

from kregtools import causes as cause_rules
from kregtools import symptoms as symptom_rules
from kregtools._time_limit import TimeLimitError, time_limit
from kregtools.causes import Cause
from kregtools.record import Record
from kregtools.symptoms import CannotCheckError, Symptom
from kregtools.symptoms.outlook import outlook

if TYPE_CHECKING:
    from rich.console import RenderableType

Verdict = Literal["healthy", "overfit", "underfit", "sick", "undetermined"]
Found = TypeVar("Found")

SEVERITIES = ("critical", "warning", "info")
# Where a network that can do no better ends: its biases bring it to the constant's loss, give or take the noise.
CONSTANT = 1.1
# What keeps a network from fitting although nothing is wrong with how it is trained.
OF_A_SOUND_RUN = (
    *("insufficient_capacity", "missing_nonlinearity", "over_regularization", "label_noise", "class_imbalance"),
    *("too_few_epochs", "insufficient_data", "missing_regularization"),
)
# A rule takes milliseconds.
PATIENCE_S = 10.0
_ENDLESS: set[object] = set()


@dataclass(frozen=True)
class Unchecked:
    """Something that could not be judged.

    Attributes:
        name: The symptom or cause.
        reason: What is missing, and what to pass so that it can be judged.
        error: The traceback, where its rule failed.
    """

    name: str
    reason: str
    error: str | None = None


@dataclass(frozen=True)
class Diagnosis:
    """What a record shows, why, and what to change.

    Every symptom that kregtools knows is in exactly one of `symptoms`, `passed`, `unchecked` and `ignored`.

    Attributes:
        verdict: `"sick"` where a critical symptom was found, but for those that an underfit accounts for: a network
            that ends at a constant's loss for no other reason than its size, its regularization or its labels; else
            `"overfit"` or `"underfit"`; `"healthy"` only where every check ran and passed; else `"undetermined"`.
        symptoms: What was found, the most severe first.
        causes: What explains it, the most probable first.
        passed: The symptoms that were looked for and not found.
        unchecked: What could not be judged, and what to pass so that it can be.
        ignored: The symptoms that were not looked for because the user said so.
        outlook: Where nothing was found, and nothing ignored, what speaks for more epochs, in a sentence; else empty.
    """

    verdict: Verdict
    symptoms: tuple[Symptom, ...]
    causes: tuple[Cause, ...]
    passed: tuple[str, ...]
    unchecked: tuple[Unchecked, ...]
    ignored: tuple[str, ...]
    outlook: str = ""

    @property
    def coverage(self) -> tuple[int, int]:
        """How many symptoms were looked for with success, out of how many that were to be looked for."""
        ran = len(self.passed) + len(self.symptoms)
        failed = [item for item in self.unchecked if item.name in known_names(symptom_rules.SYMPTOMS)]
        return ran, ran + len(failed)

    def frame(self) -> pd.DataFrame:
        """One row for everything judged: kind, name, state, layers, first_step, message."""
        rows: list[tuple[object, ...]] = [
            ("symptom", s.name, s.severity, ", ".join(s.layers), s.first_step, s.message) for s in self.symptoms
        ]
        rows += [("cause", c.name, f"{c.confidence:.2f}", "", None, c.reason) for c in self.causes]
        rows += [("symptom", name, "passed", "", None, "") for name in self.passed]
        rows += [("symptom", u.name, "failed" if u.error else "unchecked", "", None, u.reason) for u in self.unchecked]
        rows += [("symptom", name, "ignored", "", None, "") for name in self.ignored]
        return pd.DataFrame(rows, columns=["kind", "name", "state", "layers", "first_step", "message"])

    def __rich__(self) -> RenderableType:
        from kregtools.report.text import diagnosis_text

        return diagnosis_text(self)

    def __str__(self) -> str:
        from kregtools.report.text import plain

        return plain(self)

    def __repr__(self) -> str:
        found = ", ".join(symptom.name for symptom in self.symptoms) or "no symptoms"
        return f"<Diagnosis: {self.verdict}; {found}>"

    def _repr_html_(self) -> str:
        from kregtools.report.notebook import view

        return view(self)


def diagnose(record: Record, ignore: Collection[str] = ()) -> Diagnosis:
    """Judges a record.

    A rule that fails is listed in `unchecked` with its traceback; it neither ends the diagnosis nor counts as passed.

    Args:
        record: What a run showed.
        ignore: Names of symptoms and causes that are not looked for.

    Returns:
        The diagnosis.

    Raises:
        ValueError: If `ignore` names something unknown.
    """
    check_names("ignore", ignore)
    with record.settled():
        return _judged(record, ignore)


def _judged(record: Record, ignore: Collection[str]) -> Diagnosis:
    found: dict[str, Symptom] = {}
    passed: list[str] = []
    unchecked: list[Unchecked] = []
    for rule in _wanted(symptom_rules.SYMPTOMS, ignore):
        symptom = _tried(rule, Symptom, lambda rule=rule: rule.check(record), unchecked)
        if isinstance(symptom, Symptom):
            found[rule.name] = symptom
        elif symptom is None:
            passed.append(rule.name)
    symptoms = tuple(sorted(found.values(), key=lambda symptom: SEVERITIES.index(symptom.severity)))
    causes = _causes(record, found, ignore, unchecked)
    ignored = tuple(name for name in known_names(symptom_rules.SYMPTOMS) if name in ignore)
    return Diagnosis(
        verdict=_verdict(found, causes, unchecked),
        symptoms=symptoms,
        causes=causes,
        passed=tuple(passed),
        unchecked=tuple(unchecked),
        ignored=ignored,
        outlook="" if found or ignored else outlook(record),
    )


def known_names(rules: Iterable[object]) -> tuple[str, ...]:
    """The names of rules."""
    return tuple(rule.name for rule in rules)  # pyright: ignore[reportAttributeAccessIssue]


def check_names(argument: str, names: Collection[str], causes: bool = True) -> None:
    """Refuses names that no symptom (and no cause) has.

    Raises:
        ValueError: If there is one.
    """
    rules = [*symptom_rules.SYMPTOMS, *(cause_rules.CAUSES if causes else ())]
    wrong = [names] if isinstance(names, str) else [name for name in names if name not in known_names(rules)]
    if wrong:
        expected = "a tuple of names" if isinstance(names, str) else "names"
        raise ValueError(
            f"Invalid value for argument `{argument}`. Received: {argument}={names!r}. "
            f"Expected {expected} out of: {', '.join(sorted(known_names(rules)))}."
        )


def _wanted(rules: Iterable[Found], ignore: Collection[str]) -> list[Found]:
    return [rule for rule in rules if rule.name not in ignore]  # pyright: ignore[reportAttributeAccessIssue]


def _tried(
    rule: Any, kind: type[Symptom | Cause], check: Callable[[], Found], unchecked: list[Unchecked]
) -> Found | Unchecked:
    try:
        if rule in _ENDLESS:
            raise CannotCheckError(f"its rule had not ended after {PATIENCE_S:g} s, and is not tried again")
        with time_limit(PATIENCE_S):
            result = check()
        _refuse_nonsense(result, kind)
        return result
    except CannotCheckError as missing:
        unchecked.append(Unchecked(rule.name, str(missing)))
    except (Exception, TimeLimitError) as error:
        if isinstance(error, TimeLimitError):
            _ENDLESS.add(rule)
        reason = f"its rule failed ({type(error).__name__}: {error}); please report this"
        unchecked.append(Unchecked(rule.name, reason, traceback.format_exc()))
    return unchecked[-1]


def _refuse_nonsense(result: Any, kind: type[Symptom | Cause]) -> None:
    """Refuses what a rule must not return, so that those who show it need not doubt it."""
    if result is None:
        return
    if not isinstance(result, kind):
        raise TypeError(f"the rule returned {result!r}, not a {kind.__name__} or None")
    texts = [result.name]
    if isinstance(result, Symptom):
        texts += [result.message, *result.layers, *result.evidence]
        numbers = [*result.evidence.values(), 0 if result.first_step is None else result.first_step]
        if result.severity not in SEVERITIES:
            raise ValueError(f"its severity is {result.severity!r}, not one of {', '.join(SEVERITIES)}")
    else:
        texts += [result.reason, result.remedy.text, result.remedy.code, *result.explains]
        numbers = [result.confidence]
    wrong = [text for text in texts if not isinstance(text, str)]
    wrong += [number for number in numbers if not isinstance(number, (int, float, np.number))]
    if wrong:
        raise TypeError(f"the rule's {kind.__name__} holds {wrong[0]!r} where a text or a number is expected")


def _causes(
    record: Record, found: dict[str, Symptom], ignore: Collection[str], unchecked: list[Unchecked]
) -> tuple[Cause, ...]:
    named = []
    for rule in _wanted(cause_rules.CAUSES, ignore):
        if any(name in found for name in rule.explains):
            cause = _tried(rule, Cause, lambda rule=rule: rule.check(record, found), unchecked)
            if isinstance(cause, Cause):
                named.append(cause)
    return tuple(sorted(named, key=lambda cause: -cause.confidence))


def _verdict(found: dict[str, Symptom], causes: tuple[Cause, ...], unchecked: list[Unchecked]) -> Verdict:
    critical = {name for name, symptom in found.items() if symptom.severity == "critical"}
    if critical - ({"no_learning", "constant_output"} if _fits_no_better(found, causes) else set()):
        return "sick"
    for verdict in ("overfit", "underfit"):
        if verdict in found:
            return verdict
    return "undetermined" if unchecked or found else "healthy"


def _fits_no_better(found: dict[str, Symptom], causes: tuple[Cause, ...]) -> bool:
    """Whether it is a sound run of a network that can do no better than a constant, which is an underfit."""
    at_constant = "underfit" in found and found["underfit"].evidence["ratio"] <= CONSTANT
    return at_constant and all(cause.name in OF_A_SOUND_RUN for cause in causes)
