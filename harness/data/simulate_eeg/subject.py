"""A simulated subject: where its rhythms come from, how fast they are, and how far imagery brings them down.

Places are in radii of the head; docs/simulation.md has the equations and where the numbers come from.
"""

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from harness.data.simulate_eeg.head import lead_field
from harness.data.simulate_eeg.montage import direction, electrode_directions
from harness.data.simulate_eeg.parameters import Parameters, random_stream

AREAS = ("left-hand-area", "right-hand-area", "foot-area")
"""By the side of the head: imagery of the right hand is heard on the left."""
BANDS = ("mu", "beta")

AREA_DEG = ((44.0, 178.0), (44.0, 2.0), (9.0, -90.0))
PLACE_DEG, DEPTH_LIMITS, TILT_DEG = 7.0, (0.70, 0.80), 45.0
BAND_HZ = ((8.5, 12.5), (18.0, 25.0))
WIDTH_HZ, SIZE_UV, SIZE_LOG_SD = (0.9, 2.2), (12.0, 5.0), 0.35
MEAN_STRENGTH, STRENGTH_LOG_SD = 1.9, 0.5
IPSILATERAL, LAPSES = (0.1, 0.6), (0.03, 0.2)
ONSET_S = (0.35, 0.7)

OCCIPITAL_DEG = ((78.0, -112.0), (78.0, -68.0), (56.0, -90.0))
ALPHA_HZ, ALPHA_WIDTH_HZ, ALPHA_UV, ALPHA_LOG_SD = (8.5, 11.5), 0.8, 9.0, 0.5
N_OTHERS, OTHERS_HZ, OTHERS_WIDTH_HZ, OTHERS_UV, OTHERS_LOG_SD = 24, (5.0, 28.0), (1.0, 4.0), 2.5, 0.5
BLINKS_PER_MINUTE, MUSCLE_UV, TONE_UV, MUSCLE_LOG_SD, BACKGROUND_LOG_SD = (6.0, 20.0), 8.0, 7.0, 0.4, 0.25
REFERENCE = direction(128.0, -15.0)
"""Behind and below the right ear."""

CLASS_DEPTH = {
    "left_fist": (None, -1.0, 0.05),
    "right_fist": (-1.0, None, 0.05),
    "both_fists": (-0.9, -0.9, 0.05),
    "both_feet": (0.1, 0.1, -0.7),
}
"""Change of the log amplitude by area at strength one; None is the subject's own share on the side of the hand."""
BAND_DEPTH = (1.0, 0.5)


@dataclass(frozen=True)
class Rhythms:
    """Sources that oscillate, one row each.

    places, moments: (n, 3); moments are scaled so that the best electrode sees `size_uv` against infinity.
    frequency_hz, width_hz, size_uv: (n,) centre and standard deviation of the band; root mean square amplitude.
    """

    places: np.ndarray
    moments: np.ndarray
    frequency_hz: np.ndarray
    width_hz: np.ndarray
    size_uv: np.ndarray


