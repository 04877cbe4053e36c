"""MATLAB files of O'Doherty's layout: the same contents as what was written, and one sentence for what is wrong."""

import h5py
import numpy as np
import pytest

from harness.data.nwb import Wanted, read_contents
from harness.data.prepare import look_ahead, prepare
from harness.data.protocol import Layout, SignalAt, SpikesAt, TargetAt, Task
from harness.data.suites import load_suite
from harness.errors import BadData, HarnessError, MissingData, UsageError
from tests import mat_files

SUITE = load_suite("primate-reaching").variants()[0]
SESSION = next(s for s in SUITE.sessions if s.id == "indy_20160622_01")
LAYOUT = SUITE.layouts[SESSION.layout]


def small(**options):
    return mat_files.recording(**({"seed": 0, "n_channels": 9, "n_units": 3, "n_samples": 700} | options))


def read(path, layout=LAYOUT):
    return read_contents(path, layout, "velocity")


def with_spikes(**changes):
    return LAYOUT.model_copy(update={"spikes": SpikesAt(units="spikes", clock_hz=1_000_000, **changes)})


@pytest.mark.parametrize("n_channels, n_units", [(96, 5), (192, 3), (1, 1)])
def test_contents_are_what_was_written(tmp_path, n_channels, n_units):
    one = small(n_channels=n_channels, n_units=n_units)
    found = read(one.write(tmp_path / "a.mat"))
    np.testing.assert_array_equal(found.target.values, one.cursor_mm)
    np.testing.assert_array_equal(found.target.times_s, one.times_s)
    assert found.target.period_s == pytest.approx(0.004)
    for i, channel in enumerate(one.spikes_s):
        np.testing.assert_array_equal(found.spikes.times_s[found.spikes.units == i], np.sort(np.concatenate(channel)))
    assert found.spikes.names == tuple(name.replace(" ", ":") for name in one.names)
    moved = np.any(one.target_mm[1:] != one.target_mm[:-1], axis=1)
    assert found.changes.tolist() == np.flatnonzero(moved).tolist() and moved.sum() == 11


def test_an_empty_cell_has_no_spikes_unless_its_shape_is_asked_for(tmp_path):
    path = small(start_s=0.0).write(tmp_path / "a.mat")
    silent = read(path).spikes
    phantom = read(path, with_spikes(phantom_spikes=True)).spikes
    assert not np.any(silent.units == 7)
    # The shapes 0 by 0, 1 by 0 and 0 by 1 of its three units.
    assert phantom.times_s[phantom.units == 7].tolist() == [0, 0, 0, 0, 1, 1]


def test_one_area_alone_keeps_its_channels_and_their_spikes(tmp_path):
    one = small(n_channels=100)
    path = one.write(tmp_path / "a.mat")
    found = read(path, with_spikes(areas=("S1",))).spikes
    assert found.names == ("S1:001", "S1:002", "S1:003", "S1:004")
    np.testing.assert_array_equal(found.times_s[found.units == 3], np.sort(np.concatenate(one.spikes_s[99])))
    with pytest.raises(BadData, match=r"'spikes' has no unit of area 'PMd': there are M1, S1"):
        read(path, with_spikes(areas=("M1", "PMd")))


def test_channels_without_names_are_numbered(tmp_path):
    path = small().write(tmp_path / "a.mat")
    with h5py.File(path, "r+") as file:
        del file["chan_names"]
    assert read(path).spikes.names == tuple("012345678")
    with pytest.raises(BadData, match="no unit of area 'M1': there are units of no stated area"):
        read(path, with_spikes(areas=("M1",)))


def test_the_20_ms_task_sums_units_and_takes_the_backward_difference(tmp_path):
    one = small(n_samples=8000)
    parts = prepare(SUITE, SESSION, one.write(tmp_path / "a.mat"))
    right_s = one.times_s[0] + 0.02 * np.arange(1, 1601)
    k = np.rint((parts.ticks["test"] / 1e6 - one.times_s[0]) / 0.02).astype(int) - 1
    expected = [
        [np.count_nonzero((s >= r - 0.02) & (s < r)) for s in map(np.concatenate, one.spikes_s)] for r in right_s[k]
    ]
    np.testing.assert_array_equal(parts.test.inputs.streams["spikes"], expected)
    inner = k[k < 1599]
    velocity = (one.cursor_mm[5 * (inner + 1)] - one.cursor_mm[5 * inner]) / 0.02
    np.testing.assert_allclose(parts.test.targets[: len(inner)], velocity, rtol=1e-5, atol=1e-3)


def test_the_20_ms_task_is_cut_where_the_target_moves_with_a_second_between_parts(tmp_path):
    one = small(n_samples=8000)
    parts = prepare(SUITE, SESSION, one.write(tmp_path / "a.mat"))
    begins_s = one.times_s[np.flatnonzero(np.any(one.target_mm[1:] != one.target_mm[:-1], axis=1))]
    # Of 12 reaches 6 train and 3 validate: reaches 6 and 9 begin at the changes 5 and 8.
    for part, boundary_s, before in (("validation", begins_s[5], "train"), ("test", begins_s[8], "validation")):
        first_s, last_s = parts.ticks[part][0] / 1e6, parts.ticks[before][-1] / 1e6
        assert 0 <= first_s - boundary_s < 0.02
        assert first_s - 0.02 - last_s >= 1.0 - 1e-6
    assert look_ahead(SUITE, SESSION, tmp_path / "a.mat") == ""


def put(name, values):
    def change(file):
        del file[name]
        file[name] = values

    return change


def cell(values, name="spikes"):
    """Put something else into the first cell of an array of cells."""

    def change(file):
        file["other"] = values
        references = file[name]
        references[0, 0] = file["other"].ref

    return change


