"""What the array records of the tissue: gains, reference, line, artefacts, worn channels, faults and whole counts."""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate import tissue as tissues
from harness.data.simulate.behaviour import RATE_HZ, Behaviour
from harness.data.simulate.coloured import coloured_noise
from harness.data.simulate.electrodes import (
    BANK_SIZE,
    N_ELECTRODES,
    Channels,
    bank,
    session_channels,
    unit_electrodes,
)
from harness.data.simulate.latents import STEP_S
from harness.data.simulate.parameters import Parameters, random_stream
from harness.data.simulate.population import Population
from harness.data.simulate.spikes import draw_fault, tissue_rates_hz

STEP_UV = 0.25
"""Microvolts per count, as common amplifiers have it; 16 bits reach to 8.2 mV."""

REFERENCE_UV, REFERENCE_GAIN_SD = 20.0, 0.05
LINE_HZ, LINE_UV, LINE_LOG_SD, HARMONICS = 60.0, 2.0, 0.5, (1.0, 0.3, 0.5)
LINE_WANDER_HZ, LINE_PHASE_SD = 0.02, 0.3
ARTEFACT_CHANCE, ARTEFACT_UV, ARTEFACT_LOG_SD = 0.02, 150.0, 0.6
ARTEFACT_HZ, ARTEFACT_DECAY_S = (2.0, 6.0), 0.15
DRIFT_UV, DRIFT_HZ = 150.0, 0.02


@dataclass(frozen=True)
class Lfp:
    """A recorded session.

    counts: (n_samples, n_electrodes) int16; a count is `STEP_UV` microvolts, sample i is at i / RATE_HZ.
    channels: the state of the electrodes.
    killed: (n_electrodes,) bool, silent from the test part on.
    fault_gain: (n_electrodes,) factor from the test part on.
    """

    counts: np.ndarray
    channels: Channels
    killed: np.ndarray
    fault_gain: np.ndarray

    def facts(self) -> dict[str, object]:
        """What a file's ground truth says of the channels."""
        names = {"dead": self.channels.dead, "noisy": self.channels.noisy, "drifting": self.channels.drifting}
        lists = {name: np.flatnonzero(mask).tolist() for name, mask in {**names, "killed": self.killed}.items()}
        numbers = {"gain": self.channels.gain, "noise_uv": self.channels.noise_uv, "fault_gain": self.fault_gain}
        return {**lists, **{name: values.round(4).tolist() for name, values in numbers.items()}}


@dataclass(frozen=True)
class Source:
    """The session that an LFP belongs to: the same movement, latents and cells as its spikes have."""

    parameters: Parameters
    behaviour: Behaviour
    latents: np.ndarray
    population: Population

    @property
    def n_samples(self) -> int:
        """One more than the session lasts: as for the cursor, the last edge has a sample."""
        return round(self.parameters.duration_s * RATE_HZ) + 1

    @property
    def n_steps(self) -> int:
        """Of the latents' clock."""
        return round(self.parameters.duration_s / STEP_S)


def simulate_lfp(source: Source) -> Lfp:
    """Record the field potentials of a session; the same parameters give the same arrays."""
    parameters = source.parameters
    rng = random_stream(parameters, "lfp-noise", session=parameters.session)
    channels = session_channels(parameters)
    killed, fault_gain = _struck(source)
    signal_uv = _field_uv(source, rng)
    signal_uv += _shared_uv(source, rng)
    signal_uv *= channels.gain[:, None].astype(np.float32)
    first = round(parameters.test_start_s * RATE_HZ)
    signal_uv[:, first:] *= np.where(killed, 0.0, fault_gain)[:, None].astype(np.float32)
    signal_uv += _line_uv(source.n_samples, rng)
    _add_own_noise(signal_uv, channels, rng)
    return Lfp(counted(signal_uv), channels, killed, fault_gain)


def _struck(source: Source) -> tuple[np.ndarray, np.ndarray]:
    """(N_ELECTRODES,) who is killed, and each one's gain, in the test part; a killed unit's electrode is killed."""
    parameters, doses = source.parameters, source.parameters.faults
    rng = random_stream(parameters, "lfp-faults", session=parameters.session)
    own = unit_electrodes(parameters)
    killed = np.zeros(N_ELECTRODES, bool)
    others = rng.permutation(np.setdiff1d(np.arange(N_ELECTRODES), own))
    killed[others[: round(doses.kill_fraction * len(others))]] = True
    killed[own] = draw_fault(parameters, source.population).killed
    return killed, np.exp(doses.gain_shift * rng.normal(size=N_ELECTRODES))


def _field_uv(source: Source, rng: np.random.Generator) -> np.ndarray:
    """What the tissue does; (n_electrodes, n_samples)."""
    tissue = tissues.session_tissue(source.parameters)
    motor_uv, hidden_hz = _driven(source, tissue)
    field_uv = tissues.background(source.n_samples, rng)
    field_uv += tissues.high_gamma(_activity(source, tissue, hidden_hz), source.n_samples, rng)
    field_uv += tissues.beta(tissue, source.behaviour, source.n_samples, rng)
    field_uv += tissues.interpolated(motor_uv, source.n_samples)
    return field_uv


