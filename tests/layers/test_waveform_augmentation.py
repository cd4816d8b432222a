"""Sound, by what can be measured of it: levels, frequencies and times."""

import keras
import numpy as np
import pytest

from kregtools.layers import RandomGain, RandomNoise, RandomPitchShift, RandomShift, RandomTimeStretch

RATE = 16000
TIMES = np.arange(RATE) / RATE


def run(layer, waves) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(layer(np.asarray(waves, "float32"), training=True)), "float64")


def tone(frequency: float, times: np.ndarray = TIMES) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * times)


def spectrum(wave: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in steps of 1/4 Hz and the amplitude at each, from the middle of a second."""
    middle = wave[2000:-2000]
    window = np.hanning(len(middle))
    return np.arange(2 * RATE + 1) / 4, np.abs(np.fft.rfft(middle * window, 4 * RATE)) * 2 / window.sum()


def peak(wave: np.ndarray) -> tuple[float, float]:
    frequencies, amplitudes = spectrum(wave)
    return frequencies[amplitudes.argmax()], amplitudes.max()


def decibels(ratio: np.ndarray) -> np.ndarray:
    return 10 * np.log10(ratio)


@pytest.mark.parametrize("shape", [(500, 4000), (300, 4000, 2)])
def test_noise_has_the_ratio_asked_for_and_is_white(shape):
    waves = np.random.default_rng(0).normal(size=shape) * np.geomspace(0.01, 10, shape[0]).reshape(
        -1, *[1] * (len(shape) - 1)
    )
    axes = tuple(range(1, len(shape)))
    noise = run(RandomNoise((5, 15), seed=1), waves) - waves
    ratio = decibels((waves**2).mean(axes) / (noise**2).mean(axes))
    assert 4.5 < ratio.min() < 6 and 14 < ratio.max() < 15.5
    assert abs(ratio.mean() - 10) < 4 * np.sqrt(100 / 12 / shape[0])
    fixed = run(RandomNoise(7, seed=1), waves) - waves
    np.testing.assert_allclose(decibels((waves**2).mean(axes) / (fixed**2).mean(axes)), 7, atol=0.5)
    # Neighbours in time have nothing to do with one another.
    scaled = noise / noise.std(axis=1, keepdims=True)
    assert abs((scaled[:, 1:] * scaled[:, :-1]).mean()) < 4 / np.sqrt(noise.size)


def test_silence_stays_silent_and_has_a_finite_gradient():
    silence = np.zeros((3, 512), "float32")
    layers = [
        RandomNoise(),
        RandomGain(),
        RandomShift(),
        RandomTimeStretch(frame_length=64),
        RandomPitchShift(frame_length=64),
    ]
    for layer in layers:
        np.testing.assert_allclose(run(layer, silence), 0, atol=1e-6)
    model = keras.Sequential([keras.Input((512,)), keras.layers.Rescaling(0.0), keras.layers.Dense(512), *layers])
    model.compile("sgd", "mse", jit_compile=False)
    model.fit(silence, silence, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_gain_is_one_factor_for_each_waveform():
    waves = np.random.default_rng(0).normal(size=(400, 50, 2))
    factors = run(RandomGain(6, seed=1), waves) / waves
    np.testing.assert_allclose(factors, np.broadcast_to(factors[:, :1, :1], waves.shape), rtol=1e-3)
    gains = 2 * decibels(factors[:, 0, 0])
    assert -6 < gains.min() < -5.7 and 5.7 < gains.max() < 6 and abs(gains.mean()) < 4 * 12 / np.sqrt(12 * 400)
    np.testing.assert_allclose(run(RandomGain((20, 20)), waves), 10 * waves, rtol=1e-5)


@pytest.mark.parametrize("fill_mode", ["constant", "wrap"])
def test_a_shift_moves_whole_samples(fill_mode):
    wave = np.arange(1.0, 41)
    outputs = run(RandomShift(0.1, fill_mode, seed=1), np.tile(wave, (300, 1)))
    moved = {}
    for shift in range(-4, 5):
        kept = np.roll(wave, shift)
        if fill_mode == "constant":
            kept[slice(None, shift) if shift >= 0 else slice(shift, None)] = 0
        moved[shift] = kept
    found = [shift for output in outputs for shift, kept in moved.items() if np.array_equal(output, kept)]
    assert len(found) == 300 and set(found) == set(moved)
    late = run(RandomShift((0.5, 0.5)), wave)
    np.testing.assert_array_equal(late, [*[0] * 20, *wave[:20]])


@pytest.mark.parametrize("semitones", [-12, -5, -1, 1, 3.3, 7, 12])
def test_a_tone_moves_by_the_semitones_and_keeps_its_level(semitones):
    frequency, level = peak(run(RandomPitchShift((semitones, semitones)), tone(440)))
    expected = 440 * 2 ** (semitones / 12)
    # A step of the frequencies that are looked at, and the rounding to 1/4096.
    assert abs(frequency - expected) <= 0.25 + expected / 8192
    assert level == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.25, 1.6])
def test_a_stretched_tone_keeps_its_frequency_and_level(rate):
    long = np.concatenate([tone(440), tone(440, TIMES + 1)])
    frequency, level = peak(run(RandomTimeStretch(rate), long)[:RATE])
    assert frequency == 440 and level == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.25, 2.0])
def test_what_happens_later_happens_at_another_time(rate):
    """A tone that begins after 0.4 s begins after 0.4 s / rate."""
    wave = np.where(TIMES > 0.4, tone(440), 0)
    output = np.abs(run(RandomTimeStretch(rate), wave))
    begins = np.argmax(output > 0.5) / RATE
    assert abs(begins - 0.4 / rate) < 0.04
    # What is faster than it was ends early.
    assert output[int(RATE / rate) + 1500 :].max(initial=0) < 0.01


def test_chords_keep_their_parts():
    chord = tone(330) + 0.5 * tone(1200) + 0.25 * tone(3000)
    for layer, factor in ((RandomTimeStretch(0.8), 1.0), (RandomPitchShift((4, 4)), 2 ** (1 / 3))):
        frequencies, amplitudes = spectrum(run(layer, chord))
        for frequency, level in ((330, 1), (1200, 0.5), (3000, 0.25)):
            near = np.abs(frequencies - frequency * factor) < 3
            assert amplitudes[near].max() == pytest.approx(level, rel=0.05)
        away = np.min([np.abs(frequencies - part * factor) for part in (330, 1200, 3000)], axis=0) > 60
        assert amplitudes[away].max() < 0.01


def test_what_would_come_to_lie_above_half_the_sampling_rate_is_left_out():
    _, level = peak(run(RandomPitchShift((12, 12)), tone(5000)))
    assert level < 0.01


def test_without_a_change_sound_stays_as_it_is():
    noise = np.random.default_rng(0).normal(size=(3, 5000, 2))
    np.testing.assert_allclose(run(RandomTimeStretch(1), noise), noise, atol=1e-4)
    np.testing.assert_allclose(run(RandomPitchShift(0), noise), noise, atol=1e-4)


def test_each_waveform_has_its_own_draw_and_its_channels_share_it():
    waves = np.stack([tone(440), tone(880)], axis=-1)
    outputs = run(RandomPitchShift((-6, 6), seed=1), np.tile(waves, (4, 1, 1)))
    found = [(peak(output[:, 0])[0], peak(output[:, 1])[0]) for output in outputs]
    assert len(set(found)) == 4
    for first, second in found:
        assert second == pytest.approx(2 * first, abs=0.75)


def test_late_in_a_long_waveform_a_tone_is_as_clean_as_early():
    """A minute at 44.1 kHz: places between samples that were kept as 32-bit floats would blur there."""
    times = np.arange(60 * 44100) / 44100
    output = run(RandomPitchShift((1, 1), frame_length=2048), np.sin(2 * np.pi * 8000 * times))
    late = output[-4 * 44100 : -2 * 44100]
    amplitudes = np.abs(np.fft.rfft(late * np.hanning(len(late)))) * 4 / len(late)
    bin_of_peak = round(8000 * 2 ** (1 / 12) * 2)
    away = np.delete(amplitudes, slice(bin_of_peak - 60, bin_of_peak + 60))
    assert amplitudes.max() > 0.9 and np.sqrt((away**2).sum()) < 0.01


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data with layers of this backend")
@pytest.mark.parametrize("batched", [True, False])
def test_in_a_dataset(batched):
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices(np.tile(tone(440)[:4000].astype("float32"), (12, 1)))
    data = data.batch(4) if batched else data
    for layer in (RandomNoise(), RandomGain(), RandomShift(), RandomTimeStretch(), RandomPitchShift()):
        outputs = np.concatenate([np.atleast_2d(wave) for wave in data.map(layer)])
        assert outputs.shape == (12, 4000) and len(np.unique(outputs, axis=0)) > 10


@pytest.mark.parametrize("call, message", [
    (lambda: RandomNoise((30, 10)), r"Received: snr=\(30, 10\). Expected a number from -100 to 200, or a pair"),
    (lambda: RandomGain(-3), "Received: gain=-3. Expected a number from 0 to 100, or a pair from -100 to 100"),
    (lambda: RandomShift(1.5), "Received: shift=1.5. Expected a number from 0 to 1"),
    (lambda: RandomShift(fill_mode="reflect"), "Received: fill_mode='reflect'. Expected 'constant' or 'wrap'"),
    (lambda: RandomTimeStretch(0), "Received: rate=0. Expected a number from 0.1 to 10"),
    (lambda: RandomTimeStretch(frame_length=30), "Received: frame_length=30. Expected a multiple of 4 of at least 16"),
    (lambda: RandomPitchShift("high"), "Received: semitones='high'"),
    (lambda: RandomPitchShift()(np.ones((2, 300))), "more than half a frame. Received: 300 samples and frame_length"),
    (lambda: RandomGain()(np.ones((2, 3, 4, 5))),
     r"RandomGain takes waveforms, .*Received: an input of shape \(2, 3, 4, 5\)"),
])  # fmt: skip
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