@dataclass(frozen=True)
class Subject:
    """What all sessions of a subject share.

    motor: Six sources: mu and beta of each of `AREAS`, area by area.
    occipital, others: Rhythms that imagery leaves alone.
    strength: How far the log amplitude of mu falls at best.
    ipsilateral: Share of that on the side of the imagined hand.
    lapses: Share of the trials in which hardly anything is imagined.
    onset_s: From the cue to the beginning of the desynchronisation, on average.
    blinks_per_minute: On average.
    muscle_uv: Size of the muscle bursts.
    tone_uv: Ongoing activity of muscles at the temples.
    background: Factor on the activity of the brain that is no rhythm.
    """

    motor: Rhythms
    occipital: Rhythms
    others: Rhythms
    strength: float
    ipsilateral: float
    lapses: float
    onset_s: float
    blinks_per_minute: float
    muscle_uv: float
    tone_uv: float
    background: float

    def depths(self, label: str) -> np.ndarray:
        """(6,) change of the log amplitude of each motor source while this movement is imagined."""
        by_area = [-self.ipsilateral if depth is None else depth for depth in CLASS_DEPTH[label]]
        return self.strength * np.outer(by_area, BAND_DEPTH).ravel()

    def facts(self) -> dict[str, object]:
        """What the ground truth says of a subject."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        for name in ("motor", "occipital", "others"):
            plain[name] = {key: np.round(value, 4).tolist() for key, value in vars(plain[name]).items()}
        return plain


def draw_subject(parameters: Parameters) -> Subject:
    """The subject of these parameters; `strength` counts, nothing else but the seed does."""
    rng = random_stream(parameters, "subject")
    strength = MEAN_STRENGTH * math.exp(rng.normal(0, STRENGTH_LOG_SD))
    return Subject(
        motor=_motor(rng),
        occipital=_occipital(rng),
        others=_others(rng),
        strength=parameters.strength * strength,
        ipsilateral=rng.uniform(*IPSILATERAL),
        lapses=rng.uniform(*LAPSES),
        onset_s=rng.uniform(*ONSET_S),
        blinks_per_minute=rng.uniform(*BLINKS_PER_MINUTE),
        muscle_uv=MUSCLE_UV * math.exp(MUSCLE_LOG_SD * rng.normal()),
        tone_uv=TONE_UV * math.exp(MUSCLE_LOG_SD * rng.normal()),
        background=math.exp(BACKGROUND_LOG_SD * rng.normal()),
    )


def topographies(rhythms: Rhythms, electrodes: np.ndarray) -> np.ndarray:
    """(n_electrodes, n) microvolts at each electrode per unit of each source, against `REFERENCE`."""
    seen = lead_field(np.vstack([electrodes, REFERENCE]), rhythms.places, rhythms.moments)
    return np.asarray(seen[:-1] - seen[-1])


def turned(rhythms: Rhythms, share: float, rng: np.random.Generator) -> Rhythms:
    """Turn the moments: sqrt(1 - share^2) old + share new, scaled as before."""
    fresh = rng.normal(size=rhythms.moments.shape)
    old = rhythms.moments / np.linalg.norm(rhythms.moments, axis=1, keepdims=True)
    new = fresh / np.linalg.norm(fresh, axis=1, keepdims=True)
    mixed = math.sqrt(1 - share**2) * old + share * new
    return dataclasses.replace(rhythms, moments=_scaled(rhythms.places, mixed, rhythms.size_uv))


def _motor(rng: np.random.Generator) -> Rhythms:
    """Mu and beta of an area lie close to each other; the two hand areas have nearly one frequency."""
    n = len(AREAS) * len(BANDS)
    centres = np.repeat([direction(*angles) for angles in AREA_DEG], len(BANDS), axis=0)
    frequency_hz = np.tile([rng.uniform(*limits) for limits in BAND_HZ], len(AREAS)) + rng.normal(0, 0.3, n)
    size_uv = np.tile(SIZE_UV, len(AREAS)) * np.exp(SIZE_LOG_SD * rng.normal(size=n))
    size_uv *= np.exp(SIZE_LOG_SD * rng.normal())
    width_hz = np.tile(WIDTH_HZ, len(AREAS)) * np.exp(0.2 * rng.normal(size=n))
    return _drawn(centres, frequency_hz, width_hz, size_uv, rng)


def _occipital(rng: np.random.Generator) -> Rhythms:
    centres = np.array([direction(*angles) for angles in OCCIPITAL_DEG])
    frequency_hz = rng.uniform(*ALPHA_HZ) + rng.normal(0, 0.2, len(centres))
    size_uv = ALPHA_UV * math.exp(ALPHA_LOG_SD * rng.normal()) * np.exp(0.3 * rng.normal(size=len(centres)))
    return _drawn(centres, frequency_hz, np.full(len(centres), ALPHA_WIDTH_HZ), size_uv, rng)


def _others(rng: np.random.Generator) -> Rhythms:
    """Rhythms anywhere on the upper three quarters of the brain, of any frequency; the faster the smaller."""
    up = rng.uniform(-0.3, 1.0, N_OTHERS)
    azimuth = rng.uniform(0, 2 * math.pi, N_OTHERS)
    level = np.sqrt(1 - up**2)
    centres = np.column_stack([level * np.cos(azimuth), level * np.sin(azimuth), up])
    frequency_hz = rng.uniform(*OTHERS_HZ, N_OTHERS)
    size_uv = OTHERS_UV * np.exp(OTHERS_LOG_SD * rng.normal(size=N_OTHERS)) * np.sqrt(10 / frequency_hz)
    return _drawn(centres, frequency_hz, rng.uniform(*OTHERS_WIDTH_HZ, N_OTHERS), size_uv, rng)


def _drawn(
    centres: np.ndarray, frequency_hz: np.ndarray, width_hz: np.ndarray, size_uv: np.ndarray, rng: np.random.Generator
) -> Rhythms:
    """Scatter places around unit vectors and tilt moments away from the radius."""
    moved = centres + math.radians(PLACE_DEG) * rng.normal(size=centres.shape)
    outward = moved / np.linalg.norm(moved, axis=1, keepdims=True)
    places = outward * rng.uniform(*DEPTH_LIMITS, (len(outward), 1))
    moments = outward + math.tan(math.radians(TILT_DEG)) * rng.normal(size=outward.shape) / math.sqrt(2)
    return Rhythms(places, _scaled(places, moments, size_uv), frequency_hz, width_hz, size_uv)


def _scaled(places: np.ndarray, moments: np.ndarray, size_uv: np.ndarray) -> np.ndarray:
    best = np.abs(lead_field(electrode_directions(), places, moments)).max(axis=0)
    return np.asarray(moments * (size_uv / best)[:, None])
