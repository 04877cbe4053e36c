"""Reading: what was written comes back, and whatever cannot be true is refused by name."""

import shutil

import h5py
import numpy as np
import pytest

from harness.data.nwb import Wanted, read_contents
from harness.data.protocol import Layout, SpikesAt, TargetAt
from harness.errors import BadData, HarnessError, MissingData, UsageError
from tests import nwb_files as files

SPIKE_LAYOUT = Layout(
    spikes=SpikesAt(units="units"),
    targets={"position": TargetAt(path="processing/behavior/pos", outputs=("x", "y"))},
    trials="intervals/trials",
)
COUNT_LAYOUT = SPIKE_LAYOUT.model_copy(update={"spikes": SpikesAt(counts="processing/ecephys/counts")})
SPIKES = [np.array([0.1, 0.2, 0.2, 1.5]), np.empty(0), np.array([0.0, 1.9])]


def write(path, *, change=None, **options):
    """A small file of three units and 2 s of position; `change` edits it before it is closed."""
    with h5py.File(path, "w", libver=options.pop("libver", None)) as file:
        files.put_units(file, SPIKES, intervals_s=[(0.0, 2.0)], **options)
        values = np.arange(400.0).reshape(200, 2)
        files.put_series(file, "processing/behavior/pos", values, rate_hz=100.0, **options)
        counts = np.arange(60).reshape(20, 3) % 4
        files.put_series(file, "processing/ecephys/counts", counts, rate_hz=10.0, **options)
        files.put_trials(file, {"start_time": np.array([0.0, 1.0]), "result": ["R", "F"]})
        if change:
            change(file)
    return path


def replace(file, name, values):
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)


def read(path, layout=SPIKE_LAYOUT, **options):
    return read_contents(path, layout, "position", Wanted(**options))


def test_spikes_come_back_per_unit_and_silent_units_keep_their_name(tmp_path):
    spikes = read(write(tmp_path / "a.nwb")).spikes
    assert [spikes.times_s[spikes.units == i].tolist() for i in range(3)] == [s.tolist() for s in SPIKES]
    assert spikes.names == ("0", "1", "2")
    assert spikes.intervals_s.tolist() == [[0.0, 2.0]]


def test_units_are_named_by_the_area_of_their_electrode(tmp_path):
    path = write(tmp_path / "a.nwb", change=lambda f: files.put_electrodes(f, ["M1", "PMd", "M1"]))
    assert read(path).spikes.names == ("M1:0", "PMd:1", "M1:2")


def test_conversion_offset_and_channel_conversion_give_physical_units(tmp_path):
    def change(file):
        file["processing/behavior/pos/data"].attrs.update({"conversion": 0.5, "offset": 10.0})
        file["processing/behavior/pos/channel_conversion"] = np.array([1.0, 2.0])

    values = read(write(tmp_path / "a.nwb", change=change)).target.values
    assert values[:2].tolist() == [[10.0, 11.0], [11.0, 13.0]]


def test_a_rate_and_the_same_timestamps_read_equal(tmp_path):
    def change(file):
        del file["processing/behavior/pos/starting_time"]
        file["processing/behavior/pos/timestamps"] = 3 + np.arange(200) / 100

    def later(file):
        file["processing/behavior/pos/starting_time"][()] = 3.0

    stamped = read(write(tmp_path / "a.nwb", change=change)).target
    rated = read(write(tmp_path / "b.nwb", change=later)).target
    np.testing.assert_array_equal(stamped.times_s, rated.times_s)
    assert stamped.period_s == pytest.approx(rated.period_s) == 0.01


def test_only_the_wanted_columns_are_read_in_the_wanted_order(tmp_path):
    at = TargetAt(path="processing/behavior/pos", outputs=("y", "x"), columns=(1, 0))
    layout = SPIKE_LAYOUT.model_copy(update={"targets": {"position": at}})
    assert read(write(tmp_path / "a.nwb"), layout).target.values[1].tolist() == [3.0, 2.0]


def test_counts_are_read_and_timed(tmp_path):
    counts = read(write(tmp_path / "a.nwb"), COUNT_LAYOUT).counts
    assert counts.values[1].tolist() == [3, 0, 1]
    assert counts.times_s[-1] == pytest.approx(1.9)


def test_trials_are_decoded_and_ragged_columns_give_one_array_per_trial(tmp_path):
    def change(file):
        file["intervals/trials/go_cue_time_array"] = np.array([0.1, 0.2, 1.3])
        file["intervals/trials/go_cue_time_array_index"] = np.array([2, 3], np.uint8)

    trials = read(write(tmp_path / "a.nwb", change=change)).trials
    assert trials["result"].tolist() == ["R", "F"]
    assert [v.tolist() for v in trials["go_cue_time_array"]] == [[0.1, 0.2], [1.3]]


def test_only_the_wanted_trial_columns_are_read(tmp_path):
    path = write(tmp_path / "a.nwb")
    assert set(read(path, trial_columns=["result"]).trials) == {"result"}
    assert read(path, trial_columns=()).trials == {}


