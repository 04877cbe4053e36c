"""A fast recording made slow without looking ahead: a low-pass in a single pass, then every so many samples.

The recording comes in blocks; the filter's state goes from one to the next, so that memory does not grow with length.
"""

import itertools
from dataclasses import dataclass

import numpy as np

JUMP_SAMPLES = 0.5
"""A step that differs by more than this from the period is a break: samples are missing there."""


@dataclass(frozen=True)
class Recipe:
    """How a recording of `rate_hz` is filtered (a Butterworth low-pass, single pass) and thinned out."""

    name: str = "makin-lfp@1"
    rate_hz: float = 24414.0625
    order: int = 8
    cutoff_hz: float = 400.0
    keep_every: int = 24

    @property
    def kept_rate_hz(self) -> float:
        """Samples per second that are kept."""
        return self.rate_hz / self.keep_every

    @property
    def delay_s(self) -> float:
        """How late slow waves leave the filter: its group delay at zero frequency."""
        power = np.arange(3)
        sections = self.sections()
        zeros, poles = sections[:, :3], sections[:, 3:]
        samples = zeros @ power / zeros.sum(axis=1) - poles @ power / poles.sum(axis=1)
        return float(samples.sum()) / self.rate_hz

    def sections(self) -> np.ndarray:
        """(n_sections, 6) float64: the low-pass in second-order sections."""
        from scipy.signal import butter

        return np.asarray(butter(self.order, self.cutoff_hz, fs=self.rate_hz, output="sos"))


@dataclass(frozen=True)
class Break:
    """Where a recording was interrupted: the first instant after it, and how much time is missing."""

    time_s: float
    missing_s: float


class Decimator:
    """Filters and thins out one recording, block by block.

    After a break all starts again: the filter as if the first value had always been there, and the counting of samples,
    so that the first sample after a break is kept. A kept sample has the time of the input sample of that row.
    """

    def __init__(self, recipe: Recipe) -> None:
        from scipy.signal import sosfilt_zi

        self._recipe, self._sections = recipe, recipe.sections()
        self._steady = np.asarray(sosfilt_zi(self._sections))[:, :, None]
        self._state = self._steady
        self._before_s, self._n_run = -np.inf, 0
        self.breaks: list[Break] = []

    def push(self, times_s: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take the next samples.

        Args:
            times_s: (n_samples,) float64, going up, also from block to block.
            values: (n_samples, n_channels) float64, finite.

        Returns:
            (n_kept,) seconds and (n_kept, n_channels) filtered values.
        """
        steps_s = np.diff(times_s, prepend=self._before_s)
        firsts = np.flatnonzero(np.abs(steps_s * self._recipe.rate_hz - 1) > JUMP_SAMPLES)
        for i in firsts[np.isfinite(steps_s[firsts])]:
            self.breaks.append(Break(float(times_s[i]), float(steps_s[i]) - 1 / self._recipe.rate_hz))
        edges = np.unique([0, *firsts, len(times_s)])
        runs = [
            self._run(times_s[a:b], values[a:b], begins=bool(np.isin(a, firsts))) for a, b in itertools.pairwise(edges)
        ]
        self._before_s = float(times_s[-1]) if len(times_s) else self._before_s
        kept = runs or [(times_s, values)]
        return np.concatenate([t for t, _ in kept]), np.concatenate([v for _, v in kept])

    def _run(self, times_s: np.ndarray, values: np.ndarray, *, begins: bool) -> tuple[np.ndarray, np.ndarray]:
        from scipy.signal import sosfilt

        if begins:
            self._state, self._n_run = self._steady * values[0], 0
        filtered, self._state = sosfilt(self._sections, values, axis=0, zi=self._state)
        kept = slice(-self._n_run % self._recipe.keep_every, None, self._recipe.keep_every)
        self._n_run += len(values)
        return times_s[kept], filtered[kept]
