"""What a decoder sees, and what the judge keeps to itself.

Axis order is time, (samples in a bin), channels or outputs. Values are float32, seconds float64. A bin is known at
its right edge, and its target is the behaviour at that edge.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

Bin = Mapping[str, np.ndarray]
"""One bin: stream name -> (n_units,) counts, or (samples_per_bin, n_channels) signal values; float32."""

Kind = Literal["regression", "classification"]


@dataclass(frozen=True)
class StreamInfo:
    """One input stream of a session.

    `samples_per_bin` is None for counts, of which a bin has one row without a sample axis.
    """

    n_channels: int
    samples_per_bin: int | None = None
    rate_hz: float | None = None
    unit: str = "count"
    channels: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one bin: (n_channels,) or (samples_per_bin, n_channels)."""
        return (self.n_channels,) if self.samples_per_bin is None else (self.samples_per_bin, self.n_channels)


@dataclass(frozen=True)
class SessionInfo:
    """What a decoder may know of a session before its first bin."""

    id: str
    subject: str
    streams: Mapping[str, StreamInfo]
    bin_s: float
    outputs: tuple[str, ...]
    kind: Kind = "regression"


@dataclass(frozen=True)
class Inputs:
    """All that a decoder can see at test time.

    streams: name -> (n_bins, n_units) counts or (n_bins, samples_per_bin, n_channels) signals, float32.
    starts: (n_bins,) bool; true where the recording begins anew and a decoder is reset. The first bin always is.
    """

    streams: Mapping[str, np.ndarray]
    starts: np.ndarray
    bin_s: float

    def __len__(self) -> int:
        return len(self.starts)

    def bins(self) -> Iterator[tuple[bool, Bin]]:
        """Yield (starts, bin) in time order, each bin a fresh copy."""
        for k, starts in enumerate(self.starts.tolist()):
            yield starts, {name: values[k].copy() for name, values in self.streams.items()}

    def segments(self) -> list[slice]:
        """The unbroken stretches, as slices over bins."""
        edges = [*np.flatnonzero(self.starts).tolist(), len(self)]
        return [slice(a, b) for a, b in itertools.pairwise(edges)]

    def __getitem__(self, bins: slice) -> "Inputs":
        """A stretch of time; its first bin is a start."""
        starts = self.starts[bins].copy()
        starts[:1] = True
        return Inputs({name: values[bins] for name, values in self.streams.items()}, starts, self.bin_s)


@dataclass(frozen=True)
class Recording:
    """A stretch of one session with its labels, as `fit` gets it.

    targets: (n_bins, n_outputs) float32, NaN where the behaviour was not measured.
    scored: (n_bins,) bool, never true where a target is NaN.
    privileged: streams of the same session that the suite allows while fitting only, shaped as in `Inputs`.
    """

    session: SessionInfo
    inputs: Inputs
    targets: np.ndarray
    scored: np.ndarray
    privileged: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.inputs)

    def with_streams(self, names: Sequence[str]) -> "Recording":
        """The same recording with only some of its input streams, in the given order."""
        session = replace(self.session, streams={name: self.session.streams[name] for name in names})
        inputs = replace(self.inputs, streams={name: self.inputs.streams[name] for name in names})
        return replace(self, session=session, inputs=inputs)


@dataclass(frozen=True)
class Cost:
    """What a decoder declares of one bin, where it cannot be counted or read off its arrays.

    macs_per_bin, acs_per_bin: Effective products in contractions, as multiply-accumulates, and as accumulates where
        one factor is -1, 0 or 1 (Yik et al. 2025, 10.1038/s41467-025-56739-4, NeuroBench). None: the judge counts.
    elementwise_per_bin: Element-wise products: gates, gains, decays.
    activation_sparsity: Zeros among the outputs of activation functions, 0 to 1.
    bits: Array of `state()` -> bits that one of its values needs when packed; the judge checks that so many suffice.
    """

    macs_per_bin: float | None = None
    acs_per_bin: float = 0.0
    elementwise_per_bin: float = 0.0
    activation_sparsity: float | None = None
    bits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Delay:
    """Which bin an answer is about: the answer at bin k is about bin k - bins. The judge counts that as latency.

    look_ahead_bins: Later bins that an answer waits for.
    interpolation_bins: Further bins that it waits for the next of its supporting points.
    window_s: Of a decoder that answers whole windows (`causal = False`), which come when the window is over. Its
        answers are about their own bins all the same.
    """

    look_ahead_bins: int = 0
    interpolation_bins: int = 0
    window_s: float = 0.0

    @property
    def bins(self) -> int:
        """All of it."""
        return self.look_ahead_bins + self.interpolation_bins

    def aligned(self, outputs: np.ndarray, inputs: Inputs) -> np.ndarray:
        """Answers in the order in which they came -> in the order of the bins that they are about.

        outputs: (n_bins, n_outputs), or (0, n_outputs) of a decoder that failed. The last bins of a segment, which
        are never spoken of, get its last answer.
        """
        if not len(outputs):
            return outputs
        source = [np.minimum(np.arange(s.start, s.stop) + self.bins, s.stop - 1) for s in inputs.segments()]
        return np.take(outputs, np.concatenate(source), axis=0)
