"""Simulated EEG beside a real recording: the numbers and the plot of docs/simulation.md.

Needs matplotlib (`pip install matplotlib`, or the extra `dev`) and the real recording, S001 of EEGMMIDB:

    python tools/simulated_eeg_against_real.py --realdata FOLDER --images docs/images
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from scipy.signal import butter, find_peaks, sosfiltfilt, welch
from simulated_eeg_levels import LEFT_OR_RIGHT, simulated_trials, spatial_patterns

from harness.data.simulate_eeg import Parameters
from harness.data.simulate_eeg.montage import CHANNELS, electrode_directions
from harness.data.simulate_eeg.noise import RATE_HZ
from harness.data.simulate_eeg.recording import simulate

FILE = "eegmmidb/sub-S001_task-motor_eeg.nwb"
RUNS = (4, 6, 8, 10, 12, 14)
PADDED_S = 124.4
"""The last half second of a real run is padded with zeros."""
PAIRS = (
    ("C3", "C1"),
    ("C3", "Cz"),
    ("C3", "C4"),
    ("C3", "P3"),
    ("C3", "O1"),
    ("C3", "Fp1"),
    ("T7", "T8"),
    ("Fz", "Oz"),
)
DENSITY_HZ = (1, 2, 5, 10, 20, 30, 50)
TRIAL_BANDS_HZ = {"8 to 13 Hz": (8, 13), "18 to 26 Hz": (18, 26)}
SIDES = {"left_fist": ("C4", "C3"), "right_fist": ("C3", "C4"), "both_fists": ("C3", "C4"), "both_feet": ("C3", "C4")}
"""Movement -> the electrodes over the opposite and the same side; for both sides, left and right."""
REAL_COLOUR, SIMULATED_COLOUR = "#1b1b1b", "#2f6fc8"


@dataclass(frozen=True, eq=False)
class Run:
    """One run: values_uv (n_samples, 64), and the movements with the seconds at which they were cued."""

    number: int
    values_uv: np.ndarray
    cues_s: np.ndarray
    labels: tuple[str, ...]


def real_runs(folder: Path) -> list[Run]:
    """The runs of imagery of the real recording."""
    with h5py.File(folder / FILE) as file:
        trials, spans = file["intervals/trials"], file["intervals/runs"]
        label, run, start_s = trials["label"].asstr()[:], trials["run"][:], trials["start_time"][:]
        found = []
        for number in RUNS:
            begin_s = spans["start_time"][:][spans["run"][:] == number][0]
            first = round(begin_s * RATE_HZ)
            values = file["acquisition/EEG/data"][first : first + round(PADDED_S * RATE_HZ)].astype(float)
            cued = (run == number) & (label != "rest")
            found.append(Run(number, values, start_s[cued] - begin_s, tuple(label[cued])))
    return found


def simulated_runs(seed: int) -> list[Run]:
    """All runs of one simulated subject, without bad electrodes."""
    runs = simulate(Parameters(subject_seed=seed, runs=RUNS, bad_electrodes=0))
    return [Run(r.plan.number, r.counts.astype(float), r.plan.cues_s, r.plan.labels) for r in runs]


def facts(runs: Sequence[Run]) -> dict[str, float]:
    """What the table compares, by name."""
    pooled = np.concatenate([run.values_uv - run.values_uv.mean(axis=0) for run in runs if run.number in LEFT_OR_RIGHT])
    return _sizes(pooled) | _space(pooled) | _blinks(pooled) | _imagery(runs)


def spectrum(values_uv: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and the density in uV^2/Hz, (n_frequencies, n_channels), from windows of 2 s."""
    frequency_hz, power = welch(values_uv, fs=RATE_HZ, nperseg=320, axis=0)
    return frequency_hz[1:], power[1:]


def banded(values_uv: np.ndarray, low_hz: float, high_hz: float) -> np.ndarray:
    """Band-pass, forwards and backwards."""
    return np.asarray(sosfiltfilt(butter(4, (low_hz, high_hz), "band", fs=RATE_HZ, output="sos"), values_uv, axis=0))


def rereferenced(values_uv: np.ndarray) -> np.ndarray:
    """Against the common average."""
    return values_uv - values_uv.mean(axis=1, keepdims=True)


def change(runs: Sequence[Run], band_hz: Sequence[float], label: str) -> np.ndarray:
    """(n_trials, 64) log power 0.5 to 3.5 s after the cue less that in the 2 s before it, average reference."""
    found = []
    for run in (r for r in runs if label in r.labels):
        power = banded(rereferenced(run.values_uv), *band_hz) ** 2
        for cue_s in (c for c, name in zip(run.cues_s, run.labels, strict=True) if name == label):
            after, before = ((cue_s + 0.5, cue_s + 3.5), (cue_s - 2.0, cue_s))
            spans = [power[round(a * RATE_HZ) : round(b * RATE_HZ)].mean(axis=0) for a, b in (after, before)]
            found.append(np.log(spans[0] / spans[1]))
    return np.array(found)


