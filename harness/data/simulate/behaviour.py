"""Reaching movements at 1 kHz: minimum-jerk reaches with corrective submovements.

A reach is a sum of submovements (Flash and Henis 1991, doi:10.1162/jocn.1991.3.3.220), each with the minimum-jerk
profile of Flash and Hogan 1985 (doi:10.1523/JNEUROSCI.05-07-01688.1985). Durations follow Fitts' law; the scatter of
an end point grows with the mean speed (Schmidt et al. 1979, doi:10.1037/0033-295X.86.5.415).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from harness.data.simulate.parameters import Parameters

RATE_HZ = 1000
PAD_S = 1.0
"""Arrays begin this long before the session and end as long after it: cells know what comes next."""

GRID_SIZE, GRID_SPACING_M = 8, 0.015
CENTRE_OUT_RADIUS_M, CENTRE_OUT_DELAY_S = 0.08, (0.4, 0.9)
TARGET_RADIUS_M = 0.0075
REACTION_MEDIAN_S, REACTION_LOG_SD = 0.23, 0.25
FITTS_S, FITTS_S_PER_BIT, DURATION_LOG_SD = 0.2, 0.11, 0.22
UNDERSHOOT, SCATTER_S = 0.92, 0.08
HOLD_S = (0.05, 0.45)
PAUSE_CHANCE, PAUSE_MEAN_S = 0.06, 1.5
DRIFT_SD_M, DRIFT_S = 0.0006, 0.12
PREPARATION_AHEAD_S, PREPARATION_DECAY_S = 0.15, 0.15


@dataclass(frozen=True)
class Submovement:
    """One minimum-jerk piece; its displacement is (2,) in metres."""

    onset_s: float
    duration_s: float
    displacement_m: np.ndarray


@dataclass(frozen=True)
class Reach:
    """One target from its appearance to the end of the hold; times in seconds of the session's clock."""

    start_s: float
    go_cue_s: float
    target_m: np.ndarray
    pieces: tuple[Submovement, ...] = field(repr=False)
    stop_s: float


@dataclass(frozen=True)
class Behaviour:
    """What the animal does; sample i is at i / RATE_HZ - PAD_S.

    cursor_m, target_m: (n_samples, 2) in metres.
    velocity_m_per_s: (n_samples, 2), the backward difference of the cursor over one sample.
    preparation: (n_samples, 2), unit vector to the coming target times its decaying strength.
    reaches: in order of time, some of them before or after the session.
    """

    cursor_m: np.ndarray
    target_m: np.ndarray
    velocity_m_per_s: np.ndarray
    preparation: np.ndarray
    reaches: tuple[Reach, ...]


def minimum_jerk(phase: np.ndarray) -> np.ndarray:
    """Share of the way covered at `phase` of a movement, from 0 at its onset to 1 at its end."""
    s = np.clip(phase, 0.0, 1.0)
    return np.asarray(s**3 * (10 - 15 * s + 6 * s**2))


def simulate_behaviour(parameters: Parameters, rng: np.random.Generator) -> Behaviour:
    """Let the animal reach for as long as the session lasts, and `PAD_S` more on both sides."""
    n_samples = round((parameters.duration_s + 2 * PAD_S) * RATE_HZ)
    targets = _centre_out(rng) if parameters.task == "centre-out" else _random_targets(rng)
    reaches = tuple(_reaches(targets, parameters.duration_s + PAD_S, rng))
    increments = _increments(reaches, n_samples)
    increments += np.diff(_postural_drift(n_samples + 1, rng), axis=0)
    return Behaviour(
        cursor_m=np.cumsum(increments, axis=0),
        target_m=_held(reaches, n_samples),
        velocity_m_per_s=increments * RATE_HZ,
        preparation=_preparation(reaches, n_samples),
        reaches=reaches,
    )


def _random_targets(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, float]]:
    """(target, delay) pairs on the grid, never the same twice in a row; self-paced, so without delay."""
    cell = -1
    while True:
        cell = int((cell + rng.integers(1, GRID_SIZE**2)) % GRID_SIZE**2)
        grid = np.array(divmod(cell, GRID_SIZE), float)
        yield (grid - (GRID_SIZE - 1) / 2) * GRID_SPACING_M, 0.0


def _centre_out(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, float]]:
    """One of eight targets after an instructed delay, then back to the centre without one."""
    while True:
        angle = rng.integers(8) * math.pi / 4
        yield CENTRE_OUT_RADIUS_M * np.array([math.cos(angle), math.sin(angle)]), rng.uniform(*CENTRE_OUT_DELAY_S)
        yield np.zeros(2), 0.0


