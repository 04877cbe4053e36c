"""The kept samples of a long recording, on disk until all of them are known."""

from typing import IO

import numpy as np


class KeptSamples:
    """Times and values in two open files that its maker closes.

    start_s: Of the first sample.
    largest: (n_channels,) the largest absolute value of each channel, in volts.
    largest_off_s: How far the times are at most from a regular grid of `rate_hz` that begins with the first.
    """

    def __init__(self, values: IO[bytes], times: IO[bytes], *, n_channels: int, rate_hz: float) -> None:
        self._values, self._times = values, times
        self._n_channels, self._rate_hz = n_channels, rate_hz
        self.n_samples, self.start_s, self.largest_off_s = 0, 0.0, 0.0
        self.largest = np.zeros(n_channels)

    def push(self, times_s: np.ndarray, volts: np.ndarray) -> None:
        """Append (n,) seconds and (n, n_channels) volts."""
        if not len(times_s):
            return
        self.start_s = self.start_s if self.n_samples else float(times_s[0])
        regular_s = self.start_s + np.arange(self.n_samples, self.n_samples + len(times_s)) / self._rate_hz
        self.largest_off_s = max(self.largest_off_s, float(np.abs(times_s - regular_s).max()))
        self.largest = np.maximum(self.largest, np.abs(volts).max(axis=0))
        self._values.write(volts.astype(np.float32).tobytes())
        self._times.write(times_s.tobytes())
        self.n_samples += len(times_s)

    def volts(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, n_channels) float32."""
        self._values.seek(start * self._n_channels * 4)
        read = np.frombuffer(self._values.read((stop - start) * self._n_channels * 4), np.float32)
        return read.reshape(-1, self._n_channels)

    def times_s(self) -> np.ndarray:
        """(n_samples,) float64."""
        self._times.seek(0)
        return np.frombuffer(self._times.read())
