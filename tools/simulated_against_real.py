"""Simulated sessions beside real ones: the numbers and the plots of docs/simulation.md.

Needs matplotlib (`pip install matplotlib`, or the extra `dev`) and the real recordings:

    python tools/simulated_against_real.py --realdata FOLDER --images docs/images
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from harness.data.nwb import read_contents
from harness.data.protocol import Layout, SpikesAt, TargetAt
from harness.data.simulate import parse
from harness.data.simulate.session import simulate
from harness.data.simulate.truth import binned_velocity

COUNTS_PATH = "processing/ecephys/binned_spike_counts"
REAL = {
    "Stevenson": ("stevenson2011_m1_centerout/stevenson2011_m1_centerout.nwb", "hand_velocity"),
    "Jango": ("miller_jango_20141203_wrist/miller_jango_20141203.nwb", "cursor_velocity"),
}
SIMULATED = {
    "simulated centre-out": {"task": "centre-out", "n_units": 196, "minutes": 13, "subject_seed": 1},
    "simulated random-target": {"task": "random-target", "n_units": 96, "minutes": 13, "subject_seed": 2},
}
COLOURS = {
    "Stevenson": "#1b1b1b",
    "Jango": "#8a8a8a",
    "simulated centre-out": "#c8442f",
    "simulated random-target": "#2f6fc8",
}
BIN_S = 0.05
LAGS_S = np.arange(1, 41) * BIN_S
HISTORY_BINS = (1, 2, 4, 6, 10)
SHIFTS = np.arange(-4, 9)
PENALTIES = 10.0 ** np.arange(1, 6)


@dataclass(frozen=True, eq=False)
class Session:
    """counts (n_bins, n_units) and velocity (n_bins, 2), in bins of 50 ms."""

    counts: np.ndarray
    velocity: np.ndarray

    @property
    def live(self) -> np.ndarray:
        """Counts of the units that fire at 0.5 Hz or more."""
        return self.counts[:, self.counts.mean(axis=0) / BIN_S >= 0.5]


def real_session(path: Path, velocity: str) -> Session:
    """Read a binned recording through the harness's own reader."""
    target = TargetAt(path=f"processing/behavior/{velocity}", outputs=("x", "y"))
    layout = Layout(spikes=SpikesAt(counts=COUNTS_PATH), targets={"velocity": target})
    contents = read_contents(path, layout, "velocity")
    return Session(contents.counts.values.astype(float), contents.target.values.astype(float))


def simulated_session(given: dict[str, object], *, bin_s: float = BIN_S) -> Session:
    """Simulate and count in bins of `bin_s`."""
    parameters = parse(given)
    simulated = simulate(parameters)
    n_bins = int(parameters.duration_s / bin_s)
    edges = np.arange(n_bins + 1) * round(bin_s * 30_000)
    ticks = [np.rint(t * 30_000).astype(int) for t in simulated.spikes_s]
    counts = np.column_stack([np.histogram(t, edges)[0] for t in ticks]).astype(float)
    fine = binned_velocity(simulated.behaviour, parameters.n_bins)  # 20 ms
    mean_of = np.cumsum(np.vstack([np.zeros((1, 2)), fine]), axis=0) * 0.02
    position = np.column_stack(
        [np.interp(np.arange(n_bins + 1) * bin_s, np.arange(len(mean_of)) * 0.02, axis) for axis in mean_of.T]
    )
    return Session(counts, np.diff(position, axis=0) / bin_s)


def autocorrelation(values: np.ndarray, n_lags: int) -> np.ndarray:
    """(n_lags, n_columns) at lags of 1, 2, ... bins."""
    centred = values - values.mean(axis=0)
    power = np.mean(centred**2, axis=0)
    lagged = [np.mean(centred[k:] * centred[:-k], axis=0) for k in range(1, n_lags + 1)]
    return np.array(lagged) / power


def fano(counts: np.ndarray) -> np.ndarray:
    """Variance over mean of each unit's counts."""
    return counts.var(axis=0) / counts.mean(axis=0)