def _reaches(targets: Iterator[tuple[np.ndarray, float]], stop_s: float, rng: np.random.Generator) -> Iterator[Reach]:
    now_s, hand = -PAD_S, np.zeros(2)
    while now_s < stop_s:
        target, delay_s = next(targets)
        go_s = now_s + delay_s
        onset_s = go_s + REACTION_MEDIAN_S * math.exp(rng.normal(0, REACTION_LOG_SD))
        pieces = tuple(_submovements(hand, target, onset_s, rng))
        hand = hand + sum(p.displacement_m for p in pieces)
        hold_s = rng.uniform(*HOLD_S)
        end_s = pieces[-1].onset_s + pieces[-1].duration_s + hold_s
        yield Reach(now_s, go_s, target, pieces, end_s)
        now_s = end_s + (rng.exponential(PAUSE_MEAN_S) if rng.random() < PAUSE_CHANCE else 0.0)


def _submovements(
    hand: np.ndarray, target: np.ndarray, onset_s: float, rng: np.random.Generator
) -> Iterator[Submovement]:
    """A primary movement that falls short and scatters, then corrections until the hand is on the target."""
    while True:
        way = target - hand
        distance_m = float(np.linalg.norm(way))
        bits = math.log2(distance_m / TARGET_RADIUS_M + 1)
        duration_s = (FITTS_S + FITTS_S_PER_BIT * bits) * math.exp(rng.normal(0, DURATION_LOG_SD))
        scatter_m = SCATTER_S * distance_m / duration_s
        piece = Submovement(onset_s, duration_s, UNDERSHOOT * way + scatter_m * rng.normal(size=2) / math.sqrt(2))
        yield piece
        hand = hand + piece.displacement_m
        if np.linalg.norm(target - hand) < TARGET_RADIUS_M:
            return
        onset_s += duration_s * rng.uniform(0.7, 1.0)  # a correction starts before the movement has ended


def _sample(time_s: float) -> int:
    return math.ceil((time_s + PAD_S) * RATE_HZ)


def _increments(reaches: tuple[Reach, ...], n_samples: int) -> np.ndarray:
    """(n_samples, 2) way covered since the sample before, metres."""
    increments = np.zeros((n_samples, 2))
    for piece in (p for reach in reaches for p in reach.pieces):
        first, last = _sample(piece.onset_s), min(_sample(piece.onset_s + piece.duration_s) + 1, n_samples)
        edges_s = np.arange(first - 1, last) / RATE_HZ - PAD_S
        share = np.diff(minimum_jerk((edges_s - piece.onset_s) / piece.duration_s))
        increments[first:last] += share[:, None] * piece.displacement_m
    return increments


def _postural_drift(n_samples: int, rng: np.random.Generator) -> np.ndarray:
    """(n_samples, 2) slow wander of a hand that is never quite still: critically damped noise, metres."""
    from scipy.signal import lfilter  # half a second that a listing of suites need not pay

    pole = math.exp(-1 / (DRIFT_S * RATE_HZ))
    white = rng.normal(size=(n_samples, 2))
    smooth = lfilter([1.0], [1.0, -2 * pole, pole**2], white, axis=0)
    gain = math.sqrt((1 + pole**2) / (1 - pole**2) ** 3)  # stationary deviation of this filter's output
    return np.asarray(DRIFT_SD_M / gain * smooth)


def _held(reaches: tuple[Reach, ...], n_samples: int) -> np.ndarray:
    """(n_samples, 2) the target on the screen, metres."""
    starts = np.array([_sample(r.start_s) for r in reaches])
    shown = np.searchsorted(starts, np.arange(n_samples), side="right") - 1
    return np.array([r.target_m for r in reaches])[shown]


def _preparation(reaches: tuple[Reach, ...], n_samples: int) -> np.ndarray:
    strength = np.zeros((n_samples, 2))
    decay = np.exp(-np.arange(round(4 * PREPARATION_DECAY_S * RATE_HZ)) / (PREPARATION_DECAY_S * RATE_HZ))
    for reach in reaches:
        way = sum(p.displacement_m for p in reach.pieces)
        first = max(_sample(reach.pieces[0].onset_s - PREPARATION_AHEAD_S), 0)
        stretch = strength[first : first + len(decay)]
        stretch += decay[: len(stretch), None] * way / np.linalg.norm(way)
    return strength