def test_what_pynwb_writes_is_read(tmp_path):
    pynwb = pytest.importorskip("pynwb")
    from datetime import UTC, datetime

    nwb = pynwb.NWBFile("d", "id-7", datetime(2020, 1, 1, tzinfo=UTC))
    nwb.add_trial_column("result", "outcome")
    nwb.add_trial(start_time=0.0, stop_time=1.0, result="R")
    for train in SPIKES:
        nwb.add_unit(spike_times=train, obs_intervals=[[0.0, 1.0], [1.0005, 2.0]])
    series = pynwb.TimeSeries(name="pos", data=np.ones((200, 2)), unit="m", rate=100.0, conversion=0.01)
    nwb.create_processing_module("behavior", "b").add(series)
    with pynwb.NWBHDF5IO(tmp_path / "p.nwb", "w") as io:
        io.write(nwb)
    found = read(tmp_path / "p.nwb")
    assert found.target.unit == "m" and found.target.values[0, 0] == 0.01
    np.testing.assert_array_equal(found.spikes.times_s, np.concatenate(SPIKES))
    assert found.spikes.intervals_s.tolist() == [[0.0, 2.0]]
    assert found.trials["result"].tolist() == ["R"]


@pytest.mark.parametrize(
    "make, layout_name, target",
    [
        (files.mc_rtt, "nlb-rtt", "velocity"),
        (files.mc_maze, "nlb-hand", "velocity"),
        (files.perich, "perich", "velocity"),
        (files.falcon_m1, "falcon-m1", "emg"),
        (files.falcon_m2, "falcon-m2", "velocity"),
        (files.falcon_h1, "falcon-h1", "velocity"),
    ],
)
def test_every_public_layout_gives_back_spikes_behaviour_and_times(tmp_path, make, layout_name, target):
    truth = make(tmp_path / "a.nwb")
    found = read_contents(truth.path, files.falcon_layout(layout_name), target, Wanted(trial_columns=()))
    np.testing.assert_array_equal(found.spikes.times_s, np.concatenate(truth.spikes))
    np.testing.assert_array_equal(found.target.values, truth.values)
    np.testing.assert_allclose(found.target.times_s, truth.times_s, rtol=0, atol=1e-9)


def test_waveforms_are_never_read(tmp_path):
    truth = files.perich(tmp_path / "a.nwb")
    with h5py.File(truth.path, "r+") as file:
        del file["units/waveforms"]
        file["units/waveforms"] = h5py.SoftLink("/nowhere")
    layout = files.falcon_layout("perich")
    assert len(read_contents(truth.path, layout, "velocity", Wanted(trial_columns=())).spikes.names) == 5


def test_a_missing_object_names_the_file_the_path_and_what_is_there(tmp_path):
    layout = SPIKE_LAYOUT.model_copy(
        update={"targets": {"position": TargetAt(path="processing/behavior/hand/vel", outputs=("x",))}}
    )
    with pytest.raises(BadData, match=r"a\.nwb: 'processing/behavior/hand/vel/data' is missing: .*behavior' holds pos"):
        read(write(tmp_path / "a.nwb"), layout)


def test_an_unknown_target_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no target 'force'; it has: position"):
        read_contents(tmp_path / "a.nwb", SPIKE_LAYOUT, "force")


def spike(i, value):
    def change(file):
        file["units/spike_times"][i] = value

    return change


def put(name, values):
    return lambda file: replace(file, name, values)


def attribute(name, key, value):
    return lambda file: file[name].attrs.__setitem__(key, value)


def stamped(times_s):
    def change(file):
        del file["processing/behavior/pos/starting_time"]
        file["processing/behavior/pos/timestamps"] = times_s

    return change


@pytest.mark.parametrize(
    "change, message",
    [
        (spike(0, -0.1), "spike 0 at -0.1 s"),
        (spike(0, np.nan), "spike 0 at nan s"),
        (spike(1, 1e300), "spike 1 at 1e"),
        (spike(1, 1.7), "unit 0 has a spike at 0.2 s after 1.7 s"),
        (put("units/spike_times_index", np.array([4, 4, 9])), "ends at 9, but there are 6 values"),
        (put("units/spike_times_index", np.array([4, 4, 5])), "ends at 5, but there are 6 values"),
        (put("units/spike_times_index", np.array([4, 2, 6])), "goes backwards"),
        (put("units/id", np.arange(2)), "2 entries, but spike_times_index has 3"),
        (put("units/obs_intervals", np.array([[2.0, 0.0]] * 3)), "start <= stop"),
        (lambda f: files.put_electrodes(f, ["M1"]) or None, "electrodes_index' ends|outside"),
        (stamped(np.arange(199) / 100), "199 entries, but data has 200"),
        (stamped(np.zeros(200)), "does not go up"),
        (stamped(np.full(200, np.nan)), "does not go up"),
        (attribute("processing/behavior/pos/starting_time", "rate", 0.0), "rate 0.0"),
        (stamped(np.append(np.arange(199) / 100, 1e9)), "at 0 to 1e\\+09 s"),
        (stamped(np.append(np.arange(199) / 100, 1e300)), "at 0 to 1e\\+300 s"),
        (stamped(np.append(np.arange(199) / 100, 5e6)), "at 0 to 5e\\+06 s"),
        (attribute("processing/behavior/pos/starting_time", "rate", 1e-9), "at 0 to 1.99e\\+11 s"),
        (attribute("processing/behavior/pos/starting_time", "rate", 5e-324), "at 0 to inf s"),
        (put("units/obs_intervals", np.array([[0.0, np.inf]] * 3)), "start <= stop"),
        (put("units/obs_intervals", np.array([[np.nan, 1.0]] * 3)), "start <= stop"),
        (put("units/obs_intervals", np.array([[0.0, 1e300]] * 3)), "start <= stop"),
        (attribute("processing/behavior/pos/data", "conversion", np.nan), "conversion nan"),
        (put("processing/behavior/pos/data", np.zeros((200, 3))), "3 columns for the outputs x, y"),
        (lambda f: f.__delitem__("processing/behavior/pos/starting_time"), "neither timestamps nor starting_time"),
        (put("intervals/trials/start_time", np.zeros(3)), "columns of 2, 3 rows"),
        (put("units/spike_times", np.zeros((6, 1))), "2-d float64, where 1-d numbers belong"),
    ],
)
def test_what_cannot_be_true_is_refused_by_name(tmp_path, change, message):
    with pytest.raises(BadData, match=message):
        read(write(tmp_path / "a.nwb", change=change))


