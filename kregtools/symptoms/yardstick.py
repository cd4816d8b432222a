"""What a loss is judged by: the loss of a perfect prediction and that of the best constant one."""

from __future__ import annotations

from typing import NamedTuple

from kregtools.record import Record, constant_loss, perfect_loss
from kregtools.record.derived import derived
from kregtools.record.targets import targets_of
from kregtools.symptoms.symptom import CannotCheckError

# Both losses are estimates from the sampled targets, good to a few percent at best: closer together than this share
# of the larger one, an error of 1 % moves what lies between them by 10 points or more.
LEAST_ROOM = 0.1


class Yardstick(NamedTuple):
    """What the best constant prediction costs, and what a perfect one does.

    Soft targets and smoothed labels have an entropy that no prediction can do without: a network is to be judged by
    what it does of the way from the constant's loss down to there. Where the perfect loss is not known, it is
    taken to lie between 0 and the constant's, and only what holds for all of these is said.

    Attributes:
        constant: The loss of the best constant prediction.
        perfect: That of a perfect one; `None` where it is not known, or too close to the constant's.
    """

    constant: float
    perfect: float | None

    def at(self, share: float) -> float:
        """The loss at a share of the way from a perfect prediction, 0, to the best constant one, 1."""
        perfect = self.perfect or 0.0
        return perfect + share * (self.constant - perfect)

    def share(self, loss: float) -> float:
        """Where a loss stands on that way."""
        perfect = self.perfect or 0.0
        return (loss - perfect) / (self.constant - perfect)

    def above(self, loss: float, share: float) -> bool:
        """Whether a loss is above that share of the way.

        Raises:
            CannotCheckError: If it depends on a perfect loss that is not known.
        """
        if self.perfect is None and self.at(share) < loss < self.constant:
            raise CannotCheckError(
                f"what a perfect prediction costs is not known, or hardly less than what the best constant one does "
                f"({self.constant:.3g}), as with soft targets and counts: a loss of {loss:.3g} may be high or low; "
                "judge the predictions by a metric"
            )
        return not loss <= self.at(share)

    def told(self, loss: float) -> str:
        """A loss on that way, in words."""
        if not self.perfect:
            return f"{self.share(loss):.0%} of what the best constant prediction costs"
        return (
            f"{self.share(loss):.0%} of the way from a perfect prediction ({self.perfect:.3g}) to the best constant one"
        )

    @property
    def evidence(self) -> dict[str, float]:
        """The numbers that it consists of."""
        return {"constant_loss": self.constant, **({"perfect_loss": self.perfect} if self.perfect else {})}


@derived
def yardstick(record: Record) -> Yardstick | None:
    """What the losses are judged by; `None` where it is not known.

    Where no targets were recorded they are taken for labels, as they are in `constant_loss`. Weights of rows or
    classes change the loss by a factor that was not recorded.
    """
    constant = constant_loss(record)
    if constant is None or weighted(record):
        return None
    seen = targets_of(record, record.facts.get("losses") or []) or []
    perfect = perfect_loss(record) if any(targets.known for _, targets in seen) else 0.0
    apart = perfect is not None and constant - perfect >= LEAST_ROOM * constant
    return Yardstick(constant, perfect if apart else None)


def require_yardstick(record: Record) -> Yardstick:
    """What the losses are judged by, or a refusal where it is not known."""
    require_unweighted(record)
    found = yardstick(record)
    if found is None and record.facts.get("own_loss"):
        raise CannotCheckError(
            "the loss of the best constant prediction is not known: the model computes its loss by a `compute_loss` of "
            "its own; log what can be judged as a metric"
        )
    if found is None:
        raise CannotCheckError(
            "the loss of the best constant prediction is not known: it takes HealthMonitor, which sees the targets, "
            "and a crossentropy, a squared error or the like that these targets suit"
        )
    return found


def weighted(record: Record) -> bool:
    """Whether rows or classes were weighted in training."""
    return bool(record.facts.get("weighted"))


def require_unweighted(record: Record) -> None:
    """Refuses a record whose losses are not those of the rows, but weighted."""
    if weighted(record):
        raise CannotCheckError(
            "the loss is weighted by `class_weight` or `sample_weight`, so that it cannot be compared with that of "
            "the best constant prediction: fit without weights to have it judged"
        )
