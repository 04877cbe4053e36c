"""What LFP decoders read: the local motor potential and the logarithm of the power in bands, known at a bin's end.

Every feature is computed by the same code one bin at a time, in `fit` as in `step`. A channel that is constant in
training is left out of the common average and its features are constant.
"""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from baselines.features import History, Standard, in_bins
from baselines.lfp.filters import N_STATES, Band, blocks, within_reach
from harness import HarnessError, Inputs, Recording

BANDS_HZ: tuple[Band, ...] = ((1, 4), (4, 8), (8, 13), (13, 30), (30, 70), (70, 115), (130, 200))
SLOWEST_HZ = 0.1
"""Drifts slower than this are taken out of the local motor potential."""
POWER_FLOOR = 0.01
"""Of the usual power: what is added before the logarithm, so that a dead channel is no minus infinity."""


class Front(abc.ABC):
    """Turns bins of one stream into rows of features; made by `fit`, rebuilt from its `arrays`."""

    @abc.abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """What was learned."""

    @abc.abstractmethod
    def n_features(self, n_channels: int) -> int:
        """Length of a row."""

    @abc.abstractmethod
    def reset(self) -> None:
        """Forget: a segment starts."""

    @abc.abstractmethod
    def row(self, values: np.ndarray) -> np.ndarray:
        """(samples_per_bin, n_channels) of one bin -> (n_features,) float32."""

    def rows(self, values: np.ndarray, inputs: Inputs) -> np.ndarray:
        """(n_bins, samples_per_bin, n_channels) of a whole stream -> (n_bins, n_features) float32."""
        made = []
        for starts, bin in zip(inputs.starts.tolist(), values, strict=True):
            if starts:
                self.reset()
            made.append(self.row(bin))
        return np.stack(made)


class LastSample(Front):
    """The last sample of each bin, as it is."""

    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    def n_features(self, n_channels: int) -> int:
        return n_channels

    def reset(self) -> None:
        pass

    def row(self, values: np.ndarray) -> np.ndarray:
        return values[-1]

    def rows(self, values: np.ndarray, inputs: Inputs) -> np.ndarray:
        return np.ascontiguousarray(values[:, -1])


@dataclass(frozen=True)
class Windows:
    """How features are smoothed, and which bands there are.

    lmp_s: Length of the moving average that is the local motor potential.
    n_lmp: How many such averages, one after the other into the past.
    power_s: Time constant of the exponential average of the power.
    """

    lmp_s: float = 0.1
    n_lmp: int = 1
    power_s: float = 0.25
    bands_hz: tuple[Band, ...] = BANDS_HZ


