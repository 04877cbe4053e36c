"""Simulated field potentials beside real ones: the numbers and the plot of docs/simulation.md.

Needs matplotlib (`pip install matplotlib`, or the extra `dev`) and the real recordings:

    python tools/simulated_lfp_against_real.py --realdata FOLDER --images docs/images
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.signal import butter, sosfiltfilt, welch
from simulated_lfp_levels import levels, recorded_uv

from harness.data.nwb_write import LFP_PATH
from harness.data.simulate import parse
from harness.data.simulate.behaviour import PAD_S, RATE_HZ
from harness.data.simulate.electrodes import distances_mm
from harness.data.simulate.lfp import simulate_lfp
from harness.data.simulate.session import lfp_source, simulate

ECOG_RATE_HZ, TRIAL_RATE_HZ, TRIAL_SAMPLES = 1000.0, 2000.0, 1600
GO_S = 0.4
SLOPES_HZ = ((5, 15), (10, 45), (30, 100), (65, 150))
LINES_HZ = (50, 60, 100, 120, 150, 180)
BANDS_HZ = {"13-30 Hz": (13, 30), "70-150 Hz": (70, 150)}
DISTANCES_MM = (0.4, 0.8, 1.6, 2.4, 3.2, 4.0)
STILL_M_PER_S, FAST_M_PER_S = 0.01, 0.1
COLOURS = {
    "macaque premotor": "#1b1b1b",
    "human ECoG": "#8a8a8a",
    "human STN": "#c0b8a8",
    "simulated": "#2f6fc8",
}


@dataclass(frozen=True, eq=False)
class Recording:
    """Pieces of equal length of a field potential.

    values_uv: (n_pieces, n_samples, n_channels).
    moving, still: (n_samples,) or (n_pieces, n_samples) bool.
    """

    values_uv: np.ndarray
    rate_hz: float
    moving: np.ndarray
    still: np.ndarray

    def spectrum(self) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies in Hz and the density in uV^2/Hz, (n_frequencies, n_channels), from windows of 0.4 s."""
        window = round(0.4 * self.rate_hz)
        frequency_hz, power = welch(self.values_uv, fs=self.rate_hz, nperseg=window, axis=1)
        return frequency_hz[1:], power[:, 1:].mean(axis=0)


def premotor(folder: Path) -> Recording:
    """403 trials of 0.8 s around the go cue, one channel; the hand moves some time after the cue."""
    with h5py.File(folder / "umi_premotor_lfp/umi_premotor_lfp.nwb") as file:
        trials = file[f"{LFP_PATH}/data"][:].reshape(-1, TRIAL_SAMPLES, 1).astype(float)
    time_s = np.arange(TRIAL_SAMPLES) / TRIAL_RATE_HZ - GO_S
    return Recording(trials, TRIAL_RATE_HZ, time_s > 0.05, time_s < -0.05)


def gripping(folder: Path) -> tuple[Recording, Recording]:
    """The contacts on sensorimotor cortex and those in the subthalamic nucleus; 19 s with three bouts of force."""
    with h5py.File(folder / "human_stn_ecog_gripforce/human_stn_ecog_gripforce.nwb") as file:
        values = file[f"{LFP_PATH}/data"][:].astype(float)[None]
        bouts_s = zip(file["intervals/trials/start_time"][:], file["intervals/trials/stop_time"][:], strict=True)
        time_s = np.arange(values.shape[1]) / ECOG_RATE_HZ
        moving = np.any([(time_s >= start) & (time_s < stop) for start, stop in bouts_s], axis=0)
    parts = (values[..., 3:], values[..., :3])
    cortex, nucleus = (Recording(part, ECOG_RATE_HZ, moving, ~moving) for part in parts)
    return cortex, nucleus


def simulated() -> Recording:
    """Subject 0, four minutes, healthy channels."""
    session = simulate(parse({"lfp": True}))
    lfp = simulate_lfp(lfp_source(session))
    worn = lfp.channels.dead | lfp.channels.noisy | lfp.channels.drifting
    values = recorded_uv(lfp)
    speed = np.linalg.norm(session.behaviour.velocity_m_per_s, axis=1)[round(PAD_S * RATE_HZ) :][: len(values)]
    values[:, worn] = np.nan
    return Recording(values[None], float(RATE_HZ), speed > FAST_M_PER_S, speed < STILL_M_PER_S)


def slopes(recording: Recording) -> list[float]:
    """Slope of log power on log frequency in each of `SLOPES_HZ`, lines left out; median over channels."""
    frequency_hz, power = recording.spectrum()
    line = np.min(np.abs(frequency_hz[:, None] - np.array(LINES_HZ)), axis=1) <= 4
    found = []
    for low_hz, high_hz in SLOPES_HZ:
        inside = (frequency_hz >= low_hz) & (frequency_hz <= high_hz) & ~line
        x = np.log(frequency_hz[inside])
        weights = (x - x.mean()) / np.sum((x - x.mean()) ** 2)
        found.append(float(np.nanmedian(weights @ np.log(power[inside]))))
    return found


