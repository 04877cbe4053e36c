"""Peak memory of sessions that are four times as long: raw broadband, its preparation, the judge's stream.

    pytest tests/perf/test_memory.py -s

96 channels of noise, written in chunks, each job in a process of its own. What is told is the most memory above what
the process has when its libraries are imported: VmHWM, or, where a kept session is mapped, the memory that no file can
give back (RssAnon), since mapped pages are the system's to take. Target: of a session four times as long, memory grows
by at most a twentieth of what its data grow by; what does grow is a few numbers per bin, and the behaviour.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests import broadband_files as broadband
from tests import nwb_files as files
from tests.perf.rows import keep

CHILD, ROOT = Path(__file__).with_name("memory_child.py"), Path(__file__).parents[2]
N_CHANNELS, CHUNK = 96, 4096
TIMES, MOST = 4, 0.05
CURSOR = "processing/behavior/cursor_pos"
SUITE = """
name: long
version: 1
title: A long session
task:
  inputs: [slow, wide]
  target: velocity
  bin_s: 0.01
  signals:
    slow: {signal: v, samples_per_bin: 1, reference: average, low_pass: {order: 4, hz: 45}}
    wide: {signal: v, samples_per_bin: 10}
metrics: [r2]
decoders: []
layouts:
  l:
    signals: {v: {path: acquisition/v}}
    targets: {velocity: {path: processing/behavior/cursor_pos, outputs: [x, y], derive: difference}}
splits: {x: {kind: time, fractions: [0.05, 0.05, 0.9]}}
sessions: [{id: s, subject: A, group: g, layout: l, split: x, tiers: [local], source: {host: file, path: session.nwb}}]
"""


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(-3000, 3000, (CHUNK, N_CHANNELS), dtype=np.int16)


def put_noise(file: h5py.File, where: str, n_samples: int) -> h5py.Dataset:
    """(n_samples, 96) int16, one block again and again."""
    data = file.create_dataset(f"{where}/data", (n_samples, N_CHANNELS), np.int16, chunks=(CHUNK, N_CHANNELS))
    block = noise()
    for start in range(0, n_samples, CHUNK):
        data[start : start + CHUNK] = block[: n_samples - start]
    return data


def write_raw(folder: Path, seconds: float) -> None:
    """A raw recording of 24.4 kHz and the labels that belong to it."""
    n_samples = round(seconds * broadband.RATE_HZ)
    broadband.labels(start_s=0.05, n_samples=round(250 * (seconds - 1))).write(folder / "labels.mat")
    with h5py.File(folder / "raw.nwb", "w") as file:
        file["nwb_version"] = np.bytes_("NWB-1.0.6")
        data = put_noise(file, broadband.PLACE, n_samples)
        data.attrs["conversion"] = broadband.VOLTS_PER_STEP
        times = file.create_dataset(f"{broadband.PLACE}/timestamps", (n_samples,), np.float64)
        for start in range(0, n_samples, 1 << 20):
            stop = min(start + (1 << 20), n_samples)
            times[start:stop] = np.arange(start, stop) / broadband.RATE_HZ
        file[f"{broadband.PLACE}/electrode_names"] = np.array([f"M1 {i + 1:03d}" for i in range(N_CHANNELS)], "S8")


def write_session(folder: Path, seconds: float, rate_hz: float) -> None:
    """A session of one signal and a behaviour of 250 Hz."""
    rng = np.random.default_rng(1)
    times_s = np.arange(round(250 * seconds)) / 250
    with h5py.File(folder / "session.nwb", "w") as file:
        data = put_noise(file, "acquisition/v", round(seconds * rate_hz))
        data.attrs.update({"conversion": 1e-7, "offset": 0.0, "unit": np.bytes_("volts")})
        file.create_dataset("acquisition/v/starting_time", data=0.0).attrs["rate"] = rate_hz
        files.put_series(file, CURSOR, files.path_of(times_s, rng), rate_hz=250)
    (folder / "suite.yaml").write_text(SUITE)


def write(folder: Path, what: str, seconds: float) -> None:
    folder.mkdir()
    if what == "pack":
        write_raw(folder, seconds)
    else:
        write_session(folder, seconds, broadband.RATE_HZ if what == "prepare fast" else 1000.0)


def run(folder: Path, what: str) -> dict[str, float]:
    command = [sys.executable, str(CHILD), what.split()[0], str(folder)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


CASES = {
    "pack": ("raw broadband of 24.4 kHz to a small file", 30.0, "VmHWM"),
    "prepare": ("a session of 1 kHz into the prepared cache", 400.0, "VmHWM"),
    "prepare fast": ("a session of 24.4 kHz into the prepared cache", 30.0, "VmHWM"),
    "stream": ("a kept session of 1 kHz through the judge's stream", 400.0, "RssAnon"),
}


@pytest.mark.parametrize("what", CASES)
def test_a_session_four_times_as_long_takes_hardly_more_memory(what, tmp_path, benchmark):
    title, seconds, measure = CASES[what]
    found, size_mb = {}, {}
    for factor in (1, TIMES):
        folder = tmp_path / f"{factor}"
        write(folder, what, factor * seconds)
        if what == "stream":
            run(folder, "prepare")
        found[factor] = run(folder, what)
        read = folder.glob("data/prepared/*.arrow") if what == "stream" else folder.glob("*.nwb")
        size_mb[factor] = sum(path.stat().st_size for path in read if path.name != "small.nwb") / 1e6
    benchmark.pedantic(lambda: None, rounds=1)
    growth = (found[TIMES][measure] - found[1][measure]) / (size_mb[TIMES] - size_mb[1])
    for factor, peak in found.items():
        numbers = json.dumps({name: round(value, 1) for name, value in peak.items()})
        print(f"\n{title}, {factor * seconds:g} s, {size_mb[factor]:.0f} MB: {numbers}")
    print(f"{measure} grows by {growth:.3f} of what the data grow by")
    keep(benchmark, f"memory growth over data growth, {title}", growth, limit=MOST, unit="times")
    what = f"peak memory above imports, {title}, of {size_mb[TIMES]:.0f} MB"
    keep(benchmark, what, found[TIMES][measure], limit=round(size_mb[TIMES]), unit="MB")