class LmpAndPower(Front):
    """Local motor potential and log band power of every channel, after a common average reference.

    A row holds the local motor potentials of all channels, newest first, then each band's power. Filters start as if
    the first sample had always been there, powers at what is usual in training: no transient at a start.

    Args:
        learned: As `arrays` gives it. reference: (n_channels,) weights of the common average. blocks: see `filters`.
            power: (n_bands, n_channels) mean in training. rates: share of the new bin in the running means of the
            power and of the slow drift. lmp: how many moving averages, and of how many bins each.
    """

    def __init__(self, learned: Mapping[str, np.ndarray]):
        self._learned = dict(learned)
        self._reference, self._blocks = learned["reference"], learned["blocks"]
        self._usual, (self._power_rate, self._slow_rate) = learned["power"], learned["rates"].tolist()
        self._n_lmp, self._lmp_bins = learned["lmp"].tolist()
        self._gain = np.divide(1.0, self._usual, out=np.zeros_like(self._usual), where=self._usual > 0)
        self.reset()

    @classmethod
    def of(cls, recordings: Sequence[Recording], stream: str, windows: Windows) -> "LmpAndPower":
        """Measure the reference and the usual power on training recordings.

        Raises:
            HarnessError: If the stream is no signal, the recordings differ in channels, or no band is left.
        """
        info, bin_s = recordings[0].session.streams[stream], recordings[0].session.bin_s
        signals = [r.inputs.streams[stream] for r in recordings]
        if info.samples_per_bin is None or len({s.shape[1:] for s in signals}) > 1:
            raise HarnessError(
                f"stream {stream!r} has bins of shapes {sorted({s.shape[1:] for s in signals})}; band power needs "
                f"(samples, channels), the same in all recordings, so give a signal and fit each session on its own"
            )
        rate_hz = info.rate_hz or info.samples_per_bin / bin_s
        bands = within_reach(windows.bands_hz, rate_hz)
        if not bands:
            raise HarnessError(f"none of the bands {windows.bands_hz} Hz can be had from {rate_hz} Hz; give lower ones")
        varies = np.any([s.min(axis=(0, 1)) < s.max(axis=(0, 1)) for s in signals], axis=0)
        learned = {
            "reference": varies / max(1, varies.sum()),
            "blocks": blocks(bands, rate_hz, info.samples_per_bin),
            "power": np.ones((len(bands), info.n_channels)),
            "rates": -np.expm1([-bin_s / windows.power_s, -2 * np.pi * SLOWEST_HZ * bin_s]),
            "lmp": np.array([windows.n_lmp, in_bins(windows.lmp_s, bin_s)], np.int32),
        }
        return cls(learned | {"power": cls(learned)._mean_power(recordings, signals) * varies})

    def _mean_power(self, recordings: Sequence[Recording], signals: Sequence[np.ndarray]) -> np.ndarray:
        total, n_bins = np.zeros_like(self._usual), 0
        for recording, signal in zip(recordings, signals, strict=True):
            for starts, values in zip(recording.inputs.starts.tolist(), signal, strict=True):
                if starts:
                    self.reset()
                total += self._power_of(self._referenced(values))
                n_bins += 1
        return total / max(1, n_bins)

    def arrays(self) -> dict[str, np.ndarray]:
        return self._learned

    def n_features(self, n_channels: int) -> int:
        return (self._n_lmp + len(self._usual)) * n_channels

    def reset(self) -> None:
        n_bands, n_rows, _ = self._blocks.shape
        n_channels = len(self._reference)
        self._first: np.ndarray | None = None
        self._carried = np.zeros((n_bands, n_rows, n_channels))
        self._power = self._usual.copy()
        self._slow = np.zeros(n_channels)
        self._recent = History(self._n_lmp * self._lmp_bins, n_channels)

    def row(self, values: np.ndarray) -> np.ndarray:
        x = self._referenced(values)
        self._power += self._power_rate * (self._power_of(x) - self._power)
        now = x.mean(axis=0)
        self._slow += self._slow_rate * (now - self._slow)
        recent = self._recent.push(now - self._slow).reshape(self._n_lmp, self._lmp_bins, -1)
        log_power = np.log(self._power * self._gain + POWER_FLOOR)
        return np.concatenate([recent.mean(axis=1).ravel(), log_power.ravel()]).astype(np.float32)

    def _referenced(self, values: np.ndarray) -> np.ndarray:
        """(samples, channels) less the common average, and less the first sample of the segment."""
        x = values - (values @ self._reference)[:, None]
        if self._first is None:
            self._first = x[0].copy()
        return x - self._first

    def _power_of(self, x: np.ndarray) -> np.ndarray:
        """Filter the samples of one bin, (samples, channels); mean square of each band, (n_bands, n_channels)."""
        self._carried[:, N_STATES:] = x
        self._carried = self._blocks @ self._carried
        return np.square(self._carried[:, N_STATES:]).mean(axis=1)


class Components(Front):
    """The leading principal components of another front's standardised rows.

    Args:
        front: Makes the rows.
        learned: mean, gain: (n_features,) of its rows. axes: (n_components, n_features).
    """

    def __init__(self, front: Front, learned: Mapping[str, np.ndarray]):
        self._front, self._learned = front, {name: learned[name] for name in ("mean", "gain", "axes")}
        self._standard = Standard(learned["mean"], learned["gain"], "none")

    @classmethod
    def of(cls, front: Front, recordings: Sequence[Recording], stream: str, n_components: int) -> "Components":
        """Measure the components on training recordings; at most as many as the rows have features."""
        rows = [front.rows(r.inputs.streams[stream], r.inputs) for r in recordings]
        standard = Standard.of(rows, "none")
        gram = sum((z.T @ z).astype(np.float64) for z in map(standard, rows))
        axes = np.linalg.eigh(gram)[1][:, ::-1][:, :n_components].T
        return cls(front, {"mean": standard.mean, "gain": standard.gain, "axes": axes.astype(np.float32)})

    def arrays(self) -> dict[str, np.ndarray]:
        return self._front.arrays() | self._learned

    def n_features(self, n_channels: int) -> int:
        return len(self._learned["axes"])

    def reset(self) -> None:
        self._front.reset()

    def row(self, values: np.ndarray) -> np.ndarray:
        return self._learned["axes"] @ self._standard(self._front.row(values))