@pytest.mark.parametrize("value", [-1, 0.5, np.nan, np.inf, 1e300])
def test_a_count_is_a_whole_number_and_not_negative(tmp_path, value):
    counts = np.ones((20, 3))
    counts[7, 2] = value
    path = write(tmp_path / "a.nwb", change=put("processing/ecephys/counts/data", counts))
    with pytest.raises(BadData, match="row 7, column 2: no spike count"):
        read(path, COUNT_LAYOUT)


def test_a_missing_trial_column_is_named_with_those_there_are(tmp_path):
    with pytest.raises(BadData, match=r"'intervals/trials/go_cue_time' is missing: .* holds id, result, start_time"):
        read(write(tmp_path / "a.nwb"), trial_columns=["go_cue_time"])


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x89HDF\r\n\x1a\n" + b"\0" * 500])
def test_a_file_that_is_no_hdf5_is_refused(tmp_path, content):
    (tmp_path / "a.nwb").write_bytes(content)
    with pytest.raises(BadData, match=r"a\.nwb cannot be read"):
        read(tmp_path / "a.nwb")


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingData, match="does not exist"):
        read(tmp_path / "a.nwb")


def everything(contents):
    target, spikes = contents.target, contents.spikes
    arrays = [target.values, target.times_s, spikes.times_s, spikes.units, spikes.intervals_s]
    return [a.tobytes() for a in arrays] + [spikes.names, contents.trials["start_time"].tobytes()]


def damaged(whole, rng):
    """Cut at a random place, or change one to four random bytes."""
    if rng.random() < 0.3:
        return whole[: rng.integers(len(whole))]
    changed = bytearray(whole)
    for i in rng.integers(len(whole), size=rng.integers(1, 5)):
        changed[i] ^= int(rng.integers(1, 256))
    return bytes(changed)


def test_damage_to_a_file_with_checksums_is_refused_or_changes_nothing(tmp_path):
    path = write(tmp_path / "a.nwb", libver="latest", fletcher32=True, chunks=True)
    with h5py.File(path, "r+") as file:
        # The two columns that the builder wrote without a checksum.
        for name in ("obs_intervals", "obs_intervals_index", "id"):
            values = file[f"units/{name}"][()]
            del file[f"units/{name}"]
            file["units"].create_dataset(name, data=values, fletcher32=True, chunks=True)
        del file["processing/behavior/pos/starting_time"]
        stamps = np.arange(200) / 100
        file["processing/behavior/pos"].create_dataset("timestamps", data=stamps, fletcher32=True, chunks=True)
        starts = file["intervals/trials/start_time"][()]
        del file["intervals/trials/start_time"]
        file["intervals/trials"].create_dataset("start_time", data=starts, fletcher32=True, chunks=True)
    expected, whole, rng = everything(read(path)), path.read_bytes(), np.random.default_rng(0)
    n_refused = 0
    for _ in range(250):
        path.write_bytes(damaged(whole, rng))
        try:
            assert everything(read(path)) == expected
        except HarnessError:
            n_refused += 1
    assert n_refused > 60


def test_damage_to_any_file_is_never_a_raw_traceback(tmp_path):
    path = write(tmp_path / "a.nwb")
    whole, rng = path.read_bytes(), np.random.default_rng(1)
    n_refused = 0
    for _ in range(250):
        path.write_bytes(damaged(whole, rng))
        try:
            read(path)
        except HarnessError:
            n_refused += 1
    assert n_refused > 60


def test_reading_leaves_the_file_as_it_was(tmp_path):
    path = write(tmp_path / "a.nwb")
    shutil.copy(path, tmp_path / "before.nwb")
    read(path)
    assert path.read_bytes() == (tmp_path / "before.nwb").read_bytes()
