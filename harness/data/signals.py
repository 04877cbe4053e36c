"""Streams of continuous signals: referenced, filtered in one pass, and held at the instants of the bins.

But for the papers' own chain, nothing here looks at a sample later than the instant that it is for. A filter begins in
the state that it would have if the first sample had always been there, so that an offset does not ring for seconds.
"""

from collections.abc import Iterator

import numpy as np

from harness.data.bins import GAP_PERIODS, breaks_after
from harness.data.contents import Signal
from harness.data.peer import peer_lfp
from harness.data.protocol import SignalStream
from harness.data.room import MEMORY, Memory
from harness.errors import UsageError
from harness.types import StreamInfo

BLOCK_S, BLOCK_ROWS = 30.0, 65_536
"""Filtered at a time, whichever is less: memory does not grow with the length of a session."""
PIECE_BINS = 10_000
SIGNAL_SNAP_PERIODS = 1e-3
"""A sample so little later than an instant is at that instant: amplifiers' clocks are floats of their own."""


def stream_info(signal: Signal, rule: SignalStream, *, bin_s: float) -> StreamInfo:
    """What a decoder is told of a stream."""
    rate_hz = rule.samples_per_bin / bin_s
    return StreamInfo(len(signal.names), rule.samples_per_bin, rate_hz, signal.unit, signal.names)


def causal_stream(
    signal: Signal, rule: SignalStream, edges_s: np.ndarray, *, bin_s: float, room: Memory = MEMORY
) -> np.ndarray:
    """A signal as a stream of bins.

    Args:
        signal: The signal; it must cover all bins.
        rule: How the stream is made.
        edges_s: (n_bins,) right edges, going up.
        bin_s: Width of a bin.
        room: Where the stream is put.

    Returns:
        (n_bins, samples_per_bin, n_channels) float32, the latest sample at each instant.

    Raises:
        UsageError: If a filter does not fit the signal's rate, or an average is to be taken of one channel.
    """
    n, n_channels = rule.samples_per_bin, signal.values.shape[1]
    if rule.reference == "average" and n_channels < 2:
        raise UsageError("the average of one channel is that channel; set the stream's reference to `none`")
    rows = np.empty(len(edges_s) * n, np.int32 if len(signal.values) < 2**31 else np.int64)
    for k in range(0, len(edges_s), PIECE_BINS):
        rows[k * n : (k + PIECE_BINS) * n] = _rows_at(signal, edges_s[k : k + PIECE_BINS], n, bin_s)
    stream = room.empty((len(rows), n_channels))
    for first, block in _processed(signal, rule):
        wanted = slice(*np.searchsorted(rows, (first, first + len(block))))
        stream[wanted] = block[rows[wanted] - first]
        room.let_go()
    return stream.reshape(len(edges_s), n, n_channels)


def _rows_at(signal: Signal, edges_s: np.ndarray, n: int, bin_s: float) -> np.ndarray:
    """(n_bins * n,) the row of the latest sample at each of the n instants of every bin."""
    instants_s = (edges_s[:, None] - bin_s / n * np.arange(n - 1, -1, -1)).reshape(-1)
    return signal.times_s.searchsorted(instants_s + SIGNAL_SNAP_PERIODS * signal.period_s, side="right") - 1


def peer_stream(signal: Signal, rule: SignalStream, edges_s: np.ndarray, *, bin_s: float) -> np.ndarray:
    """The LFP papers' stream, arguments and result as in `causal_stream`: it looks ahead."""
    if rule.samples_per_bin != 1:
        raise UsageError(f"the published chain gives one sample a bin of {bin_s:g} s, not {rule.samples_per_bin}")
    values = np.asarray(
        np.asarray(signal.values) * signal.scale.astype(np.float32) + np.float32(signal.offset), np.float32
    )
    return peer_lfp(values, np.asarray(signal.times_s), 1 / signal.period_s, edges_s)[:, None]


def _processed(signal: Signal, rule: SignalStream) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, (n_rows, n_channels) float64) of one block after the other."""
    sections = _sections(rule, 1 / signal.period_s)
    n_rows = max(1, min(BLOCK_ROWS, round(BLOCK_S / signal.period_s)))
    breaks = breaks_after(signal.times_s, GAP_PERIODS * signal.period_s) + 1
    for first, stop in zip((0, *breaks), (*breaks, len(signal.times_s)), strict=True):
        state: list[np.ndarray] = []
        for start in range(first, stop, n_rows):
            block = signal.values[start : min(start + n_rows, stop)] * signal.scale + signal.offset
            if rule.reference == "average":
                block -= block.mean(axis=1, keepdims=True)
            for i, sos in enumerate(sections):
                if start == first:
                    state.append(settled(sos, block[0]))
                block, state[i] = filtered(sos, block, state[i])
            yield start, block


def settled(sos: np.ndarray, row: np.ndarray) -> np.ndarray:
    """State of a filter to which this row (n_channels,) has always been given; (n_sections, 2, n_channels)."""
    from scipy.signal import sosfilt_zi  # slow to import

    try:
        return np.asarray(sosfilt_zi(sos)[:, :, None] * row)
    except np.linalg.LinAlgError:
        raise UsageError("a filter is so slow that float64 cannot tell its poles from 1; give it a higher hz") from None


def filtered(sos: np.ndarray, block: np.ndarray, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_rows, n_channels) through second-order sections, in one pass; the same, and the state after it."""
    from scipy.signal import sosfilt

    after, state = sosfilt(sos, block, axis=0, zi=state)
    return np.asarray(after), np.asarray(state)


def _sections(rule: SignalStream, rate_hz: float) -> list[np.ndarray]:
    """Second-order sections of the high-pass, then of the low-pass."""
    from scipy.signal import butter

    filters = [("highpass", rule.high_pass), ("lowpass", rule.low_pass)]
    given = [(kind, f) for kind, f in filters if f is not None]
    for kind, f in given:
        if f.hz >= rate_hz / 2:
            raise UsageError(
                f"a {kind} of {f.hz:g} Hz does not fit a signal of {rate_hz:g} Hz, which ends at {rate_hz / 2:g} Hz; "
                f"choose a lower one in the task's `signals`"
            )
    return [np.asarray(butter(f.order, f.hz, kind, fs=rate_hz, output="sos")) for kind, f in given]