def spectrum(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in Hz and the speed's power density, scaled to unit variance."""
    from scipy.signal import welch

    speed = np.linalg.norm(session.velocity, axis=1)
    frequency_hz, power = welch(speed / speed.std(), fs=1 / BIN_S, nperseg=256)
    return frequency_hz[1:], power[1:]


def encoding(session: Session) -> np.ndarray:
    """(n_shifts,) mean R2 of counts from velocity and speed that come `SHIFTS` bins later."""
    speed = np.linalg.norm(session.velocity, axis=1, keepdims=True)
    behaviour = np.hstack([session.velocity, speed, np.ones_like(speed)])
    total = np.sum((session.live - session.live.mean(axis=0)) ** 2, axis=0)
    scores = []
    for shift in SHIFTS:
        later = np.roll(behaviour, -shift, axis=0)
        residual = session.live - later @ np.linalg.lstsq(later, session.live, rcond=None)[0]
        scores.append(np.mean(1 - np.sum(residual**2, axis=0) / total))
    return np.array(scores)


@cache
def ridge_r2(session: Session, n_history: int) -> float:
    """Velocity R2 of the last fifth by a ridge on square-root counts, its penalty chosen in the training part."""
    x, y = _history(np.sqrt(session.counts), n_history), session.velocity
    n = int(0.8 * len(x))
    x = np.hstack([(x - x[:n].mean(axis=0)) / (x[:n].std(axis=0) + 1e-6), np.ones((len(x), 1))])
    m = int(0.85 * n)
    early = (x[:m].T @ x[:m], x[:m].T @ y[:m])
    penalty = max(PENALTIES, key=lambda p: _r2(y[m:n], x[m:n] @ _solve(*early, p)))
    weights = _solve(x[:n].T @ x[:n], x[:n].T @ y[:n], penalty)
    return _r2(y[n:], x[n:] @ weights)


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    return np.linalg.solve(gram + penalty * np.eye(len(gram)), cross)


def _r2(truth: np.ndarray, estimate: np.ndarray) -> float:
    total = np.sum((truth - truth.mean(axis=0)) ** 2, axis=0)
    return float(np.mean(1 - np.sum((truth - estimate) ** 2, axis=0) / total))


def _history(values: np.ndarray, n_history: int) -> np.ndarray:
    padded = np.vstack([np.zeros((n_history - 1, values.shape[1])), values])
    return np.hstack([padded[n_history - 1 - k : len(padded) - k] for k in range(n_history)])


def rows() -> Iterator[tuple[str, Callable[[Session], object]]]:
    """Name and measure of each line of the table in docs/simulation.md."""
    five = [5, 25, 50, 75, 95]
    yield "mean rate, Hz, percentiles 5 25 50 75 95", lambda s: np.percentile(s.counts.mean(axis=0) / BIN_S, five)
    yield "Fano factor, 50 ms, same percentiles", lambda s: np.percentile(fano(s.live), five)
    yield "Fano factor, 1 s, same percentiles", lambda s: np.percentile(fano(_summed(s.live, 20)), five)
    lags = [0, 3, 9, 19]
    yield (
        "count autocorrelation at 0.05 0.2 0.5 1.0 s, median unit",
        lambda s: np.median(autocorrelation(s.live, 20), axis=1)[lags],
    )
    yield (
        "the same, 90th percentile of units",
        lambda s: np.percentile(autocorrelation(s.live, 20), 90, axis=1)[lags],
    )
    yield "pairwise count correlation, percentiles 5 50 95", lambda s: np.percentile(_pairs(s.live), [5, 50, 95])
    yield (
        "velocity autocorrelation at 0.05 0.2 0.5 1.0 s",
        lambda s: autocorrelation(s.velocity, 20).mean(axis=1)[lags],
    )
    yield (
        "speed autocorrelation at 0.05 0.2 0.5 1.0 s",
        lambda s: autocorrelation(np.linalg.norm(s.velocity, axis=1, keepdims=True), 20)[lags, 0],
    )
    yield "velocity follows spikes by, s, where encoding is best", lambda s: SHIFTS[np.argmax(encoding(s))] * BIN_S
    yield "mean encoding R2 there", lambda s: encoding(s).max()
    yield f"ridge R2, history of {HISTORY_BINS} bins", lambda s: [ridge_r2(s, n) for n in HISTORY_BINS]


def _summed(counts: np.ndarray, n_bins: int) -> np.ndarray:
    n = len(counts) // n_bins
    return counts[: n * n_bins].reshape(n, n_bins, -1).sum(axis=1)


def _pairs(counts: np.ndarray) -> np.ndarray:
    matrix = np.corrcoef(counts.T)
    return matrix[np.triu_indices(len(matrix), 1)]


def plot(sessions: dict[str, Session], folder: Path) -> None:
    """Write simulation-spikes.png and simulation-behaviour.png."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    spikes, axes = pyplot.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    behaviour, others = pyplot.subplots(1, 4, figsize=(15, 3.6), layout="constrained")
    for name, session in sessions.items():
        style = {"color": COLOURS[name], "label": name, "linewidth": 1.6}
        _cumulative(axes[0], session.counts.mean(axis=0) / BIN_S, style)
        _cumulative(axes[1], fano(session.live), style)
        axes[2].plot(LAGS_S, np.median(autocorrelation(session.live, len(LAGS_S)), axis=1), **style)
        axes[3].plot(SHIFTS * BIN_S, encoding(session), **style)
        speed = np.linalg.norm(session.velocity, axis=1, keepdims=True)
        others[0].loglog(*spectrum(session), **style)
        others[1].plot(LAGS_S, autocorrelation(speed, len(LAGS_S)), **style)
        others[2].plot(LAGS_S, autocorrelation(session.velocity, len(LAGS_S)).mean(axis=1), **style)
        others[3].plot(np.array(HISTORY_BINS) * BIN_S, [ridge_r2(session, n) for n in HISTORY_BINS], **style)
    _label(axes, ["mean rate, Hz", "Fano factor of 50 ms counts", "lag, s", "velocity later than spikes by, s"])
    for axis, title in zip(
        axes,
        ["Rates (share of units)", "Fano factors (share of units)", "Count autocorrelation, median", "Encoding R2"],
        strict=True,
    ):
        axis.set_title(title)
    axes[0].set_xscale("symlog", linthresh=1.0)
    axes[1].set_xlim(0.3, 3)
    _label(others, ["frequency, Hz", "lag, s", "lag, s", "history, s"])
    for axis, title in zip(
        others,
        ["Speed spectrum", "Speed autocorrelation", "Velocity autocorrelation", "Ridge velocity R2"],
        strict=True,
    ):
        axis.set_title(title)
    folder.mkdir(parents=True, exist_ok=True)
    axes[0].legend(fontsize=7, loc="upper left")
    others[2].legend(fontsize=8)
    spikes.savefig(folder / "simulation-spikes.png", dpi=80)
    behaviour.savefig(folder / "simulation-behaviour.png", dpi=80)


def _cumulative(axis: object, values: np.ndarray, style: dict[str, object]) -> None:
    axis.step(np.sort(values), np.arange(1, len(values) + 1) / len(values), **style)


def _label(axes: Sequence[object], labels: Sequence[str]) -> None:
    for axis, label in zip(axes, labels, strict=True):
        axis.set_xlabel(label)
        axis.spines[["top", "right"]].set_visible(False)


def levels(minutes: float, n_subjects: int) -> np.ndarray:
    """Ridge R2 with 12 bins of 20 ms, one session each of several subjects."""
    given = ({"subject_seed": seed, "minutes": minutes} for seed in range(n_subjects))
    return np.array([ridge_r2(simulated_session(g, bin_s=0.02), 12) for g in given])


def main() -> None:
    """Print the table and write the plots."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--realdata", type=Path, required=True)
    parser.add_argument("--images", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    sessions = {name: real_session(options.realdata / path, v) for name, (path, v) in REAL.items()}
    sessions |= {name: simulated_session(given) for name, given in SIMULATED.items()}
    for name, measure in rows():
        print(name)
        for session_name, session in sessions.items():
            print(f"  {session_name:24s} {np.array2string(np.atleast_1d(measure(session)), precision=3)}")
    plot(sessions, options.images)
    for minutes in (4, 10):
        found = levels(minutes, 8)
        print(f"ridge R2, 20 ms, 12 bins, 96 units, {minutes} min: {np.sort(found).round(2)} mean {found.mean():.3f}")


if __name__ == "__main__":
    main()