def lost(file):
    references = file["spikes"]
    references[0, 0] = h5py.Reference()


def to_group(file):
    references = file["spikes"]
    references[0, 0] = file.create_group("g").ref


TIMES = np.arange(700) / 250


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.__delitem__("t"), "'t' is missing: '/' holds .*cursor_pos"),
        (lambda f: f.__delitem__("spikes"), "'spikes' is missing"),
        (lambda f: f.__delitem__("target_pos"), "'target_pos' is missing"),
        (put("t", TIMES[:699]), "'cursor_pos' is 2 by 700, but 't' has 699 entries"),
        (put("t", np.where(TIMES == 0.4, np.nan, TIMES)), "'t' has nan s in row 100"),
        (put("t", np.where(TIMES == 0.4, 0.3, TIMES)), "'t' has 0.3 s in row 100"),
        (put("t", TIMES + 1e8), r"'t' has 100000000.0 s in row 0"),
        (put("t", TIMES[:1]), "'t' has 1 entries"),
        (put("t", np.append(TIMES[:699], 9e6)), "no session has more than"),
        (put("cursor_pos", np.zeros((1, 700))), "has 1 axes for columns .* outputs x, y"),
        (put("cursor_pos", np.zeros(700)), "'cursor_pos' is 1-d float64"),
        (put("target_pos", np.zeros((2, 3))), "'target_pos' is 2 by 3"),
        (put("target_pos", np.zeros((2, 700))), "its train part has no scored bin"),
        (put("spikes", np.zeros((3, 9))), "'spikes' is float64, where a cell array belongs"),
        (put("chan_names", np.zeros((1, 9))), "'chan_names' is float64, where a cell array belongs"),
        (cell([-0.5]), "'spikes' has a spike at -0.5 s"),
        (cell([np.nan]), "'spikes' has a spike at nan s"),
        (cell([1e9]), "'spikes' has a spike at 1000000000.0 s"),
        (cell(["x"]), "'spikes' has a cell of object, where spike times belong"),
        (cell([1.5], "chan_names"), "'chan_names' has a cell of 1 float64, where a channel's name belongs"),
        (lost, "'spikes' has a cell that leads to no dataset"),
        (to_group, "'spikes' has a cell that leads to no dataset"),
    ],
)
def test_what_cannot_be_true_is_refused_by_name(tmp_path, change, message):
    path = small().write(tmp_path / "a.mat")
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(BadData, match=message) as refused:
        prepare(SUITE, SESSION, path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "changes", [{"trials": "intervals/trials"}, {"spikes": SpikesAt(counts="c")}, {"targets": "mask"}]
)
def test_a_layout_that_asks_for_what_these_files_lack_is_refused(tmp_path, changes):
    masked = {"velocity": TargetAt(path="cursor_pos", outputs=("x", "y"), mask="m")}
    layout = LAYOUT.model_copy(update=changes if changes != {"targets": "mask"} else {"targets": masked})
    with pytest.raises(UsageError, match="a layout of MATLAB files can give"):
        read(small().write(tmp_path / "a.mat"), layout)


def test_a_task_of_signals_is_refused_in_words_on_a_file_that_cannot_have_them(tmp_path):
    with pytest.raises(UsageError, match="a MATLAB file has no signals, and the task wants 'lfp'"):
        layout = LAYOUT.model_copy(update={"signals": {"lfp": SignalAt(path="lfp")}})
        read_contents(small().write(tmp_path / "a.mat"), layout, "velocity", Wanted(signals=("lfp",)))


def test_reaches_need_goals(tmp_path):
    suite = SUITE.model_copy(update={"layouts": {SESSION.layout: LAYOUT.model_copy(update={"goals": None})}})
    with pytest.raises(UsageError, match="does not say where the goals are; add `goals`"):
        prepare(suite, SESSION, small().write(tmp_path / "a.mat"))


def test_a_file_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(MissingData, match="does not exist"):
        read(tmp_path / "a.mat")


def test_damage_is_never_a_raw_traceback(tmp_path):
    path = small(n_channels=3, n_samples=300).write(tmp_path / "a.mat")
    whole, rng, n_refused = path.read_bytes(), np.random.default_rng(1), 0
    for _ in range(150):
        changed = bytearray(whole[: rng.integers(len(whole))] if rng.random() < 0.3 else whole)
        for i in rng.integers(max(len(changed), 1), size=4 * bool(changed)):
            changed[i] ^= int(rng.integers(1, 256))
        path.write_bytes(changed)
        try:
            prepare(SUITE, SESSION, path)
        except HarnessError:
            n_refused += 1
    assert n_refused > 45


def test_protocols_that_use_nothing_new_are_written_as_before():
    """Their hashes stand in records: what was added later may not enter them unless it is used."""
    task = Task(inputs=("spikes",), target="velocity", bin_s=0.02)
    before = {"inputs": ["spikes"], "privileged": [], "target": "velocity", "kind": "regression", "bin_s": 0.02}
    assert task.model_dump(mode="json") == before | {"lag_s": 0.0}
    layout = Layout(spikes=SpikesAt(units="u"), targets={"velocity": TargetAt(path="p", outputs=("x",))})
    written = layout.model_dump(mode="json")
    assert written["spikes"] == {"units": "u", "counts": None, "clock_hz": 30_000}
    assert list(written) == ["format", "spikes", "targets", "trials"]


@pytest.mark.parametrize("field, value", [("grid", "samples"), ("binary", True), ("label_look_ahead_s", 0.004)])
def test_what_a_task_uses_is_in_its_protocol(field, value):
    task = Task(inputs=("spikes",), target="velocity", bin_s=0.02, **{field: value})
    assert task.model_dump(mode="json")[field] == value
    assert Task.model_validate(task.model_dump()) == task