def _driven(source: Source, tissue: tissues.Tissue) -> tuple[np.ndarray, np.ndarray]:
    """Motor potential (microvolts) and hidden rates (Hz), (n_electrodes, n_steps) each; a fault turns their tuning."""
    motor_uv = tissues.motor_potential(tissue, source.latents, source.n_steps)
    hidden_hz = tissues.hidden_rates_hz(tissue, source.latents, source.n_steps)
    dose = source.parameters.faults.tuning_drift
    if dose:
        rng = random_stream(source.parameters, "lfp-faults", session=source.parameters.session).spawn(1)[0]
        kept = math.sqrt(1 - dose**2)
        after = tissues.turned(tissue, rng, kept, kept)
        test = slice(round(source.parameters.test_start_s / STEP_S), None)
        motor_uv[:, test] = tissues.motor_potential(after, source.latents, source.n_steps)[:, test]
        hidden_hz[:, test] = tissues.hidden_rates_hz(after, source.latents, source.n_steps)[:, test]
    return motor_uv, hidden_hz


def _activity(source: Source, tissue: tissues.Tissue, hidden_hz: np.ndarray) -> np.ndarray:
    """(n_electrodes, n_steps) relative rate of the cells on and around each electrode, recorded ones included."""
    units = unit_electrodes(source.parameters)
    rates_hz, mean_hz = hidden_hz.copy(), tissue.hidden_hz.sum(axis=1)
    rates_hz[units] += tissue_rates_hz(source.parameters, source.population, source.latents)
    mean_hz[units] += source.population.rate_hz.sum(axis=1)
    return tissues.nearby(rates_hz, mean_hz)


def _shared_uv(source: Source, rng: np.random.Generator) -> np.ndarray:
    """The noise of the common reference, and what a moving animal does to the connectors."""
    reference = REFERENCE_UV * coloured_noise(tissues.steep_spectrum, 1, source.n_samples, rng)
    artefacts = _artefacts_uv(source, rng)
    sees = rng.normal(1, REFERENCE_GAIN_SD, (N_ELECTRODES, 1))
    shaken = (bank()[:, None] == np.arange(len(artefacts))) * rng.uniform(0.5, 1.5, (N_ELECTRODES, 1))
    return np.asarray(np.hstack([sees, shaken]).astype(np.float32) @ np.vstack([reference, artefacts]))


def _artefacts_uv(source: Source, rng: np.random.Generator) -> np.ndarray:
    """(n_banks, n_samples) float32: now and then a decaying swing begins with a movement, of either sign."""
    signal = np.zeros((math.ceil(N_ELECTRODES / BANK_SIZE), source.n_samples), np.float32)
    after_s = np.arange(round(8 * ARTEFACT_DECAY_S * RATE_HZ)) / RATE_HZ
    for piece in (piece for reach in source.behaviour.reaches for piece in reach.pieces):
        struck, size = rng.random() < ARTEFACT_CHANCE, rng.normal() * math.exp(rng.normal(0, ARTEFACT_LOG_SD))
        i_bank, swing_hz = rng.integers(len(signal)), rng.uniform(*ARTEFACT_HZ)
        first = round(piece.onset_s * RATE_HZ)
        if struck and 0 <= first < source.n_samples:
            stretch = signal[i_bank, first : first + len(after_s)]
            swing = np.sin(2 * math.pi * swing_hz * after_s) * np.exp(-after_s / ARTEFACT_DECAY_S)
            stretch += (ARTEFACT_UV * size * swing[: len(stretch)]).astype(np.float32)
    return signal


def _line_uv(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """The mains and its harmonics: one clock whose frequency wanders, each channel with its own size and phase."""
    wander_hz = LINE_WANDER_HZ * coloured_noise(_slow_spectrum, 1, n_samples, rng)[0].astype(float)
    phase = 2 * math.pi * np.cumsum(LINE_HZ + wander_hz) / RATE_HZ
    size = LINE_UV * np.exp(rng.normal(0, LINE_LOG_SD, N_ELECTRODES))
    line = np.zeros((N_ELECTRODES, n_samples), np.float32)
    for i, share in enumerate(HARMONICS, start=1):
        clock = np.vstack([np.cos(i * phase), np.sin(i * phase)]).astype(np.float32)
        angle = rng.normal(0, LINE_PHASE_SD, N_ELECTRODES)
        mixing = math.sqrt(2) * share * size * np.vstack([np.cos(angle), np.sin(angle)])
        line += mixing.T.astype(np.float32) @ clock
    return line


def _add_own_noise(signal_uv: np.ndarray, channels: Channels, rng: np.random.Generator) -> None:
    """Add what no two channels share: white noise, and the wander of a drifting electrode's potential."""
    for row_uv, noise_uv in zip(signal_uv, channels.noise_uv.astype(np.float32), strict=True):
        row_uv += noise_uv * rng.standard_normal(len(row_uv), np.float32)
    drifting = np.flatnonzero(channels.drifting)
    signal_uv[drifting] += DRIFT_UV * coloured_noise(_slow_spectrum, len(drifting), signal_uv.shape[1], rng)


def _slow_spectrum(frequency_hz: np.ndarray) -> np.ndarray:
    """1/f^4 above `DRIFT_HZ`: a wander over a minute."""
    return np.asarray(1 / (1 + (frequency_hz / DRIFT_HZ) ** 2) ** 2)


def counted(signal_uv: np.ndarray) -> np.ndarray:
    """(n_samples, n_electrodes) int16; an amplifier stays at its rail rather than turn over."""
    limits = np.iinfo(np.int16)
    counts = np.empty(signal_uv.shape[::-1], np.int16)
    for i, row_uv in enumerate(signal_uv):
        counts[:, i] = np.clip(np.rint(row_uv / STEP_UV), limits.min, limits.max)
    return counts
