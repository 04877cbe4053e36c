"""Classical decoders of the local field potential: ridge and Wiener, Kalman. They do without PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from baselines.kalman import Kalman
from baselines.lfp.features import Components, Front, LastSample, LmpAndPower, Windows
from baselines.lfp.rows import ROWS, Fronted
from baselines.wiener import Wiener
from harness import Decoder, Recording


class RowsWiener(Wiener):
    """`Wiener` on rows, with all of its history."""

    inputs = (ROWS,)

    def histories(self, n_bins: int) -> tuple[int, ...]:
        return (n_bins,)


class RowsKalman(Kalman):
    """`Kalman` on rows, whose smoothing makes them the same noise for tens of bins."""

    inputs = (ROWS,)
    noises = (20.0, 10.0, 40.0, 80.0, 160.0)


@dataclass
class RawFronted(Fronted):
    """Reads the 100 Hz potential as it is: one sample per bin."""

    inputs = ("lfp",)

    def learn_front(self, recordings: Sequence[Recording]) -> Front:
        return LastSample()

    def front_of(self, arrays: Mapping[str, np.ndarray]) -> Front:
        return LastSample()


@dataclass
class FeatureFronted(Fronted):
    """Reads local motor potential and band power of the broadband signal, see `baselines.lfp.features`.

    lmp_s: Length of the moving average that is the local motor potential.
    power_s: Time constant of the exponential average of a band's power.
    """

    inputs = ("lfp_wide",)
    n_lmp: ClassVar[int] = 1
    lmp_s: float = 0.1
    power_s: float = 0.25

    def learn_front(self, recordings: Sequence[Recording]) -> Front:
        return LmpAndPower.of(recordings, self.inputs[0], Windows(self.lmp_s, self.n_lmp, self.power_s))

    def front_of(self, arrays: Mapping[str, np.ndarray]) -> Front:
        return LmpAndPower(arrays)


@dataclass
class LfpRidge(RawFronted):
    """Ridge regression on the last frames of the 100 Hz potential: the level that papers call linear.

    n_frames: Bins of history, the present one included.
    alpha, refit: As in `Wiener`.
    """

    deterministic = True
    n_frames: int = 10
    alpha: float | None = None
    refit: bool = True

    def behind(self, bin_s: float) -> Decoder:
        history_s = self.n_frames * bin_s
        return RowsWiener(self.seed, history_s, self.alpha, transform="none", refit=self.refit)


@dataclass
class LfpWiener(FeatureFronted):
    """Ridge regression on four local motor potentials in a row and the present band powers.

    alpha, refit: As in `Wiener`.
    """

    n_lmp = 4
    deterministic = True
    alpha: float | None = None
    refit: bool = True

    def behind(self, bin_s: float) -> Decoder:
        return RowsWiener(self.seed, bin_s, self.alpha, transform="none", refit=self.refit)


@dataclass
class ComponentsFronted(FeatureFronted):
    """Reads the leading principal components of the features.

    power_s: Shorter here, since what reads them smooths by itself.
    n_components: How many; a covariance of all features could not be known from minutes.
    """

    power_s: float = 0.1
    n_components: int = 150

    def learn_front(self, recordings: Sequence[Recording]) -> Front:
        return Components.of(super().learn_front(recordings), recordings, self.inputs[0], self.n_components)

    def front_of(self, arrays: Mapping[str, np.ndarray]) -> Front:
        return Components(super().front_of(arrays), arrays)


@dataclass
class LfpKalman(ComponentsFronted):
    """Kalman filter on the principal components of the features, its gain settled from the first bin on.

    Fields as in `Kalman`.
    """

    deterministic = True
    n_components: int = 250
    lead_s: float | None = None
    n_hidden: int | None = None
    noise: float | None = None
    refit: bool = True

    def behind(self, bin_s: float) -> Decoder:
        given = {"lead_s": self.lead_s, "n_hidden": self.n_hidden, "noise": self.noise, "refit": self.refit}
        return RowsKalman(self.seed, transform="none", steady_state=True, **given)
