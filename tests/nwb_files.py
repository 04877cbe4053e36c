"""Small NWB files in the layouts of the public data sets, and what is in them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from harness.data.protocol import Layout
from harness.data.split_rules import TrialSplit, Window
from harness.data.suites import File, Session, Suite, load_suite

TEXT = h5py.string_dtype("utf-8")


@dataclass(frozen=True)
class Truth:
    """What was written: spike times per unit, the behaviour in its unit, its times, the trials."""

    path: Path
    spikes: list[np.ndarray]
    values: np.ndarray
    times_s: np.ndarray
    trials: Mapping[str, np.ndarray] = field(default_factory=dict)


def put_units(
    file: h5py.File, spikes: Sequence[np.ndarray], *, intervals_s: Sequence[tuple[float, float]] = (), **options: object
) -> None:
    """A Units table; every unit was observed in the same intervals."""
    units = file.create_group("units")
    n = len(spikes)
    units["id"] = np.arange(n)
    units.create_dataset("spike_times", data=np.concatenate([*spikes, np.empty(0)]), **options)
    units.create_dataset("spike_times_index", data=np.cumsum([len(s) for s in spikes]).astype(np.uint32), **options)
    if intervals_s:
        units["obs_intervals"] = np.tile(np.array(intervals_s, float), (n, 1))
        units["obs_intervals_index"] = (np.arange(n) + 1).astype(np.uint16) * np.uint16(len(intervals_s))


def put_electrodes(file: h5py.File, locations: Sequence[str]) -> None:
    """An electrode table, and one electrode per unit."""
    file.create_dataset("general/extracellular_ephys/electrodes/location", data=list(locations), dtype=TEXT)
    file["units/electrodes"] = np.arange(len(locations))
    file["units/electrodes_index"] = np.arange(1, len(locations) + 1).astype(np.uint8)


def put_series(
    file: h5py.File,
    where: str,
    values: np.ndarray,
    *,
    rate_hz: float | None = None,
    start_s: float = 0.0,
    times_s: np.ndarray | None = None,
    conversion: float = 1.0,
    offset: float = 0.0,
    unit: str = "mm",
    **options: object,
) -> None:
    """A TimeSeries with a rate or with timestamps."""
    group = file.create_group(where)
    data = group.create_dataset("data", data=values, **options)
    # Fixed-length text lies in the object header; variable-length text would lie in a heap without a checksum.
    data.attrs.update({"conversion": conversion, "offset": offset, "unit": np.bytes_(unit)})
    if rate_hz is not None:
        group.create_dataset("starting_time", data=start_s).attrs["rate"] = rate_hz
    if times_s is not None:
        group.create_dataset("timestamps", data=times_s, **options)


def put_trials(file: h5py.File, columns: Mapping[str, object]) -> None:
    """A table of trials; a list of arrays is a ragged column."""
    group = file.create_group("intervals/trials")
    group["id"] = np.arange(len(columns["start_time"]))
    for name, values in columns.items():
        if isinstance(values, list) and isinstance(values[0], np.ndarray):
            group[name] = np.concatenate(values)
            group[f"{name}_index"] = np.cumsum([len(v) for v in values]).astype(np.uint16)
        elif isinstance(values, list):
            group.create_dataset(name, data=values, dtype=TEXT)
        else:
            group[name] = values


def poisson(rng: np.random.Generator, stretches: Sequence[tuple[float, float]], *, n_units: int) -> list[np.ndarray]:
    """Spike times on a 30 kHz clock at some 20 Hz; the last unit is silent."""
    trains = []
    for _ in range(n_units - 1):
        pieces = [rng.integers(a * 30_000, b * 30_000, size=round(20 * (b - a))) for a, b in stretches]
        trains.append(np.sort(np.concatenate(pieces)) / 30_000)
    return [*trains, np.empty(0)]


def path_of(times_s: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n_samples, 2) a smooth movement, millimetres."""
    phases = rng.uniform(0, 6, size=2)
    return 40 * np.sin(np.outer(times_s, [1.3, 0.9]) + phases)


def mc_rtt(path: Path, *, seed: int = 0) -> Truth:
    """Two long stretches, 600 ms trials side by side, 1 kHz positions with timestamps that leap over the break."""
    rng = np.random.default_rng(seed)
    stretches = [(0.0, 30.0), (40.0, 60.0)]
    times_s = np.concatenate([np.arange(0, 30_000), np.arange(40_000, 60_000)]) / 1000
    starts = np.concatenate([np.arange(0, 30, 0.6), np.arange(40, 59.9, 0.6)])
    names = rng.choice(["train", "train", "train", "val", "none"], size=len(starts)).tolist()
    trials = {"start_time": starts, "stop_time": starts + 0.6, "split": names}
    spikes, values = poisson(rng, stretches, n_units=6), path_of(times_s, rng)
    with h5py.File(path, "w") as file:
        file["identifier"] = "rtt"
        put_units(file, spikes, intervals_s=stretches)
        put_electrodes(file, ["M1"] * 6)
        put_series(file, "processing/behavior/cursor_pos", values, times_s=times_s)
        put_trials(file, trials)
    return Truth(path, spikes, values, times_s, trials)


