"""How imagery moves the amplitudes of the motor sources: desynchronisation while it lasts, rebound after it."""

import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate_eeg.noise import RATE_HZ, below, coloured
from harness.data.simulate_eeg.schedule import Schedule
from harness.data.simulate_eeg.subject import AREAS, BANDS, Subject

ONSET_SD_S, FALL_S, RETURN_S, END_SD_S = 0.15, 0.3, 0.4, 0.2
TRIAL_LOG_SD, SOURCE_LOG_SD, LAPSED = 0.35, 0.25, 0.1
REBOUND, REBOUND_AFTER_S, REBOUND_WIDTH_S = (0.1, 0.5), 0.9, 0.4
SLOW_HZ, SLOW_LOG_SD, SLOW_SHARED = 0.3, 0.2, 0.6
N_MOTOR = len(AREAS) * len(BANDS)


@dataclass(frozen=True)
class TrialDraw:
    """What varies from trial to trial: depth (n_trials, 6) factors, delays in seconds (n_trials,)."""

    depth: np.ndarray
    onset_s: np.ndarray
    end_s: np.ndarray


def draw_trials(subject: Subject, n_trials: int, rng: np.random.Generator) -> TrialDraw:
    """Draw depth and timing of each trial, without a look at what is imagined in it."""
    lapsed = np.where(rng.random(n_trials) < subject.lapses, LAPSED, 1.0)
    common = lapsed * np.exp(TRIAL_LOG_SD * rng.normal(size=n_trials))
    own = np.exp(SOURCE_LOG_SD * rng.normal(size=(n_trials, N_MOTOR)))
    onset_s = np.maximum(subject.onset_s + ONSET_SD_S * rng.normal(size=n_trials), 0.15)
    return TrialDraw(common[:, None] * own, onset_s, END_SD_S * np.abs(rng.normal(size=n_trials)))


def task_modulation(subject: Subject, plan: Schedule, trials: TrialDraw, n_samples: int) -> np.ndarray:
    """(6, n_samples) log amplitude that imagery adds to each motor source: the only place where classes differ."""
    time_s = np.arange(n_samples) / RATE_HZ
    total = np.zeros((N_MOTOR, n_samples))
    for i, label in enumerate(plan.labels):
        change = subject.depths(label) * trials.depth[i]
        start_s, stop_s = plan.cues_s[i] + trials.onset_s[i], plan.ends_s[i] + trials.end_s[i]
        total += np.outer(change, _course(time_s, start_s, stop_s))
        total += np.outer(np.maximum(-change, 0) * np.tile(REBOUND, len(AREAS)), _rebound(time_s, stop_s))
    return total


def slow_modulation(n_rows: int, n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_rows, n_samples) log amplitude that comes and goes over seconds, partly in all rows together."""
    slow = coloured(below(SLOW_HZ), n_rows + 1, n_samples, rng)
    return np.asarray(SLOW_LOG_SD * (math.sqrt(1 - SLOW_SHARED) * slow[1:] + math.sqrt(SLOW_SHARED) * slow[0]))


def _course(time_s: np.ndarray, start_s: float, stop_s: float) -> np.ndarray:
    """0 before the start, towards 1 until the stop, back to 0 after it."""
    up = 1 - np.exp(-np.clip(time_s - start_s, 0, stop_s - start_s) / FALL_S)
    return np.asarray(up * np.exp(-np.maximum(time_s - stop_s, 0) / RETURN_S))


def _rebound(time_s: np.ndarray, stop_s: float) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * ((time_s - stop_s - REBOUND_AFTER_S) / REBOUND_WIDTH_S) ** 2))
