"""Sound made faster or slower at the same pitch, and the other way round."""

from __future__ import annotations

import math
from typing import Any

from keras import ops

from kregtools._numbers import integer, refuse
from kregtools.layers.waveform_augmentation import WaveformAugmentation, rows_of

# A Hann window that moves by a quarter of its length adds up to a constant, also when squared.
OVERLAP = 4
# Pitches are drawn in steps of this share, half a cent and less, so that places between samples are exact.
STEPS = 4096
BLOCK = 1024
# The bins to either side that a tone reaches, by the Hann window.
LOBE = 2
# How far the kernel of Lanczos reaches, in samples.
REACH = 4


class VocoderAugmentation(WaveformAugmentation):
    """An augmentation by a phase vocoder."""

    def __init__(self, frame_length: int = 1024, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(seed=seed, **kwargs)
        expected = f"a multiple of {OVERLAP} of at least 16"
        self.frame_length = integer("frame_length", frame_length, 16, expected)
        if self.frame_length % OVERLAP:
            refuse("frame_length", frame_length, expected)

    def change(self, waves: Any) -> Any:
        shape: Any = ops.shape(waves)
        length, channels = waves.shape[1:]
        if length is None or length <= self.frame_length // 2:
            raise ValueError(
                f"{type(self).__name__} takes waveforms of a known length of more than half a frame. Received: "
                f"{length} samples and frame_length={self.frame_length}. Choose shorter frames, or set the length of "
                "the waveforms where they are read."
            )
        apart = ops.reshape(ops.transpose(waves, (0, 2, 1)), (-1, length))
        changed = self.change_mono(apart, lambda values: ops.repeat(values, channels, axis=0), waves)
        return ops.transpose(ops.reshape(changed, (shape[0], channels, length)), (0, 2, 1))

    def change_mono(self, apart: Any, for_channels: Any, waves: Any) -> Any:
        """The channels as waveforms of their own, changed by draws that `for_channels` repeats for each channel."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frame_length": self.frame_length}


def stretched(waves: Any, rates: Any, length: int, frame_length: int, band: Any = None) -> Any:
    """Waveforms played at the rates, with the pitch they had, cut or padded with silence to the length.

    Args:
        waves: The waveforms, (batch, samples).
        rates: The speed of each.
        length: How many samples to put out.
        frame_length: The length of a frame in samples.
        band: The share of the frequencies to keep of each waveform, from the lowest on. Defaults to `None`: all.
    """
    hop = frame_length // OVERLAP
    # A hop before the beginning, where too few frames overlap, and silence after the end, for what is read there.
    padded = ops.pad(ops.pad(waves, ((0, 0), (hop, 0)), mode="reflect"), ((0, 0), (0, 2 * frame_length)))
    parts: Any = ops.stft(padded, frame_length, hop, frame_length)
    real, imaginary = parts
    magnitude: Any = ops.sqrt(ops.maximum(real * real + imaginary * imaginary, 1e-20))
    phase: Any = ops.stop_gradient(ops.arctan2(imaginary, real))
    if band is not None:
        bins: Any = ops.arange(frame_length // 2 + 1, dtype="float32")
        magnitude = ops.where(bins <= band[:, None, None] * (frame_length // 2), magnitude, 0.0)
    steps: Any = ops.arange(-1, (length + frame_length) // hop, dtype="float32")
    places: Any = ops.maximum(1.0 + steps * rates[:, None], 0.0)
    frames: Any = ops.shape(magnitude)
    left: Any = ops.minimum(ops.cast(ops.floor(places), "int32"), frames[1] - 2)
    share: Any = (places - ops.floor(places))[..., None]
    levels: Any = (1.0 - share) * rows_of(magnitude, left) + share * rows_of(magnitude, left + 1)
    phases = _phases(phase, levels, left)
    spectrum = (levels * ops.cos(phases), levels * ops.sin(phases))
    outputs: Any = ops.istft(spectrum, frame_length, hop, frame_length, length=length + hop)
    return outputs[:, hop:]


def _phases(phase: Any, levels: Any, left: Any) -> Any:
    """Phases that go on from frame to frame as they do where the waveform is read.

    Added up bin by bin, the bins of one tone would fall apart. So each bin is turned against the phase that it had as
    much as the strongest bin nearby, which keeps a tone's bins as they were to one another.
    """
    there = rows_of(phase, left)
    advance: Any = rows_of(phase, left + 1) - there
    turn: Any = phase[:, :1] + ops.cumsum(advance, axis=1) - advance - there
    count = levels.shape[-1]
    margins = ((0, 0), (0, 0), (LOBE, LOBE))
    levels_around: Any = ops.pad(levels, margins)
    turns_around: Any = ops.pad(turn, margins)
    strongest = levels
    for step in range(2 * LOBE + 1):
        level, other = levels_around[..., step : step + count], turns_around[..., step : step + count]
        turn = ops.where(level > strongest, other, turn)
        strongest = ops.maximum(level, strongest)
    return there + turn


def repitched(waves: Any, semitones: Any, highest: float, frame_length: int) -> Any:
    """Waveforms moved by semitones, none above the highest: stretched, and read at another speed."""
    length = waves.shape[1]
    ratios: Any = 2.0 ** (semitones / 12.0)
    factors: Any = ops.cast(ops.round(STEPS * ratios), "int32")
    scaled: Any = ops.cast(factors, "float32")
    speed = scaled / STEPS
    longest = math.ceil(length * 2.0 ** (max(highest, 0.0) / 12.0)) + REACH + 1
    slow = stretched(waves, 1.0 / speed, longest, frame_length, band=1.0 / speed)
    # Step by step in whole numbers: a float could not tell the places late in a long waveform apart.
    steps: Any = ops.arange(length, dtype="int32")
    blocks = (steps // BLOCK) * factors[:, None]
    rest = (blocks % (STEPS // BLOCK)) * BLOCK + (steps % BLOCK) * factors[:, None]
    share: Any = ops.cast(rest % STEPS, "float32")
    return _between(slow, blocks // (STEPS // BLOCK) + rest // STEPS, share / STEPS)


def _between(waves: Any, left: Any, share: Any) -> Any:
    """Values between samples, by the kernel of Lanczos."""
    samples: Any = ops.shape(waves)
    found: Any = 0.0
    for step in range(1 - REACH, REACH + 1):
        distance = math.pi * (share - step)
        weight: Any = _sinc(distance) * _sinc(distance / REACH)
        found = found + weight * ops.take_along_axis(waves, ops.clip(left + step, 0, samples[1] - 1), axis=1)
    return found


def _sinc(angle: Any) -> Any:
    size: Any = ops.abs(angle)
    safe: Any = ops.maximum(size, 1e-4)
    return ops.sin(safe) / safe
