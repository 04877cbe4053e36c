"""From a subject and a run number to the counts of that run."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness.data.simulate_eeg.artefacts import BadElectrode, draw_bad_electrodes, eyes, muscles, spoil
from harness.data.simulate_eeg.background import N_CHANNELS, background
from harness.data.simulate_eeg.imagery import draw_trials, slow_modulation, task_modulation
from harness.data.simulate_eeg.montage import electrode_directions
from harness.data.simulate_eeg.noise import RATE_HZ, analytic, band
from harness.data.simulate_eeg.parameters import Parameters, random_stream
from harness.data.simulate_eeg.schedule import RUN_S, Schedule, schedule
from harness.data.simulate_eeg.subject import Rhythms, Subject, draw_subject, topographies, turned

STEP_UV = 1.0
"""Microvolts per count, as in the data set."""
N_SAMPLES = round(RUN_S * RATE_HZ)
HARMONIC = 0.25
"""Size of the second harmonic of mu over mu: its waves are arches."""
CAP_SHIFT_DEG, GAIN_LOG_SD = 2.5, 0.06
RUN_GAIN_LOG_SD, RUN_SIZE_LOG_SD, RUN_FREQUENCY_SD_HZ, RUN_STRENGTH_LOG_SD, RUN_TURN = 0.03, 0.12, 0.12, 0.15, 0.06
WITHIN_RUN_LOG_SD = 0.1
ALPHA_FALL, ALPHA_FALL_S, EVOKED_UV, EVOKED_LOG_SD = 0.35, 1.2, 6.0, 0.4
EVOKED_S = ((0.1, 0.025, 0.7), (0.17, 0.035, -1.0), (0.32, 0.09, 0.8))
"""Time after the cue, width in seconds and relative size of the waves that any cue evokes."""


@dataclass(frozen=True)
class Cap:
    """What belongs to one session: electrodes (64, 3) unit vectors, gain (64,), and those that are bad."""

    electrodes: np.ndarray
    gain: np.ndarray
    bad: tuple[BadElectrode, ...]


@dataclass(frozen=True)
class SimulatedRun:
    """One run and what is true of it.

    counts: (n_samples, 64) int16, `STEP_UV` microvolts each.
    sources: (6, n_samples) complex64 motor sources of unit amplitude but for their modulation.
    modulation: (6, n_samples) log amplitude that imagery adds to them.
    """

    plan: Schedule
    counts: np.ndarray
    sources: np.ndarray
    modulation: np.ndarray


def simulate(parameters: Parameters) -> list[SimulatedRun]:
    """All runs of a recording; the same parameters give the same arrays."""
    subject, cap = draw_subject(parameters), draw_cap(parameters)
    return [simulate_run(parameters, number, subject, cap) for number in parameters.runs]


def draw_cap(parameters: Parameters) -> Cap:
    """Put the cap on: a little turned, with contacts of the day."""
    rng = random_stream(parameters, "cap", session=parameters.session)
    x, y, z = math.radians(CAP_SHIFT_DEG) * rng.normal(size=3)
    electrodes = electrode_directions() + electrode_directions() @ np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    electrodes /= np.linalg.norm(electrodes, axis=1, keepdims=True)
    return Cap(electrodes, np.exp(GAIN_LOG_SD * rng.normal(size=N_CHANNELS)), draw_bad_electrodes(parameters))


def simulate_run(parameters: Parameters, number: int, subject: Subject, cap: Cap) -> SimulatedRun:
    """One run: what the brain, the body and the electrodes give, in counts."""
    plan = schedule(number, _stream(parameters, "schedule", number))
    drift = _stream(parameters, "run-drift", number)
    today = drifted(subject, parameters.drift, drift)
    sources, modulation = motor_sources(today, plan, _stream(parameters, "imagery", number))
    motor = _with_faults(parameters, number, today.motor)
    total_uv = topographies(motor, cap.electrodes).astype(np.float32) @ _waves(sources)
    total_uv += _free_rhythms(today, plan, cap, _stream(parameters, "rhythms", number))
    noise = _stream(parameters, "background", number)
    total_uv += background(N_SAMPLES, noise, size=today.background, tone_uv=today.tone_uv, drift=parameters.drift)
    body = _stream(parameters, "artefacts", number)
    total_uv += eyes(today, plan, N_SAMPLES, body)
    total_uv += muscles(today, N_SAMPLES, body)
    total_uv *= (cap.gain * np.exp(RUN_GAIN_LOG_SD * parameters.drift * drift.normal(size=N_CHANNELS)))[:, None]
    spoil(total_uv, cap.bad, body)
    _strike(parameters, number, total_uv)
    counts = np.clip(np.rint(total_uv / STEP_UV), -32768, 32767).astype(np.int16).T
    return SimulatedRun(plan, np.ascontiguousarray(counts), sources, modulation)


def motor_sources(subject: Subject, plan: Schedule, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The six motor sources, (6, n_samples) complex64, and the part of their log amplitude that imagery makes.

    Drawn in an order that does not depend on the labels, so that these change nothing else.
    """
    trials = draw_trials(subject, len(plan.labels), rng)
    carrier = np.concatenate(
        [
            analytic(band(frequency, width), 1, N_SAMPLES, rng)
            for frequency, width in zip(subject.motor.frequency_hz, subject.motor.width_hz, strict=True)
        ]
    )
    modulation = task_modulation(subject, plan, trials, N_SAMPLES)
    slow = slow_modulation(len(carrier), N_SAMPLES, rng)
    return (carrier * np.exp(modulation + slow)).astype(np.complex64), modulation


