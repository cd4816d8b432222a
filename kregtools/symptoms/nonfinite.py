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
    named. What the loss, the weights and their gradients do not show is no fault: a mask may be -infinity, and a layer
    may fill in missing inputs. Nor would outputs do alone: TensorFlow's relu on a CPU turns NaN into 0. Gradients are
    left out under a dynamic loss scale, which finds its size by overflowing; the optimizer skips such a step.

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
        example(
            logs={"loss": [0.7, 0.6]},
            series={
                ("scores", "activation", "nonfinite"): [64, 64],
                ("dense", "kernel", "gradient_nonfinite"): [0, 0],
                ("", "loss", "nonfinite"): [0, 0],
            },
        ),
    )

    def check(self, record: Record) -> Symptom | None:
        places = self._counts(record)
        judged = any(_tells(tensor, statistic) for statistic in SHOWN_AS for _, tensor in record.tensors(statistic))
        telling = [counts for (_, *what), counts in places.items() if _tells(*what) or not judged]
        if not telling:
            return self._in_logs(record)
        sample = min(int(np.argmax(counts > 0)) for counts in telling)
        here = {place: counts[sample] for place, counts in places.items() if counts[sample] > 0}
        step, count = int(record.steps[sample]), float(sum(here.values()))
        layers = tuple(dict.fromkeys(layer for layer, _, _ in here if layer))
        what = " and ".join(dict.fromkeys(SHOWN_AS[statistic].format(tensor) for _, tensor, statistic in here))
        where = f", first in {layers[0]}" if layers else ""
        return Symptom(
            self.name,
            "critical",
            f"NaN or infinite values appear at step {step} in {what}{where}: {count:.0f} of them.",
            layers,
            step,
            {"count": count, "step": step},
        )

    def _counts(self, record: Record) -> dict[tuple[str, str, str], np.ndarray]:
        scaled = (record.facts.get("optimizer") or {}).get("loss_scale") == "dynamic"
        found = {}
        for statistic in SHOWN_AS:
            if scaled and statistic == "gradient_nonfinite":
                continue
            for tensor in dict.fromkeys(tensor for _, tensor in record.tensors(statistic)):
                layers, counts = record.matrix(tensor, statistic)
                sick = np.flatnonzero((counts > 0).any(axis=0))
                found.update({(layers[index], tensor, statistic): counts[:, index] for index in sick})
        return found

    def _in_logs(self, record: Record) -> Symptom | None:
        for entry in record.logs:
            for log in ("loss", "val_loss"):
                if not np.isfinite(entry.get(log, 0.0)):
                    message = f"{log} is NaN or infinite in epoch {entry['epoch'] + 1}."
                    evidence = {"epoch": float(entry["epoch"] + 1)}
                    return Symptom(self.name, "critical", message, (), int(entry["step"]), evidence)
        return None


def _tells(tensor: str, statistic: str) -> bool:
    """Whether what is not finite there is a fault: it may be stopped on its way between inputs and loss."""
    return tensor == "loss" or (statistic != "nonfinite" and tensor.split(":")[0] != "activation")