def _sizes(pooled: np.ndarray) -> dict[str, float]:
    frequency_hz, power = spectrum(pooled)
    density = {f"density at {f} Hz": float(np.median(power[np.argmin(np.abs(frequency_hz - f))])) for f in DENSITY_HZ}
    band = banded(pooled, 8, 30)
    line = power[np.argmin(np.abs(frequency_hz - 60))]
    beside = np.median(power[(np.abs(frequency_hz - 60) > 3) & (np.abs(frequency_hz - 60) < 6)], axis=0)
    return {
        "standard deviation, uV": float(np.median(pooled.std(axis=0))),
        "in 8 to 30 Hz": float(np.median(band.std(axis=0))),
        "in 8 to 30 Hz, average reference": float(np.median(rereferenced(band).std(axis=0))),
        **density,
        "line at 60 Hz, dB": float(np.median(10 * np.log10(line / beside))),
    }


def _space(pooled: np.ndarray) -> dict[str, float]:
    band = banded(pooled, 8, 30)
    kinds = {"raw": pooled, "8 to 30 Hz": band, "average reference": rereferenced(band)}
    found = {}
    for kind, values in kinds.items():
        alike = np.corrcoef(values.T)
        for a, b in PAIRS:
            found[f"{a}-{b}, {kind}"] = float(alike[CHANNELS.index(a), CHANNELS.index(b)])
        share = np.sort(np.linalg.eigvalsh(np.cov(values.T)))[::-1]
        for k in (1, 2, 3, 8, 20):
            found[f"eigenvalue {k}, {kind}"] = float(share[k - 1] / share.sum())
    return found


def _blinks(pooled: np.ndarray) -> dict[str, float]:
    wave = banded(pooled[:, [CHANNELS.index("Fpz")]], 1, 10)[:, 0]
    peaks, _ = find_peaks(wave, height=80, distance=48)
    return {"blinks per minute": len(peaks) / (len(wave) / RATE_HZ / 60), "blink, uV": float(np.median(wave[peaks]))}


def _imagery(runs: Sequence[Run]) -> dict[str, float]:
    found = {}
    for band, limits_hz in TRIAL_BANDS_HZ.items():
        for label, names in SIDES.items():
            moved = change(runs, limits_hz, label)
            for name, side in zip(
                names, ("opposite", "same") if label.endswith("_fist") else ("left", "right"), strict=True
            ):
                found[f"{label}, {side}, {band}"] = float(moved[:, CHANNELS.index(name)].mean())
            spread = moved[:, [CHANNELS.index("C3"), CHANNELS.index("C4")]].std(axis=0).mean()
            found[f"{label}, SD over trials, {band}"] = float(spread)
    return found


def table(real: Mapping[str, float], simulated: Sequence[Mapping[str, float]]) -> None:
    """Print each fact: the real recording, and the median, lowest and highest of the simulated subjects."""
    for name, value in real.items():
        others = np.array([of_subject[name] for of_subject in simulated])
        print(f"| {name} | {value:.3g} | {np.median(others):.3g} ({others.min():.3g} to {others.max():.3g}) |")


