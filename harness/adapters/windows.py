"""The last seconds of one stream, bin by bin: the same code cuts the windows of training and those of the stream."""

from collections.abc import Callable, Sequence

import numpy as np
import scipy.signal

from harness.errors import DecoderError, UsageError
from harness.types import Recording, SessionInfo, StreamInfo

Band = tuple[float, float]

ORDER = 4
"""Of the Butterworth prototype; a band-pass has twice as many poles."""


class BandPass:
    """A causal Butterworth band-pass over bins of one length, as one matrix product a bin.

    A filter is linear, so one bin takes (states before, samples) to (states after, filtered samples) by a matrix: what
    it answers to unit vectors. It begins settled on the first sample that it is given, so that an offset of the
    recording rings nowhere.
    """

    def __init__(self, band_hz: Band, info: StreamInfo) -> None:
        if info.rate_hz is None or info.samples_per_bin is None or not 0 < band_hz[0] < band_hz[1] < info.rate_hz / 2:
            raise UsageError(
                f"band_hz={band_hz} does not fit a stream of {info.rate_hz} Hz; give (low, high) in Hz with "
                f"0 < low < high < half of the rate, or None"
            )
        sections = scipy.signal.butter(ORDER, band_hz, "bandpass", fs=info.rate_hz, output="sos")
        self.n_states = 2 * len(sections)
        units = np.eye(self.n_states + info.samples_per_bin)
        states = units[: self.n_states].reshape(len(sections), 2, -1)
        filtered, after = scipy.signal.sosfilt(sections, units[self.n_states :], axis=0, zi=states)
        self.matrix = np.concatenate([after.reshape(self.n_states, -1), filtered])
        self.settled = scipy.signal.sosfilt_zi(sections).reshape(-1, 1)
        self.reset()

    def reset(self) -> None:
        """Begin anew at the next bin."""
        self.states: np.ndarray | None = None

    def __call__(self, samples: np.ndarray) -> np.ndarray:
        """(n_samples, n_channels) of the next bin -> the same, filtered."""
        before = self.settled * samples[:1] if self.states is None else self.states
        both = self.matrix @ np.concatenate([before, samples])
        self.states = both[: self.n_states]
        return np.asarray(both[self.n_states :])


class Window:
    """The last `n_bins` bins of a stream, filtered if asked for.

    What lies before the first bin after a reset is filled: with the first sample of a signal, which makes no jump, and
    with zeros of a stream of counts.
    """

    def __init__(self, info: StreamInfo, n_bins: int, band_hz: Band | None = None) -> None:
        self.info = info
        self.n_bins = max(1, n_bins)
        self.filter = None if band_hz is None else BandPass(band_hz, info)
        self.reset()

    @property
    def n_samples(self) -> int:
        """Samples in a window; counts have one in a bin."""
        return self.n_bins * (self.info.samples_per_bin or 1)

    @property
    def is_full(self) -> bool:
        """Whether all of it was measured since the reset."""
        return self.n_seen >= self.n_bins

    def reset(self) -> None:
        """A segment starts."""
        self.n_seen = 0
        self.held = np.zeros((self.info.n_channels, self.n_samples))
        if self.filter:
            self.filter.reset()

    def push(self, values: np.ndarray) -> np.ndarray:
        """Take one bin, (n_channels,) or (samples_per_bin, n_channels); give the window, (n_channels, n_samples).

        The window is float64, contiguous and held on to: copy what is to be changed.
        """
        samples = values.reshape(-1, self.info.n_channels).astype(np.float64)
        samples = self.filter(samples) if self.filter else samples
        if not self.n_seen and self.info.samples_per_bin is not None:
            self.held = np.repeat(samples[:1].T, self.n_samples, axis=1)
        self.n_seen = min(self.n_seen + 1, self.n_bins)
        self.held = np.concatenate([self.held[:, len(samples) :], samples.T], axis=1)
        return self.held


def stream_of(session: SessionInfo, name: str) -> StreamInfo:
    """One stream of a session.

    Raises:
        UsageError: If the session has none of that name.
    """
    if name not in session.streams:
        raise UsageError(f"session {session.id!r} has no stream {name!r}; it has: {', '.join(session.streams)}")
    return session.streams[name]


def bins_of(window_s: float, bin_s: float) -> int:
    """Whole bins nearest to a time, at least one."""
    return max(1, round(window_s / bin_s))


def cut(
    recordings: Sequence[Recording],
    stream: str,
    window_of: Callable[[SessionInfo], Window],
    *,
    ends: Callable[[Recording], np.ndarray],
    most: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The windows that end at some bins, and the targets there.

    Args:
        recordings: All with the same channels.
        stream: Which of their streams.
        window_of: Makes an empty window for a session.
        ends: Which bins of a recording a window may end at: (n_bins,) bool; targets must be finite there.
        most: If there are more, so many are taken, evenly.

    Returns:
        (n_windows, n_channels, n_samples) float64 and (n_windows, n_outputs) float32.

    Raises:
        DecoderError: If recordings differ in their channels, or there is nothing to learn from.
    """
    marks = [np.asarray(ends(r), bool) for r in recordings]
    chosen = _evenly(np.concatenate([*marks, np.zeros(0, bool)]), most)
    if not chosen.any():
        raise DecoderError(f"{len(recordings)} training recordings hold no labelled bin; a decoder needs at least one")
    n_channels = {r.session.id: stream_of(r.session, stream).n_channels for r in recordings}
    if len(set(n_channels.values())) > 1:
        raise DecoderError(
            f"sessions with different channels cannot be fitted together: {n_channels}; use `fit: each` in the suite"
        )
    windows, targets, first = [], [], 0
    for recording in recordings:
        wanted = chosen[first : first + len(recording)]
        first += len(recording)
        windows += _windows(recording, stream, window_of(recording.session), wanted)
        targets.append(recording.targets[wanted])
    return np.stack(windows), np.concatenate(targets)


def _windows(recording: Recording, stream: str, window: Window, wanted: np.ndarray) -> list[np.ndarray]:
    found = []
    values = recording.inputs.streams[stream]
    for k, starts in enumerate(recording.inputs.starts.tolist()):
        if starts:
            window.reset()
        held = window.push(values[k])
        if wanted[k]:
            found.append(held)
    return found


def _evenly(marks: np.ndarray, most: int) -> np.ndarray:
    """The same marks, or `most` of them, spread evenly."""
    places = np.flatnonzero(marks)
    if len(places) <= most:
        return marks
    thinned = np.zeros_like(marks)
    thinned[places[np.linspace(0, len(places) - 1, most).round().astype(int)]] = True
    return thinned
