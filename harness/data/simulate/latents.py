"""The hidden state z(t) of a simulated motor cortex: stable rotations, driven by the movement and by noise.

z[t] = A z[t-1] + B u[t] + w[t] every 5 ms. A belongs to the subject and is block diagonal: each pair of dimensions
is one complex mode that turns at its frequency and decays with its time constant.
"""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate.behaviour import PAD_S, RATE_HZ, Behaviour
from harness.data.simulate.parameters import Parameters, random_stream

STEP_S = 0.005
N_TASK_MODES, N_FREE_MODES = 4, 3
N_TASK, N_LATENTS = 2 * N_TASK_MODES, 2 * (N_TASK_MODES + N_FREE_MODES) + 1
TASK_TIME_S, FREE_TIME_S, AROUSAL_TIME_S = (0.04, 0.15), (0.2, 1.2), 120.0
TASK_TURN_HZ, FREE_TURN_HZ = (0.1, 1.0), (0.0, 0.3)
LEAD_S = 0.13
"""How far the drive runs ahead of the hand. The modes lag by their time constants, so the net lead is smaller."""

VELOCITY_M_PER_S, SPEED_M_PER_S, POSITION_M = 0.07, 0.07, 0.035
INPUT_WEIGHTS = np.array([1.0, 1.0, 0.5, 0.6, 0.6, 0.6, 0.6])
"""Velocity x, y; speed; position x, y; preparation x, y."""

DRIVE = 1.2
TASK_NOISE_SD, FREE_NOISE_SD = 0.6, 1.25
"""Stationary deviation per dimension; the driven part of a task dimension has a deviation of about 1."""


@dataclass(frozen=True)
class Dynamics:
    """What all sessions of a subject share.

    modes: (n_modes,) complex eigenvalues per step; the last one, arousal, is real.
    drive: (n_modes, n_inputs) complex.
    noise_sd: (n_modes,) stationary deviation per real dimension.
    """

    modes: np.ndarray
    drive: np.ndarray
    noise_sd: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """(n_latents, n_latents) A in real numbers."""
        matrix = np.zeros((N_LATENTS, N_LATENTS))
        for i, mode in enumerate(self.modes[:-1]):
            matrix[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[mode.real, -mode.imag], [mode.imag, mode.real]]
        matrix[-1, -1] = self.modes[-1].real
        return matrix


def subject_dynamics(parameters: Parameters) -> Dynamics:
    """Draw the dynamics of a subject; its session plays no part."""
    rng = random_stream(parameters, "dynamics")
    n_modes = N_TASK_MODES + N_FREE_MODES
    time_s = np.exp(_uniform(np.log(TASK_TIME_S), np.log(FREE_TIME_S), rng))
    turn_hz = _uniform(np.array(TASK_TURN_HZ), np.array(FREE_TURN_HZ), rng)
    modes = np.append(np.exp(STEP_S * (-1 / time_s + 2j * math.pi * turn_hz)), math.exp(-STEP_S / AROUSAL_TIME_S))
    weights = rng.normal(size=(n_modes + 1, 2, len(INPUT_WEIGHTS)))
    weights[N_TASK_MODES:] = 0
    weights *= INPUT_WEIGHTS / np.linalg.norm(weights, axis=(0, 1))  # every subject hears every input equally well
    drive = math.sqrt(N_TASK / np.sum(INPUT_WEIGHTS**2)) * (weights[:, 0] + 1j * weights[:, 1])
    drive *= DRIVE * np.abs(1 - modes)[:, None]  # a constant input of one moves the state by about DRIVE
    noise_sd = np.repeat([TASK_NOISE_SD, FREE_NOISE_SD, 1.0], [N_TASK_MODES, N_FREE_MODES, 1])
    return Dynamics(modes, drive, noise_sd)


def _uniform(task: np.ndarray, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One draw per mode, each kind between its own bounds."""
    return np.concatenate([rng.uniform(task[0], task[1], N_TASK_MODES), rng.uniform(free[0], free[1], N_FREE_MODES)])


def inputs(behaviour: Behaviour) -> np.ndarray:
    """(n_steps, 7) what drives the state, every `STEP_S`, each about one in size."""
    every = round(STEP_S * RATE_HZ)
    velocity = behaviour.velocity_m_per_s[::every]
    speed = np.linalg.norm(velocity, axis=1, keepdims=True)
    position = behaviour.cursor_m[::every]
    parts = [velocity / VELOCITY_M_PER_S, speed / SPEED_M_PER_S - 1, position / POSITION_M]
    return np.hstack([*parts, behaviour.preparation[::every]])


def simulate_latents(dynamics: Dynamics, behaviour: Behaviour, rng: np.random.Generator) -> np.ndarray:
    """Run the state through a session.

    Returns:
        (n_steps, n_latents) float64; step j is at j * STEP_S - PAD_S, the last `LEAD_S` of the padding is missing.
    """
    from scipy.signal import lfilter  # half a second that a listing of suites need not pay

    driven = inputs(behaviour)[round(LEAD_S / STEP_S) :] @ dynamics.drive.T
    innovation_sd = dynamics.noise_sd * np.sqrt(1 - np.abs(dynamics.modes) ** 2)
    noise = rng.normal(size=(*driven.shape, 2)) @ np.array([1, 1j])
    start = dynamics.noise_sd * (rng.normal(size=(len(dynamics.modes), 2)) @ np.array([1, 1j]))
    state = np.empty_like(driven)
    for i, mode in enumerate(dynamics.modes):
        forcing = driven[:, i] + innovation_sd[i] * noise[:, i]
        state[:, i], _ = lfilter([1.0], [1.0, -mode], forcing, zi=[mode * start[i]])
    pairs = np.stack([state[:, :-1].real, state[:, :-1].imag], axis=2).reshape(len(state), -1)
    return np.column_stack([pairs, state[:, -1].real])


def at(latents: np.ndarray, *, start_s: float, n_steps: int) -> np.ndarray:
    """The `n_steps` steps that begin at `start_s` of the session's clock; (n_steps, n_latents)."""
    first = round((start_s + PAD_S) / STEP_S)
    return latents[first : first + n_steps]
