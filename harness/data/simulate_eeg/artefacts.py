"""What is no brain activity: eyes, muscles, bad electrodes. Trials may time it, what they ask for never does."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness.data.simulate_eeg.background import N_CHANNELS, muscle_spectrum, near
from harness.data.simulate_eeg.noise import RATE_HZ, coloured
from harness.data.simulate_eeg.parameters import Parameters, random_stream
from harness.data.simulate_eeg.schedule import Schedule
from harness.data.simulate_eeg.subject import Subject

BLINK_UV, BLINK_LOG_SD, BLINK_RISE_S, BLINK_FALL_S, BLINK_OVER_DEG = 200.0, 0.3, 0.07, 0.13, 27.0
BLINK_IN_TRIAL, BLINK_AT_REST = 0.6, 1.4
GLANCES_PER_MINUTE, GLANCE_UV, GLANCE_OVER_DEG, GLANCE_S = 8.0, 30.0, 28.0, 0.6
BURSTS_PER_MINUTE, BURST_S, BURST_LOG_SD, BURST_OVER_DEG = 4.0, (0.2, 1.5), 0.6, 22.0
BURST_AT = ("T7", "T8", "T9", "T10", "FT7", "FT8", "F7", "F8", "TP7", "TP8", "AF7", "AF8")
BAD_PER_SESSION, NOISY_UV, FLAT_GAIN, POPS_PER_MINUTE, POP_UV = 0.6, (15.0, 60.0), 0.02, 6.0, 150.0
POP_DECAY_S = 0.5


@dataclass(frozen=True)
class BadElectrode:
    """An electrode that is bad all through a session: its channel, and in which way."""

    channel: int
    kind: Literal["noisy", "flat", "popping"]
    size_uv: float


def eyes(subject: Subject, plan: Schedule, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(64, n_samples) float32: blinks, fewer while a trial lasts, and glances to either side."""
    return np.asarray(_blinks(subject, plan, n_samples, rng) + _glances(n_samples, rng), np.float32)


def muscles(subject: Subject, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(64, n_samples) float32: bursts at the temples, at any time."""
    total = np.zeros((N_CHANNELS, n_samples), np.float32)
    spots = near(BURST_AT, BURST_OVER_DEG)
    for start in _random_times(BURSTS_PER_MINUTE, n_samples, rng):
        length = min(round(rng.uniform(*BURST_S) * RATE_HZ), n_samples - start)
        size_uv = subject.muscle_uv * np.exp(BURST_LOG_SD * rng.normal())
        wave = size_uv * np.sqrt(np.hanning(length + 2)[1:-1]) * coloured(muscle_spectrum, 1, length, rng)[0]
        total[:, start : start + length] += np.outer(spots[:, rng.integers(len(BURST_AT))], wave)
    return total


def draw_bad_electrodes(parameters: Parameters) -> tuple[BadElectrode, ...]:
    """The bad electrodes of a session."""
    rng = random_stream(parameters, "cap", session=parameters.session, run=1)
    drawn = int(min(rng.poisson(BAD_PER_SESSION), 4))
    n = drawn if parameters.bad_electrodes is None else parameters.bad_electrodes
    kinds: tuple[Literal["noisy", "flat", "popping"], ...] = ("noisy", "flat", "popping")
    channels = rng.permutation(N_CHANNELS)[:n]
    return tuple(BadElectrode(int(c), kinds[rng.integers(3)], float(rng.uniform(*NOISY_UV))) for c in channels)


def spoil(total_uv: np.ndarray, bad: tuple[BadElectrode, ...], rng: np.random.Generator) -> None:
    """Let bad electrodes have their way, in place."""
    n_samples = total_uv.shape[1]
    for electrode in bad:
        channel = total_uv[electrode.channel]
        if electrode.kind == "flat":
            channel *= FLAT_GAIN
        elif electrode.kind == "noisy":
            channel += electrode.size_uv * rng.standard_normal(n_samples, np.float32)
        else:
            channel += _pops(n_samples, rng)


def _pops(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_samples,) jumps of a loose contact that decay."""
    jumps = np.zeros(n_samples)
    for start in _random_times(POPS_PER_MINUTE, n_samples, rng):
        after_s = np.arange(n_samples - start) / RATE_HZ
        jumps[start:] += POP_UV * rng.normal() * np.exp(-after_s / POP_DECAY_S)
    return jumps


def _blinks(subject: Subject, plan: Schedule, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    wave = np.zeros(n_samples)
    per_minute = subject.blinks_per_minute
    for start in _random_times(BLINK_AT_REST * per_minute, n_samples, rng):
        inside = np.any((start / RATE_HZ >= plan.cues_s) & (start / RATE_HZ < plan.ends_s))
        if rng.random() < (BLINK_IN_TRIAL / BLINK_AT_REST if inside else 1.0):
            wave += BLINK_UV * np.exp(BLINK_LOG_SD * rng.normal()) * _bump(start, n_samples)
    return np.outer(near(("Fpz",), BLINK_OVER_DEG)[:, 0], wave)


def _bump(start: int, n_samples: int) -> np.ndarray:
    time_s = (np.arange(n_samples) - start) / RATE_HZ
    width_s = np.where(time_s < 0, BLINK_RISE_S, BLINK_FALL_S)
    return np.asarray(np.exp(-0.5 * (time_s / width_s) ** 2))


def _glances(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Steps to a side and back: the two sides of the forehead see them with opposite signs."""
    wave = np.zeros(n_samples)
    for start in _random_times(GLANCES_PER_MINUTE, n_samples, rng):
        stop = start + round(GLANCE_S * rng.uniform(0.5, 2.0) * RATE_HZ)
        wave[start:stop] += GLANCE_UV * rng.normal()
    left, right = near(("F7", "F8"), GLANCE_OVER_DEG).T
    return np.outer(right - left, wave)


def _random_times(per_minute: float, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """Sample numbers of events without memory."""
    n = rng.poisson(per_minute * n_samples / RATE_HZ / 60)
    return np.asarray(np.sort(rng.integers(0, n_samples, n)))