def plot(real: Sequence[Run], simulated: Sequence[Sequence[Run]], scores: np.ndarray, path: Path) -> None:
    """Write the figure: spectra, correlation over distance, traces, change with imagery, maps, and levels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(15, 8.5), layout="constrained")
    _plot_spectra(axes[0, 0], real, simulated)
    _plot_distance(axes[0, 1], real, simulated)
    _plot_traces(axes[0, 2], real[0], simulated[0][0])
    _plot_course(axes[1, 0], real, simulated)
    _plot_maps(axes[1, 1], real, simulated)
    axes[1, 2].hist(scores, np.arange(0.3, 1.01, 0.05), color=SIMULATED_COLOUR, edgecolor="white")
    axes[1, 2].axvline(0.5, color="#8a8a8a", linestyle="--")
    axes[1, 2].set(xlabel="balanced accuracy", title=f"Common spatial patterns, {len(scores)} simulated subjects")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)


def _plot_spectra(axis: object, real: Sequence[Run], simulated: Sequence[Sequence[Run]]) -> None:
    for runs, colour, width in [(real, REAL_COLOUR, 2.0), *((s, SIMULATED_COLOUR, 0.7) for s in simulated)]:
        frequency_hz, power = spectrum(np.concatenate([run.values_uv for run in runs]))
        for name, style in (("C3", "-"), ("O1", ":")):
            axis.loglog(frequency_hz, power[:, CHANNELS.index(name)], style, color=colour, linewidth=width)
    axis.set(xlabel="frequency, Hz", ylim=(0.03, 3e3), title="Density at C3 (line) and O1 (dots), uV^2/Hz; black: real")


def _plot_distance(axis: object, real: Sequence[Run], simulated: Sequence[Sequence[Run]]) -> None:
    apart_deg = np.degrees(np.arccos(np.clip(electrode_directions() @ electrode_directions().T, -1, 1)))
    edges_deg = np.arange(10, 171, 20)
    for runs, colour, width in [(real, REAL_COLOUR, 2.0), *((s, SIMULATED_COLOUR, 0.7) for s in simulated)]:
        band = banded(np.concatenate([run.values_uv for run in runs]), 8, 30)
        for values, style in ((band, "-"), (rereferenced(band), ":")):
            alike = np.corrcoef(values.T)
            means = [alike[(apart_deg >= e) & (apart_deg < e + 20)].mean() for e in edges_deg[:-1]]
            axis.plot(edges_deg[:-1] + 10, means, style, color=colour, linewidth=width)
    axis.axhline(0, color="#8a8a8a", linewidth=0.8)
    axis.set(xlabel="angle between electrodes, degrees", title="Correlation, 8 to 30 Hz; dots: average reference")


def _plot_traces(axis: object, real: Run, simulated: Run) -> None:
    span = slice(round(20 * RATE_HZ), round(25 * RATE_HZ))
    time_s = np.arange(span.start, span.stop) / RATE_HZ
    for run, colour, below in ((real, REAL_COLOUR, 0), (simulated, SIMULATED_COLOUR, 800)):
        for i, name in enumerate(("Fpz", "C3", "Cz", "C4", "O1")):
            values = run.values_uv[span, CHANNELS.index(name)]
            axis.plot(time_s, values - values.mean() - 150 * i - below, linewidth=0.8, color=colour)
    axis.set(xlabel="time, s", yticks=[], title="Fpz, C3, Cz, C4, O1, 150 uV apart: real, then simulated")


def _plot_course(axis: object, real: Sequence[Run], simulated: Sequence[Sequence[Run]]) -> None:
    """Log power of 8 to 13 Hz around the cue of fists, opposite (line) and same side (dots)."""
    for group, colour in (([real], REAL_COLOUR), (simulated, SIMULATED_COLOUR)):
        for k, style in ((0, "-"), (1, ":")):
            courses = [_course(runs, k) for runs in group]
            time_s = np.arange(-2.0, 6.0, 1 / RATE_HZ)
            axis.plot(time_s, np.mean(courses, axis=0), style, color=colour)
    axis.axvspan(0, 4.1, color="#eeeeee", zorder=0)
    axis.set(xlabel="seconds after the cue", title="One fist, 8 to 13 Hz log power: opposite (line), same side (dots)")


def _course(runs: Sequence[Run], k: int) -> np.ndarray:
    """(n_times,) from 2 s before the cue to 6 s after it; k: 0 opposite side, 1 same side."""
    rows = []
    for run in (r for r in runs if r.number in LEFT_OR_RIGHT):
        power = banded(rereferenced(run.values_uv), 8, 13) ** 2
        smooth = np.apply_along_axis(np.convolve, 0, power, np.ones(80) / 80, "same")
        for cue_s, label in zip(run.cues_s[:-1], run.labels[:-1], strict=True):
            first = round((cue_s - 2) * RATE_HZ)
            rows.append(smooth[first : first + round(8 * RATE_HZ), CHANNELS.index(SIDES[label][k])])
    mean = np.log(np.mean(rows, axis=0))
    return np.asarray(mean - mean[80:240].mean())


def _plot_maps(axis: object, real: Sequence[Run], simulated: Sequence[Sequence[Run]]) -> None:
    """Where the log power of 8 to 13 Hz differs: left fist less right fist, both fists less both feet."""
    flat = electrode_directions()
    x, y = (flat[:, :2] / np.sqrt(np.maximum(1 + flat[:, 2:], 0.2))).T
    for column, runs in enumerate((real, *simulated[:2])):
        for row, (a, b) in enumerate((("left_fist", "right_fist"), ("both_fists", "both_feet"))):
            contrast = change(runs, (8, 13), a).mean(axis=0) - change(runs, (8, 13), b).mean(axis=0)
            axis.scatter(x + 3 * column, y - 3 * row, c=contrast, cmap="RdBu_r", vmin=-0.8, vmax=0.8, s=26)
    axis.set(xticks=[0, 3, 6], xticklabels=["real", "simulated 0", "simulated 1"], yticks=[])
    axis.set(title="8 to 13 Hz: left less right fist; fists less feet (red +0.8)", aspect="equal")


def main() -> None:
    """Print the table, and write the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realdata", type=Path, required=True)
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    parser.add_argument(
        "--subjects", type=int, default=8, help="simulated subjects 0, 1, ... in the table and the plot"
    )
    parser.add_argument("--levels", type=int, default=24, help="simulated subjects in the histogram")
    options = parser.parse_args()
    real, simulated = real_runs(options.realdata), [simulated_runs(seed) for seed in range(options.subjects)]
    table(facts(real), [facts(runs) for runs in simulated])
    scores = np.array([spatial_patterns(simulated_trials(Parameters(subject_seed=s))) for s in range(options.levels)])
    print(f"common spatial patterns: mean {scores.mean():.3f}, SD {scores.std():.3f}, {np.sort(scores).round(2)}")
    plot(real, simulated, scores, options.images / "simulation-eeg.png")


if __name__ == "__main__":
    main()
