"""Small broadband recordings in the layout of O'Doherty's NWB 1.0.6 files, and the labels that belong to them."""

from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from tests import mat_files

RATE_HZ = 24414.0625
VOLTS_PER_STEP = 3.05185e-07
PLACE = "acquisition/timeseries/broadband"


@dataclass
class Raw:
    """What a broadband file holds.

    values: (n_samples, n_channels) as stored.
    times_s: (n_samples,).
    names: One per channel; None leaves them out of the file.
    """

    values: np.ndarray
    times_s: np.ndarray
    names: list[str] | None
    conversion: float | None = VOLTS_PER_STEP
    chunks: tuple[int, int] | None = None
    further: dict[str, np.ndarray] = field(default_factory=dict)

    def write(self, path: Path) -> Path:
        with h5py.File(path, "w") as file:
            file["nwb_version"] = np.bytes_("NWB-1.0.6")
            group = file.create_group(PLACE)
            group.attrs["neurodata_type"] = np.bytes_("TimeSeries")
            data = group.create_dataset("data", data=self.values, chunks=self.chunks)
            data.attrs["unit"] = np.bytes_("Volt")
            if self.conversion is not None:
                data.attrs["conversion"] = self.conversion
            group.create_dataset("timestamps", data=self.times_s)
            if self.names is not None:
                group.create_dataset("electrode_names", data=np.array(self.names, "S8"))
        return path

    @property
    def volts(self) -> np.ndarray:
        """(n_samples, n_channels) float64."""
        return self.values * (self.conversion or 1.0)


def raw(*, n_samples: int = 40_000, n_channels: int = 3, dtype: str = "int16", start_s: float = 9.0) -> Raw:
    """Slow waves of some hundred microvolts on an offset of a millivolt or less, in noise."""
    rng = np.random.default_rng(3)
    times_s = start_s + np.arange(n_samples) / RATE_HZ
    waves = 1e-4 * np.sin(2 * np.pi * rng.uniform(3, 30, n_channels) * times_s[:, None])
    volts = waves + rng.uniform(-1e-3, 1e-3, n_channels) + 2e-5 * rng.standard_normal((n_samples, n_channels))
    steps = np.rint(volts / VOLTS_PER_STEP)
    return Raw(steps.astype(dtype), times_s, [f"M1 {i + 1:03d}" for i in range(n_channels)])


def sine(frequency_hz: float, *, n_samples: int, start_s: float = 9.0) -> Raw:
    """One channel of a sine of 1 mV, so finely stored that rounding does not matter."""
    times_s = start_s + np.arange(n_samples) / RATE_HZ
    volts = 1e-3 * np.sin(2 * np.pi * frequency_hz * (times_s - start_s))
    return Raw(volts[:, None], times_s, ["M1 001"], conversion=1.0)


def labels(*, n_channels: int = 3, start_s: float = 9.05, n_samples: int = 150) -> mat_files.Recording:
    """Behaviour and spikes that begin shortly after the voltage."""
    return mat_files.recording(seed=1, n_channels=n_channels, n_units=3, start_s=start_s, n_samples=n_samples)
