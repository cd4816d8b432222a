"""What an initialization that looked at the data found and did."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class LayerScale:
    """The scale of one layer's output before its activation, dropout on.

    Attributes:
        layer: The layer's path.
        before: Standard deviation with the kernels that the model came with.
        after: The same with the new ones.
    """

    layer: str
    before: float
    after: float


@dataclass(frozen=True)
class InitializationReport:
    """What `lsuv` and `data_dependent_init` return.

    Attributes:
        layers: One `LayerScale` for each layer that was initialized, in the order in which the model calls them.
        samples: How many rows of data were used.
        left_alone: Why a layer with a kernel was left as it was, by the layer's path.
    """

    layers: tuple[LayerScale, ...]
    samples: int
    left_alone: dict[str, str] = field(default_factory=dict)

    def frame(self) -> pd.DataFrame:
        """One row for each layer."""
        return pd.DataFrame([vars(layer) for layer in self.layers], columns=["layer", "before", "after"])

    def __repr__(self) -> str:
        lines = [f"<InitializationReport over {self.samples} samples>"]
        lines += [f"  {scale.layer}: std {scale.before:.3g} -> {scale.after:.3g}" for scale in self.layers]
        lines += [f"  {name}: left as it was, {why}" for name, why in self.left_alone.items()]
        return "\n".join(lines)
