"""Spikes from latents: log-linear rates, a dead time per cell, crowded electrodes and noisy thresholds."""

from dataclasses import dataclass, replace

import numpy as np

from harness.data.simulate.latents import STEP_S, at
from harness.data.simulate.parameters import Faults, Parameters, random_stream
from harness.data.simulate.population import N_CELLS, Population, draw_loadings, drifted

CLOCK_HZ = 30_000
REFRACTORY_S = 0.002
DETECTOR_DEAD_S = 0.001
"""The recording system's own dead time: two crossings of one channel are never closer."""

MAX_RATE_HZ = 250.0


def spike_trains(parameters: Parameters, population: Population, latents: np.ndarray) -> list[np.ndarray]:
    """Record a session.

    Returns:
        One array per unit: (n_spikes,) spike times in seconds, strictly increasing ticks of the 30 kHz clock.
    """
    rng = random_stream(parameters, "spikes", session=parameters.session)
    array = _Array(parameters, population, latents, draw_fault(parameters, population))
    return [array.channel(i, rng) for i in range(parameters.n_units)]


def tissue_rates_hz(parameters: Parameters, population: Population, latents: np.ndarray) -> np.ndarray:
    """(n_units, n_steps) float32 summed rate of each unit's cells in the tissue itself.

    A fault's new tuning is in it; killed channels and gains, which are about the recording, are not.
    """
    fault = draw_fault(parameters, population)
    array = _Array(parameters, population, latents, replace(fault, gain=np.ones_like(fault.gain)))
    cells = [np.flatnonzero(row).tolist() for row in population.rate_hz]
    return np.array([sum(array.rate_hz(i, j) for j in row) for i, row in enumerate(cells)], np.float32)


def inhomogeneous_poisson(rate_hz: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Event times of a Poisson process with a rate given in steps of `STEP_S`; (n_events,) seconds, sorted."""
    expected = np.concatenate([[0.0], np.cumsum(rate_hz) * STEP_S])
    places = np.sort(rng.uniform(0, expected[-1], rng.poisson(expected[-1])))
    return np.asarray(np.interp(places, expected, np.arange(len(expected)) * STEP_S))


def with_dead_time(times_s: np.ndarray, dead_s: float) -> np.ndarray:
    """Drop every event that comes less than `dead_s` after the last one that was kept."""
    while True:
        close = np.diff(times_s, prepend=-np.inf) < dead_s
        first_of_a_run = close & ~np.concatenate([[False], close[:-1]])
        if not first_of_a_run.any():
            return times_s
        times_s = times_s[~first_of_a_run]


def cell_rate_hz(latents: np.ndarray, loadings: np.ndarray, mean_hz: float) -> np.ndarray:
    """exp(b + c . z), at most `MAX_RATE_HZ`, with b such that its mean is `mean_hz`; (n_steps,) Hz."""
    rate_hz = np.exp(latents @ loadings)
    for _ in range(3):  # what the ceiling takes away, b gives back
        rate_hz = np.minimum(rate_hz * (mean_hz / rate_hz.mean()), MAX_RATE_HZ)
    return np.asarray(rate_hz)


def cell_train(rate_hz: np.ndarray, order: int, rng: np.random.Generator) -> np.ndarray:
    """Spike times of one cell: a gamma process of integer order with dead time; seconds, sorted.

    Every `order`-th event of a Poisson process is a gamma process. Dead time leaves r / (1 + r d) of a Poisson rate r,
    so that process is driven harder; the higher orders have next to no intervals that short.
    """
    drive = rate_hz / (1 - rate_hz * REFRACTORY_S) if order == 1 else rate_hz * order
    events = inhomogeneous_poisson(drive, rng)[rng.integers(order) :: order]
    return with_dead_time(events, REFRACTORY_S)


@dataclass(frozen=True)
class Fault:
    """What strikes the test part; drawn from a stream of its own, so that without faults nothing else changes.

    killed: (n_units,) bool. gain: (n_units,) factor of the rates. loadings: as in `Population`, the new tuning.
    """

    doses: Faults
    first_step: int
    killed: np.ndarray
    gain: np.ndarray
    loadings: np.ndarray


def draw_fault(parameters: Parameters, population: Population) -> Fault:
    """Draw who is struck, and how, from the doses of a session."""
    doses, n_units = parameters.faults, parameters.n_units
    rng = random_stream(parameters, "faults", session=parameters.session)
    killed = rng.permutation(n_units) < round(doses.kill_fraction * n_units)
    gain = np.exp(doses.gain_shift * rng.normal(size=n_units))
    loadings = drifted(population.loadings, draw_loadings((n_units, N_CELLS), 1.0, rng), doses.tuning_drift)
    return Fault(doses, round(parameters.test_start_s / STEP_S), killed, gain, loadings)


@dataclass(frozen=True)
class _Array:
    """The electrodes of one session, what they hear and what goes wrong with them."""

    parameters: Parameters
    population: Population
    latents: np.ndarray
    fault: Fault

    def channel(self, i: int, rng: np.random.Generator) -> np.ndarray:
        """Spike times of electrode `i`: its cells and its noise, on the clock, less what the detector misses."""
        sources = [inhomogeneous_poisson(self._crossings_hz(i), rng)]
        for j in np.flatnonzero(self.population.rate_hz[i]).tolist():
            sources.append(cell_train(self.rate_hz(i, j), self.population.order[i, j], rng))
        ticks = np.floor(np.sort(np.concatenate(sources)) * CLOCK_HZ)
        ticks = with_dead_time(ticks, DETECTOR_DEAD_S * CLOCK_HZ)
        if self.fault.killed[i]:
            ticks = ticks[ticks < self.parameters.test_start_s * CLOCK_HZ]
        return ticks / CLOCK_HZ

    @property
    def _n_steps(self) -> int:
        return round(self.parameters.duration_s / STEP_S)

    def _crossings_hz(self, i: int) -> np.ndarray:
        rate_hz = np.full(self._n_steps, self.population.crossings_hz[i])
        rate_hz[self.fault.first_step :] += self.fault.doses.noise_hz
        return rate_hz

    def rate_hz(self, i: int, j: int) -> np.ndarray:
        """(n_steps,) rate of cell `j` of electrode `i`."""
        cells, fault = self.population, self.fault
        z = at(self.latents, start_s=cells.delay_s[i, j], n_steps=self._n_steps)
        rate_hz = cell_rate_hz(z, cells.loadings[i, j], cells.rate_hz[i, j])
        if fault.doses.any:
            changed = cell_rate_hz(z, fault.loadings[i, j], cells.rate_hz[i, j]) * fault.gain[i]
            rate_hz[fault.first_step :] = np.minimum(changed, MAX_RATE_HZ)[fault.first_step :]
        return rate_hz
