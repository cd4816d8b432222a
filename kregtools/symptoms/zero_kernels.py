"""Kernels that start at zero, and where that is meant."""

from __future__ import annotations

from kregtools.record import Record
from kregtools.symptoms.evidence import consumers, layer_facts, sources

# Layers with several inputs, of which the model's own input is none that has a name.
MERGING = ("Add", "Average", "Concatenate", "Maximum", "Subtract")


def started_at_zero(record: Record) -> set[str]:
    """The layers whose kernel is zero before the first step: how far that step goes beside it says nothing."""
    kernels, weights = record.matrix("kernel", "weight_norm")
    measured = {name for name, norm in zip(kernels, weights[0], strict=True) if norm == 0} if len(weights) else set()
    return measured | {name for name, layer in layer_facts(record).items() if _zeros(layer.get("kernel_initializer"))}


def ends_a_branch(record: Record, name: str) -> bool:
    """Whether what the layer gives is joined with something else before the next kernel: zeros pass that on."""
    facts, after, before = layer_facts(record), consumers(record), sources(record)
    pending, seen = list(after.get(name, [])), set()
    while pending:
        follower = pending.pop()
        if len(before.get(follower, [])) > 1 or facts.get(follower, {}).get("class") in MERGING:
            return True
        if follower not in seen and "kernel" not in facts.get(follower, {}).get("weights", ()):
            pending += after.get(follower, [])
        seen.add(follower)
    return False


def _zeros(initializer: dict[str, object] | None) -> bool:
    return (initializer or {}).get("class") in ("Zeros", "zeros")