def _stream(parameters: Parameters, name: str, number: int) -> np.random.Generator:
    return random_stream(parameters, name, session=parameters.session, run=number)


def _waves(sources: np.ndarray) -> np.ndarray:
    """(6, n_samples) float32: the real part, for mu with a harmonic at twice its frequency."""
    waves = sources.real.copy()
    mu = sources[::2]
    waves[::2] += HARMONIC * np.real(mu**2 / np.maximum(np.abs(mu), 1e-6))
    return np.asarray(waves, np.float32)


def drifted(subject: Subject, drift: float, rng: np.random.Generator) -> Subject:
    """The subject as it is in one run: sizes, frequencies, topographies and strength a little different."""
    strength = subject.strength * math.exp(drift * RUN_STRENGTH_LOG_SD * rng.normal())
    changed: dict[str, Any] = {
        name: _run_rhythms(getattr(subject, name), drift, rng) for name in ("motor", "occipital", "others")
    }
    return dataclasses.replace(subject, strength=strength, **changed)


def _run_rhythms(rhythms: Rhythms, drift: float, rng: np.random.Generator) -> Rhythms:
    n = len(rhythms.size_uv)
    size = rhythms.size_uv * np.exp(drift * RUN_SIZE_LOG_SD * (rng.normal() + rng.normal(size=n)) / math.sqrt(2))
    frequency_hz = rhythms.frequency_hz + drift * RUN_FREQUENCY_SD_HZ * rng.normal()
    return turned(
        dataclasses.replace(rhythms, size_uv=size, frequency_hz=frequency_hz), min(drift * RUN_TURN, 1.0), rng
    )


def _free_rhythms(subject: Subject, plan: Schedule, cap: Cap, rng: np.random.Generator) -> np.ndarray:
    """(64, n_samples) float32: occipital alpha that any cue holds down for a while, the rest, and what cues evoke."""
    time_s = np.arange(N_SAMPLES) / RATE_HZ
    after_s = time_s - plan.cues_s[:, None]
    seeing = np.sum(np.where(after_s > 0, np.exp(-np.maximum(after_s, 0) / ALPHA_FALL_S), 0.0), axis=0)
    alpha = _ongoing(subject.occipital, rng) * np.exp(-ALPHA_FALL * seeing)
    evoked = np.zeros(N_SAMPLES)
    for row in after_s:
        wave = sum(size * np.exp(-0.5 * ((row - at_s) / width_s) ** 2) for at_s, width_s, size in EVOKED_S)
        evoked += EVOKED_UV * np.exp(EVOKED_LOG_SD * rng.normal()) * wave
    seen = topographies(subject.occipital, cap.electrodes)
    total = seen @ alpha + np.outer(seen[:, 2] / subject.occipital.size_uv[2], evoked)
    return np.asarray(total + topographies(subject.others, cap.electrodes) @ _ongoing(subject.others, rng), np.float32)


def _ongoing(rhythms: Rhythms, rng: np.random.Generator) -> np.ndarray:
    """(n, n_samples) waves of unit size that wax and wane, and grow or shrink over the run."""
    n = len(rhythms.size_uv)
    waves = np.concatenate(
        [
            analytic(band(frequency, width), 1, N_SAMPLES, rng).real
            for frequency, width in zip(rhythms.frequency_hz, rhythms.width_hz, strict=True)
        ]
    )
    trend = WITHIN_RUN_LOG_SD * np.outer(rng.normal(size=n), np.linspace(-1, 1, N_SAMPLES))
    return np.asarray(waves * np.exp(slow_modulation(n, N_SAMPLES, rng) + trend))


def _with_faults(parameters: Parameters, number: int, motor: Rhythms) -> Rhythms:
    if not parameters.faults.topography_drift or not parameters.faulty(number):
        return motor
    fresh = random_stream(parameters, "faults", session=parameters.session, run=1)  # the same in all runs it strikes
    return turned(motor, parameters.faults.topography_drift, fresh)


def _strike(parameters: Parameters, number: int, total_uv: np.ndarray) -> None:
    """Faults of the electrodes, in place: gains, then noise, then silence."""
    if not parameters.faulty(number):
        return
    faults, rng = parameters.faults, random_stream(parameters, "faults", session=parameters.session)
    total_uv *= np.exp(faults.gain_shift * rng.normal(size=N_CHANNELS))[:, None]
    dead = rng.permutation(N_CHANNELS)[: round(faults.kill_fraction * N_CHANNELS)]
    if faults.noise_uv:
        noise = _stream(parameters, "faults", number)
        total_uv += np.float32(faults.noise_uv) * noise.standard_normal(total_uv.shape, np.float32)
    total_uv[dead] = 0.0
