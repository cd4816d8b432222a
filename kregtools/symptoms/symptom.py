"""What a symptom is, and what a rule that looks for one is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple

from kregtools.record import Record

Severity = Literal["critical", "warning", "info"]


@dataclass(frozen=True)
class Symptom:
    """Something a record shows.

    Attributes:
        name: The name of the rule that found it.
        severity: `"critical"` where training cannot succeed, `"warning"` where it could do better, else `"info"`.
        message: One sentence with the number that was seen and the one that would be healthy.
        layers: The layers it shows in, in forward order.
        first_step: The first training step that shows it, counted from 0.
        evidence: The numbers behind it.
    """

    name: str
    severity: Severity
    message: str
    layers: tuple[str, ...] = ()
    first_step: int | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)


class Shown(NamedTuple):
    """The series that a symptom is judged by, for drawing.

    Attributes:
        tensor: The tensor.
        statistic: Its statistic.
        label: What it is, in words.
        whole: The statistic that it is a share of.
        limited: Whether `"threshold"` of the evidence is a limit of this very series.
    """

    tensor: str
    statistic: str
    label: str
    whole: str | None = None
    limited: bool = True


class CannotCheckError(Exception):
    """A record lacks what a rule needs; the message says what to pass so that it can be checked."""


class SymptomRule(ABC):
    """Looks for one symptom in a record.

    A rule sees nothing but the record. Its class docstring is its documentation: how the symptom is detected, why it
    matters, what to do, and where the threshold comes from. `SICK` and `HEALTHY` are records in which it must and
    must not be found. `shown` is the series that it judges, `None` for the losses by epoch.
    """

    name: ClassVar[str]
    shown: ClassVar[Shown | None] = None
    SICK: ClassVar[tuple[Record, ...]]
    HEALTHY: ClassVar[tuple[Record, ...]]

    @abstractmethod
    def check(self, record: Record) -> Symptom | None:
        """The symptom, or `None` where there is none.

        Raises:
            CannotCheckError: If the record lacks what the rule needs.
        """
