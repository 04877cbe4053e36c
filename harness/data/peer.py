"""What the two LFP papers feed their networks: filters that run forwards and backwards, and z-scores of whole sessions.

None of it is causal: every value depends on the future. It is here to be compared with published numbers alone, as
arXiv:2512.12461 and arXiv:2605.14867 describe it and their public code does it.
"""

from dataclasses import dataclass

import numpy as np

from harness.errors import BadData, UsageError

PEER_RATE_HZ = 100.0
HUM_HZ, HUM_QUALITY = 60.0, 30.0
PASS_HZ, ORDER = (0.05, 50.0), 2
IRREGULAR_SAMPLES = 0.5


@dataclass(frozen=True)
class PeerVelocity:
    """Targets between the first and the last change of the goal.

    times_s: (n_bins,) float64, 100 a second.
    values: (n_bins, 2) float64, each axis of mean 0 and standard deviation 1.
    """

    times_s: np.ndarray
    values: np.ndarray


def peer_velocity(cursor: np.ndarray, target: np.ndarray, times_s: np.ndarray) -> PeerVelocity:
    """The velocity of the cursor: central differences, resampled to 100 Hz by FFT, cut, z-scored.

    A change of the goal counts if the sum of its steps along both axes is not zero, as published: one by +15 and -15 mm
    goes unnoticed. FFT resampling takes the session for periodic, so its ends ring.

    Args:
        cursor: (n_samples, 2), any unit.
        target: (n_samples, 2), the goal.
        times_s: (n_samples,) seconds, evenly spaced.

    Raises:
        BadData: If the goal changes less than twice.
    """
    from scipy.signal import resample

    n_bins = int((times_s[-1] - times_s[0]) * PEER_RATE_HZ)
    velocity, bins_s = resample(np.gradient(cursor, times_s, axis=0), n_bins, t=times_s)
    changes = np.flatnonzero(np.diff(target, axis=0).sum(axis=1) != 0) + 1
    if len(changes) < 2:
        raise BadData(
            f"the goal changes {len(changes)} times in {len(times_s)} samples, and the published protocol keeps what "
            f"is between its first and last change; leave the session out of it"
        )
    first, last = (changes[[0, -1]] * (n_bins / len(target))).astype(int)
    return PeerVelocity(bins_s[first:last], zscore(velocity[first:last]))


def peer_lfp(values: np.ndarray, times_s: np.ndarray, rate_hz: float, grid_times_s: np.ndarray) -> np.ndarray:
    """The field potential between 0.05 and 50 Hz at the times of the targets, z-scored over all of them.

    Mean removed, notches at 60 Hz and its multiples, high-pass and low-pass (order-2 Butterworth), all forwards and
    backwards; FFT resampling to 100 Hz; common average reference; linear interpolation; z-score. The reference is taken
    last but for interpolation, which changes nothing, as all before it is the same for each channel and linear.

    The papers begin with the broadband signal, thinned out by 32 to 763 Hz with filters of no delay. This begins with
    the 1017 Hz stream of a prepared file, whose causal low-pass at 400 Hz delays slow waves by 2 ms, a fifth of a bin.
    Where samples are missing, it interpolates first; the papers take the samples as if none were. Times of the
    resampled signal are evenly spaced from the first to the last raw one, as published: up to 9 ms late at the end.

    Args:
        values: (n_samples, n_channels), any unit.
        times_s: (n_samples,) seconds, going up.
        rate_hz: Of the samples.
        grid_times_s: (n_bins,) seconds; outside of the recording its first or last value is repeated.

    Returns:
        (n_bins, n_channels) float32; 0 for a channel that does not change.

    Raises:
        UsageError: If the rate is too low to hold 50 Hz, or values and times differ in length.
    """
    if rate_hz <= 2 * PASS_HZ[1] or len(values) != len(times_s):
        raise UsageError(
            f"the published chain needs more than {2 * PASS_HZ[1]:g} samples a second and one time for each, not "
            f"{len(values)} samples at {rate_hz:g} Hz and {len(times_s)} times; give it the 1 kHz stream"
        )
    regular_s = times_s[0] + np.arange(round((times_s[-1] - times_s[0]) * rate_hz) + 1) / rate_hz
    slow = np.column_stack([_slow(_regular(x, times_s, regular_s), rate_hz) for x in values.T])
    slow -= slow.mean(axis=1, keepdims=True)
    slow_s = np.linspace(regular_s[0], regular_s[-1], len(slow))
    aligned = np.column_stack([np.interp(grid_times_s, slow_s, x) for x in slow.T])
    return zscore(aligned).astype(np.float32)


def zscore(values: np.ndarray) -> np.ndarray:
    """(n, n_channels) of mean 0 and standard deviation 1 in each channel; 0 in one that does not change."""
    spread = values.std(axis=0)
    return np.asarray((values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0))


def _regular(signal: np.ndarray, times_s: np.ndarray, regular_s: np.ndarray) -> np.ndarray:
    """(n_regular,) one channel on an even grid; as it is, if it is on it to half a sample."""
    if len(regular_s) == len(times_s):
        period_s = (times_s[-1] - times_s[0]) / max(len(times_s) - 1, 1)
        if np.abs(times_s - regular_s).max() <= IRREGULAR_SAMPLES * period_s:
            return np.asarray(signal, np.float64)
    return np.asarray(np.interp(regular_s, times_s, signal))


def _slow(signal: np.ndarray, rate_hz: float) -> np.ndarray:
    """One channel, filtered and at 100 Hz, in float64, which all channels of a long session at once would not fit."""
    from scipy.signal import butter, filtfilt, iirnotch, resample

    filtered = signal - signal.mean()
    for hum_hz in np.arange(HUM_HZ, rate_hz / 2, HUM_HZ):
        filtered = filtfilt(*iirnotch(hum_hz, HUM_QUALITY, fs=rate_hz), filtered)
    filtered = filtfilt(*butter(ORDER, PASS_HZ[0], "highpass", fs=rate_hz), filtered)
    filtered = filtfilt(*butter(ORDER, PASS_HZ[1], "lowpass", fs=rate_hz), filtered)
    return np.asarray(resample(filtered, int(len(filtered) * PEER_RATE_HZ / rate_hz)))
