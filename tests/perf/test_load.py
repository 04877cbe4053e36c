"""Loading a recording, against the bare h5py and NumPy that any loader needs.

    pytest tests/perf/test_load.py --benchmark-columns=min,median,rounds

130 units, 600 s, kinematics at 1 kHz, 5 ms bins. Targets: three times the floor's time, twice its memory; 50 ms from
the prepared cache, also the first time in a process, when the file is hashed.
"""

import tracemalloc

import h5py
import numpy as np
import pytest

from harness.data import prepared_key, prepared_room
from harness.data.align import align
from harness.data.cache import Cache
from harness.data.nwb import Wanted, read_contents
from harness.data.prepared import prepare_once
from harness.data.protocol import Layout, SpikesAt, TargetAt, Task
from harness.data.split_rules import TimeSplit
from harness.data.suites import Suite, load_suite
from tests import nwb_files as files
from tests.perf.rows import keep, seconds

N_UNITS, SECONDS, RATE_HZ, BIN_S = 130, 600, 1000, 0.005
WHERE = "processing/behavior/cursor_pos"
LAYOUT = Layout(
    spikes=SpikesAt(units="units"),
    targets={"velocity": TargetAt(path=WHERE, outputs=("x", "y"), derive="difference")},
    trials="intervals/trials",
)
TASK = Task(inputs=("spikes",), target="velocity", bin_s=BIN_S)
SUITE = Suite(
    name="load",
    version=1,
    title="A session of the size of MC_RTT",
    task=TASK,
    metrics=("r2",),
    decoders=(),
    layouts={"l": LAYOUT},
    splits={"x": TimeSplit(fractions=(0.7, 0.1, 0.2))},
    sessions=(files.session(),),
)
CACHED_MS = 50.0


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """A session of the size of MC_RTT, with timestamps as that has them."""
    path, rng = tmp_path_factory.mktemp("load") / "session.nwb", np.random.default_rng(0)
    times_s = np.arange(SECONDS * RATE_HZ + 1) / RATE_HZ
    with h5py.File(path, "w") as file:
        spikes = files.poisson(rng, [(0, SECONDS)], n_units=N_UNITS)
        files.put_units(file, spikes, intervals_s=[(0, SECONDS)])
        files.put_electrodes(file, ["M1"] * N_UNITS)
        files.put_series(file, WHERE, files.path_of(times_s, rng), times_s=times_s)
    return path


def load(path):
    """The house's way, every check included."""
    contents = read_contents(path, LAYOUT, "velocity", Wanted(trial_columns=()))
    found = align(contents, files.session(), task=TASK, layout=LAYOUT).recording
    return found.inputs.streams["spikes"], found.targets


def floor(path):
    """The same arrays with nothing checked: read, round to ticks, count, interpolate."""
    with h5py.File(path) as file:
        spikes_s, ends = file["units/spike_times"][:], file["units/spike_times_index"][:]
        times_s, position = file[f"{WHERE}/timestamps"][:], file[f"{WHERE}/data"][:]
    n_bins, units = round(SECONDS / BIN_S), np.repeat(np.arange(len(ends)), np.diff(ends.astype(np.int64), prepend=0))
    rows = np.rint(spikes_s * 30_000).astype(np.int64) // round(BIN_S * 30_000)
    flat = np.bincount(rows * len(ends) + units, minlength=n_bins * len(ends))
    counts = flat.reshape(n_bins, -1).astype(np.float32)
    edges_s = BIN_S * np.arange(n_bins + 1)
    at_edges = np.column_stack([np.interp(edges_s, times_s, column) for column in position.T])
    return counts, (np.diff(at_edges, axis=0) / BIN_S).astype(np.float32)


def fastest_s(call, path, *, rounds=7):
    return min(seconds(lambda: call(path)) for _ in range(rounds))


def peak_bytes(call, path):
    tracemalloc.start()
    try:
        call(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_both_ways_give_the_same_arrays(recording):
    (counts, targets), (expected_counts, expected_targets) = load(recording), floor(recording)
    np.testing.assert_array_equal(counts, expected_counts)
    np.testing.assert_allclose(targets, expected_targets, rtol=1e-4, atol=1e-4)


def test_loading_against_the_floor(recording, benchmark):
    floor_s = fastest_s(floor, recording)
    benchmark.pedantic(load, args=(recording,), rounds=7, warmup_rounds=1)
    ratio = benchmark.stats.stats.min / floor_s
    benchmark.extra_info.update({"floor_s": floor_s, "ratio": ratio})
    what = "NWB (130 units, 600 s) to 5 ms bins, against bare h5py and NumPy"
    keep(benchmark, what, ratio, limit=3, unit="times")


def test_peak_memory_against_the_floor(recording, benchmark):
    floor_peak = peak_bytes(floor, recording)
    peak = benchmark.pedantic(peak_bytes, args=(load, recording), rounds=1)
    keep(benchmark, "peak memory of the same, over that of the floor", peak / floor_peak, limit=2, unit="times")


def from_cache(path, cache):
    return prepare_once(SUITE, SUITE.sessions[0], path, cache=cache)


def forget():
    """What a process knows once it has opened a prepared session: its digest, and that of the code."""
    for known in (prepared_room._digest, prepared_key.preparation):
        known.cache_clear()


def test_the_prepared_cache_gives_parts(recording, benchmark, tmp_path):
    cache = Cache(tmp_path / "data")
    expected = from_cache(recording, cache)
    first_ms = 1e3 * min(seconds(lambda: from_cache(recording, cache)) for _ in range(5) if not forget())
    parts = benchmark.pedantic(from_cache, args=(recording, cache), rounds=15, warmup_rounds=1)
    again_ms = 1e3 * benchmark.stats.stats.min
    np.testing.assert_array_equal(parts.test.inputs.streams["spikes"], expected.test.inputs.streams["spikes"])
    times = {"first in a process, hashed": first_ms, "again in that process": again_ms}
    for which, measured in times.items():
        what = f"the same from the prepared cache, cut into parts, {which}"
        keep(benchmark, what, measured, limit=CACHED_MS, unit="ms")


def test_the_suite_loads_within_150_ms(benchmark):
    benchmark(load_suite, "primate-reaching")
    keep(
        benchmark,
        "reading the suite primate-reaching",
        benchmark.stats.stats.min,
        limit=0.15,
        unit="s",
    )
