"""What a cause is, and what a rule that looks for one is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from kregtools.record import Record
from kregtools.symptoms import Symptom


@dataclass(frozen=True)
class Remedy:
    """What to change.

    Attributes:
        text: In words, for this model, with what to expect.
        code: The same in Keras code.
    """

    text: str
    code: str


@dataclass(frozen=True)
class Cause:
    """What explains one or more symptoms.

    Attributes:
        name: The name of the rule that found it.
        confidence: How strongly the record speaks for it, from 0 to 1; it ranks causes, and is no probability.
        explains: The names of the symptoms it accounts for.
        reason: The evidence for it, in one sentence.
        remedy: What to change.
    """

    name: str
    confidence: float
    explains: tuple[str, ...]
    reason: str
    remedy: Remedy


class CauseRule(ABC):
    """Looks for one cause of symptoms that were found.

    A rule sees the record and the symptoms. Its class docstring is its documentation; `explains` names the symptoms
    it can account for, and it is asked only when one of them was found. `SICK` and `HEALTHY` are records: diagnosed
    from the first, the cause is named; from the second, it is not.
    """

    name: ClassVar[str]
    explains: ClassVar[tuple[str, ...]]
    SICK: ClassVar[tuple[Record, ...]]
    HEALTHY: ClassVar[tuple[Record, ...]]

    @abstractmethod
    def check(self, record: Record, symptoms: Mapping[str, Symptom]) -> Cause | None:
        """The cause, or `None` where the record does not speak for it.

        Args:
            record: The record of the run.
            symptoms: What was found, by name; at least one is in `explains`.
        """

    def found(self, symptoms: Mapping[str, Symptom], confidence: float, reason: str, remedy: Remedy) -> Cause:
        """This cause, explaining every symptom present that it can."""
        explained = tuple(name for name in symptoms if name in self.explains)
        return Cause(self.name, confidence, explained, reason, remedy)