def line_db(recording: Recording, line_hz: float) -> float:
    """Power at a line against that 5 to 10 Hz beside it, decibel; median over channels."""
    frequency_hz, power = recording.spectrum()
    away_hz = np.abs(frequency_hz - line_hz)
    beside = power[(away_hz >= 5) & (away_hz <= 10)]
    return float(np.nanmedian(10 * np.log10(power[np.argmin(away_hz)] / np.exp(np.log(beside).mean(axis=0)))))


def changes(recording: Recording) -> list[float]:
    """Log power in movement less that at rest, for each of `BANDS_HZ`; median over channels."""
    found = []
    for low_hz, high_hz in BANDS_HZ.values():
        sos = butter(3, (low_hz, high_hz), "band", fs=recording.rate_hz, output="sos")
        power = sosfiltfilt(sos, recording.values_uv, axis=1) ** 2
        moving, still = (power[:, when].mean(axis=(0, 1)) for when in (recording.moving, recording.still))
        found.append(float(np.nanmedian(np.log(moving / still))))
    return found


def correlations(recording: Recording) -> tuple[list[float], list[float]]:
    """Mean correlation of pairs at each of `DISTANCES_MM`, as recorded and after a common average reference."""
    values = recording.values_uv[0, ::5]
    rereferenced = values - np.nanmean(values, axis=1, keepdims=True)
    apart_mm = distances_mm()
    pairs = [np.abs(apart_mm - distance) < 0.01 for distance in DISTANCES_MM]
    found = [np.corrcoef(x.T) for x in (values, rereferenced)]
    raw, average = ([float(np.nanmean(matrix[pair])) for pair in pairs] for matrix in found)
    return raw, average


def plot(recordings: dict[str, Recording], folder: Path) -> None:
    """Write simulation-lfp.png: spectra, correlation over distance, and two seconds of some channels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (spectra, space, traces) = pyplot.subplots(1, 3, figsize=(15, 4), layout="constrained")
    for name, recording in recordings.items():
        frequency_hz, power = recording.spectrum()
        spectra.loglog(frequency_hz, np.nanmedian(power, axis=1), color=COLOURS[name], label=name, linewidth=1.6)
    spectra.set(xlim=(2, 400), ylim=(3e-3, 1e3), xlabel="frequency, Hz", title="Power density, uV^2/Hz")
    spectra.legend(fontsize=8)
    for values, label in zip(correlations(recordings["simulated"]), ("as recorded", "average reference"), strict=True):
        space.plot(DISTANCES_MM, values, "o-", label=label)
    space.axhline(0, color="#8a8a8a", linewidth=0.8)
    space.set(xlabel="distance, mm", ylim=(-0.5, 1), title="Simulated: correlation of pairs")
    space.legend(fontsize=8)
    _traces(traces, recordings["simulated"])
    for axis in (spectra, space, traces):
        axis.spines[["top", "right"]].set_visible(False)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "simulation-lfp.png", dpi=80)


def _traces(axis: object, recording: Recording) -> None:
    time_s = np.arange(20_000, 22_000) / RATE_HZ
    for i, channel in enumerate((0, 1, 40, 44, 95)):
        axis.plot(time_s, recording.values_uv[0, 20_000:22_000, channel] - 200 * i, linewidth=0.8, color="#2f6fc8")
    axis.set(xlabel="time, s", yticks=[], title="Simulated: electrodes 0, 1, 40, 44, 95 (200 uV apart)")


def table(recordings: dict[str, Recording]) -> None:
    """Print what docs/simulation.md compares."""
    for name, recording in recordings.items():
        print(f"{name}: SD {np.nanmedian(recording.values_uv.std(axis=(0, 1))):.0f} uV")
        print("  slopes in", SLOPES_HZ, _rounded(slopes(recording)))
        print("  log power, movement less rest, in", list(BANDS_HZ), _rounded(changes(recording)))
        print("  lines, dB at 50, 60, 120, 180 Hz", _rounded([line_db(recording, f) for f in (50, 60, 120, 180)]))
    raw, average = correlations(recordings["simulated"])
    print("correlation at", DISTANCES_MM, "mm:", _rounded(raw), "average reference:", _rounded(average))


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) for value in values]


def main() -> None:
    """Print the table and the levels, and write the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realdata", type=Path, required=True)
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    parser.add_argument(
        "--subjects", type=int, default=8, help="measure the levels on subjects 0, 1, ... up to so many"
    )
    options = parser.parse_args()
    cortex, nucleus = gripping(options.realdata)
    recordings = {"macaque premotor": premotor(options.realdata), "human ECoG": cortex, "human STN": nucleus}
    recordings["simulated"] = simulated()
    table(recordings)
    plot(recordings, options.images)
    found = [_printed(seed) for seed in range(options.subjects)]
    for name in found[0]:
        scores = np.array([of_subject[name] for of_subject in found])
        print(f"{name}: {scores.min():.2f} to {scores.max():.2f}, mean {scores.mean():.3f}")


def _printed(seed: int) -> dict[str, float]:
    scores = levels(seed)
    print(f"subject {seed}:", {name: round(score, 3) for name, score in scores.items()}, flush=True)
    return scores


if __name__ == "__main__":
    main()