def mc_maze(path: Path, *, seed: int = 1, n_trials: int = 20) -> Truth:
    """Trials with gaps between them: nothing was observed there."""
    rng = np.random.default_rng(seed)
    starts = 3.0 * np.arange(n_trials) + 0.5
    stretches = [(float(a), float(a) + 2.0) for a in starts]
    times_s = np.concatenate([round(1000 * a) + np.arange(2000) for a, _ in stretches]) / 1000
    names = ["val" if i % 4 == 3 else "train" for i in range(n_trials)]
    trials = {"start_time": starts, "stop_time": starts + 2, "move_onset_time": starts + 1.2, "split": names}
    spikes, values = poisson(rng, stretches, n_units=5), path_of(times_s, rng)
    with h5py.File(path, "w") as file:
        put_units(file, spikes, intervals_s=stretches)
        put_electrodes(file, ["M1", "M1", "PMd", "PMd", "PMd"])
        put_series(file, "processing/behavior/hand_pos", values, times_s=times_s)
        put_trials(file, trials)
    return Truth(path, spikes, values, times_s, trials)


def perich(path: Path, *, task: str = "CO", seed: int = 2, n_trials: int = 40) -> Truth:
    """One long stretch at 100 Hz, waveforms, go cues as a column or as a matrix (RT)."""
    rng = np.random.default_rng(seed)
    starts = 4.0 * np.arange(n_trials) + 1
    times_s = np.arange(100, 100 * (4 * n_trials + 2)) / 100
    result = ["F" if i % 7 == 5 else "R" for i in range(n_trials)]
    trials: dict[str, object] = {"start_time": starts, "stop_time": starts + 3, "result": result}
    cues = starts + 0.7
    cues[3] = np.nan
    if task == "CO":
        trials |= {"go_cue_time": cues, "target_dir": rng.uniform(0, 6, n_trials)}
    else:
        trials["go_cue_time_array"] = np.column_stack([cues, cues + 0.5, np.full(n_trials, np.nan)])
    spikes = poisson(rng, [(1.0, 4 * n_trials + 1.0)], n_units=5)
    values = path_of(times_s, rng) / 10
    with h5py.File(path, "w") as file:
        put_units(file, spikes)
        file["units/waveforms"] = np.zeros((100, 1), np.int16)
        put_electrodes(file, ["M1"] * 5)
        put_series(file, "processing/behavior/Position/cursor_pos", values, times_s=times_s, unit="cm")
        put_trials(file, trials)
    return Truth(path, spikes, values, times_s, trials)


def falcon_m1(path: Path, *, seed: int = 3) -> Truth:
    """Sixteen muscles, each its own series at 50 Hz, and a mask of what is to be scored."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(1, 2001) / 50
    values = np.abs(rng.normal(size=(2000, 16)))
    mask = (np.arange(2000) // 100) % 2 == 0
    spikes = poisson(rng, [(0.0, 40.0)], n_units=4)
    with h5py.File(path, "w") as file:
        put_units(file, spikes, intervals_s=[(0.0, 40.0)])
        for name, muscle in zip(falcon_layout("falcon-m1").targets["emg"].outputs, values.T, strict=True):
            put_series(file, f"acquisition/preprocessed_emg/{name}", muscle, times_s=times_s, unit="V")
        put_series(file, "acquisition/eval_mask", mask, times_s=times_s, unit="")
    return Truth(path, spikes, np.where(mask[:, None], values, np.nan), times_s)


def falcon_m2(path: Path, *, seed: int = 4) -> Truth:
    """Two finger groups, each its own series at 50 Hz."""
    rng = np.random.default_rng(seed)
    times_s = np.arange(1, 2001) / 50
    values = rng.normal(size=(2000, 2))
    spikes = poisson(rng, [(0.0, 40.0)], n_units=4)
    with h5py.File(path, "w") as file:
        put_units(file, spikes, intervals_s=[(0.0, 40.02)])
        for name, finger in zip(("index", "mrs"), values.T, strict=True):
            put_series(file, f"acquisition/finger_vel/{name}", finger, times_s=times_s, unit="AU")
        put_series(file, "acquisition/eval_mask", np.ones(2000, bool), times_s=times_s, unit="")
    return Truth(path, spikes, values, times_s)


def falcon_h1(path: Path, *, seed: int = 5) -> Truth:
    """Seven degrees of freedom; the period stands where the rate belongs, and the first time in `offset`."""
    rng = np.random.default_rng(seed)
    times_s = 3.0 + np.arange(2000) / 50
    values = rng.normal(size=(2000, 7))
    spikes = poisson(rng, [(3.0, 43.0)], n_units=4)
    where = "acquisition/OpenLoopKinematicsVelocity"
    with h5py.File(path, "w") as file:
        put_units(file, spikes)
        put_series(file, where, values, rate_hz=0.02, offset=3.0, unit="arbitrary")
        put_series(file, "acquisition/eval_mask", np.ones(2000, bool), rate_hz=0.02, offset=3.0, unit="")
    return Truth(path, spikes, values, times_s)


def falcon_layout(name: str) -> Layout:
    """A layout of the shipped suite."""
    return load_suite("primate-reaching").layouts[name]


def suite_for(group: str) -> tuple[Suite, Session]:
    """The shipped suite, narrowed to the task of the first session of a group, and that session."""
    for suite in load_suite("primate-reaching").variants():
        for session in suite.sessions:
            if session.group == group:
                return suite, session
    raise LookupError(group)


def session(**changes: object) -> Session:
    """A local session for tests that need none in particular."""
    given: dict[str, object] = {
        "id": "s",
        "subject": "A",
        "group": "g",
        "layout": "l",
        "split": "x",
        "tiers": ("local",),
    }
    return Session(**(given | {"source": File(host="file", path="s.nwb")} | changes))


def trial_rule(**changes: object) -> TrialSplit:
    """A trial split over whole trials in time order."""
    return TrialSplit(**({"kind": "trials", "window": Window(), "context_s": 0.0} | changes))
