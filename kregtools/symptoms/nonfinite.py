"""NaN or infinity in the loss, an activation, a gradient or a logged metric."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from kregtools.record import Record, example
from kregtools.symptoms.symptom import Shown, Symptom, SymptomRule

SHOWN_AS = {"nonfinite": "{}", "gradient_nonfinite": "the gradient of {}", "weight_nonfinite": "the weights of {}"}


class Nonfinite(SymptomRule):
    """A number that is NaN or infinite.

    How it is detected: by counting them in the loss, in every layer's output, gradient and weights at the sampled
    steps, and by looking at the losses that Keras logged. The first place, in forward order, of the first step is
    named. Outputs alone would not do: TensorFlow's relu on a CPU turns NaN into 0. Gradients are left out under a
    dynamic loss scale, which finds its size by overflowing; the optimizer skips such a step.

    Why it matters: NaN spreads to every weight within a step, and nothing brings them back.

    What to do: see the cause; lower the learning rate, or clip gradients with `global_clipnorm=1.0`.

    Threshold: one.
    """

    name = "nonfinite"
    shown = Shown("loss", "value", "loss of the sampled steps")
    SICK: ClassVar = (
        example(logs={"loss": [0.7, float("nan")]}),
        example(logs={"loss": [0.7]}, series={("dense", "kernel", "gradient_nonfinite"): [0, 0, 3]}),
        example(logs={"loss": [0.7]}, series={("dense", "kernel", "weight_nonfinite"): [0, 9]}),
        example(series={("", "loss", "nonfinite"): [0, 1], ("dense", "activation", "nonfinite"): [0, 64]}),
    )
    HEALTHY: ClassVar = (
        example(logs={"loss": [0.7, 0.6]}, series={("dense", "kernel", "gradient_nonfinite"): [0, 0]}),
        example(
            logs={"loss": [0.7, 0.6]},
            series={("dense", "kernel", "gradient_nonfinite"): [4, 0]},
            facts={"optimizer": {"loss_scale": "dynamic"}},
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        places = self._counts(record)
        shown = [(int(np.argmax(counts > 0)), place) for place, counts in places.items()]
        if shown:
            sample = min(index for index, _ in shown)
            here = [place for index, place in shown if index == sample]
            step = int(record.steps[sample])
            layers = tuple(dict.fromkeys(layer for layer, _ in here if layer))
            what = " and ".join(dict.fromkeys(tensor for _, tensor in here))
            where = f", first in {layers[0]}" if layers else ""
            count = float(sum(places[place][sample] for place in here))
            return Symptom(
                self.name,
                "critical",
                f"NaN or infinite values appear at step {step} in {what}{where}: {count:.0f} of them.",
                layers,
                step,
                {"count": count, "step": step},
            )
        return self._in_logs(record)

    def _counts(self, record: Record) -> dict[tuple[str, str], np.ndarray]:
        scaled = (record.facts.get("optimizer") or {}).get("loss_scale") == "dynamic"
        found = {}
        for statistic, shown_as in SHOWN_AS.items():
            if scaled and statistic == "gradient_nonfinite":
                continue
            for tensor in dict.fromkeys(tensor for _, tensor in record.tensors(statistic)):
                layers, counts = record.matrix(tensor, statistic)
                sick = np.flatnonzero((counts > 0).any(axis=0))
                found.update({(layers[index], shown_as.format(tensor)): counts[:, index] for index in sick})
        return found

    def _in_logs(self, record: Record) -> Symptom | None:
        for entry in record.logs:
            for log in ("loss", "val_loss"):
                if not np.isfinite(entry.get(log, 0.0)):
                    message = f"{log} is NaN or infinite in epoch {entry['epoch'] + 1}."
                    evidence = {"epoch": float(entry["epoch"] + 1)}
                    return Symptom(self.name, "critical", message, (), int(entry["step"]), evidence)
        return None
