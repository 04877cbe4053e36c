"""NeuroBench's primate reaching: our reader, bins, labels and parts against that package's own numbers."""

import functools
import json
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from pydantic import ValidationError

from harness.data.align import Aligned, align
from harness.data.contents import Contents, Series
from harness.data.nwb import read_contents
from harness.data.prepare import look_ahead, prepare
from harness.data.protocol import SpikesAt
from harness.data.simulate.session import write_session
from harness.data.split import Parts, split
from harness.data.suites import load_suite
from harness.errors import BadData, UsageError
from harness.score.metrics import METRICS
from tests import mat_files
from tests.nwb_files import put_series, put_units
from tools.neurobench_reaching_oracle import content, digest, predictions

GOLDEN = Path(__file__).parent / "golden" / "neurobench-reaching-2.3.json"
PEER = json.loads(GOLDEN.read_text())["recordings"]
RECORDINGS = mat_files.recordings()
SUITE = next(v for v in load_suite("primate-reaching").variants() if v.name == "primate-reaching/neurobench")
SESSION = SUITE.in_tier("neurobench")[0]
LAYOUT = SUITE.layouts[SESSION.layout]


@dataclass(frozen=True)
class Cut:
    """A recording's file, what is in it, the whole session in bins, and its parts."""

    path: Path
    contents: Contents
    aligned: Aligned
    parts: Parts

    def rows(self, part):
        """The samples of the session that a part holds, by its ticks."""
        return (self.parts.ticks[part] - self.aligned.ticks[0]) // self.aligned.bin_ticks


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """Name of a recording -> what our reader makes of it, once."""
    folder = tmp_path_factory.mktemp("mat")

    @functools.cache
    def made(name):
        path = RECORDINGS[name].write(folder / f"{name}.mat")
        contents = read_contents(path, LAYOUT, "neurobench")
        aligned = align(contents, SESSION, task=SUITE.task, layout=LAYOUT)
        return Cut(path, contents, aligned, split(aligned, {}, SUITE.splits[SESSION.split]))

    return made


def test_the_recordings_are_those_that_the_package_was_shown():
    assert {name: content(one) for name, one in RECORDINGS.items()} == {n: p["content"] for n, p in PEER.items()}


@pytest.mark.parametrize("name", PEER)
def test_samples_are_the_peers_to_the_last_bit(cut, name):
    spikes = cut(name).aligned.recording.inputs.streams["spikes"]
    assert np.argwhere(spikes)[:12].tolist() == PEER[name]["first_ones"]
    assert {"shape": list(spikes.shape), "sum": int(spikes.sum()), "int8": digest(spikes, "i1")} == PEER[name][
        "samples"
    ]


@pytest.mark.parametrize("name", PEER)
def test_labels_are_the_peers_to_the_last_bit(cut, name):
    labels = cut(name).aligned.recording.targets
    for row, expected in PEER[name]["labels"]["rows"].items():
        np.testing.assert_allclose(labels[int(row)], expected, rtol=1e-6)
    assert digest(labels, "f4") == PEER[name]["labels"]["float32"]


@pytest.mark.parametrize("name", PEER)
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_parts_hold_the_peers_rows_in_order_and_all_are_scored(cut, name, part):
    rows, recording = cut(name).rows(part), cut(name).parts[part]
    found = {"n": len(rows), "first": int(rows[0]), "last": int(rows[-1]), "int64": digest(rows, "i8")}
    assert found == PEER[name]["parts"][part]
    # The peer's networks run on from reach to reach within a part, and so do ours.
    assert recording.scored.all() and np.flatnonzero(recording.inputs.starts).tolist() == [0]


@pytest.mark.parametrize("name", PEER)
def test_r2_of_the_same_answers_is_the_peers(cut, name):
    labels = cut(name).parts.test.targets
    # The peer sums in float32.
    assert METRICS["r2"](labels, predictions(labels)) == pytest.approx(PEER[name]["r2"], abs=2e-5)


def test_the_recordings_hold_what_is_odd_in_the_peer():
    """Both numbers of edges that its floats give, goals that change at once and at the last, phantom spikes."""
    assert {p["n_edges"] - p["samples"]["shape"][0] for p in PEER.values()} == {0, 1}
    begins = PEER["indy_edges"]["reaches_begin"]
    assert begins[:2] == [0, 0] and begins[-1] == PEER["indy_edges"]["samples"]["shape"][0] - 2
    assert [2, 7] in PEER["indy_from_zero"]["first_ones"], "channel 7 is silent, but its empty cells hold zeros"


def test_a_row_holds_the_spikes_of_the_bin_before_the_last(cut):
    one = RECORDINGS["indy_plain"]
    spikes_s = np.concatenate(one.spikes_s[0]).tolist()
    slow = [any(t - 0.008 <= s < t - 0.004 for s in spikes_s) for t in one.times_s[:300].tolist()]
    assert cut("indy_plain").aligned.recording.inputs.streams["spikes"][:300, 0].tolist() == slow
    assert 10 < sum(slow) < 100


def test_inputs_of_this_protocol_look_at_no_later_sample(cut):
    assert look_ahead(SUITE, SESSION, cut("indy_plain").path) == ""


def test_a_label_is_a_central_difference_and_says_that_it_looks_ahead(cut):
    contents = cut("indy_plain").contents
    values = contents.target.values.copy()
    values[101:] += 8.0
    moved = replace(contents, target=replace(contents.target, values=values))
    labels = align(moved, SESSION, task=SUITE.task, layout=LAYOUT).recording.targets
    changed = np.flatnonzero(np.abs(labels - cut("indy_plain").aligned.recording.targets).max(axis=1) > 1e-3)
    assert changed.tolist() == [100, 101]
    assert SUITE.task.label_look_ahead_s == SUITE.task.bin_s == 0.004


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"label_look_ahead_s": 0.0}, "look 0.004 s ahead, but .* is 0; set it to 0.004"),
        ({"grid": "bins"}, "needs the task's `grid: samples`, and no lag_s"),
        ({"lag_s": 0.02}, "needs the task's `grid: samples`, and no lag_s"),
    ],
)
def test_a_task_that_hides_what_its_labels_do_is_refused(cut, changes, message):
    with pytest.raises(UsageError, match=message):
        align(cut("indy_plain").contents, SESSION, task=SUITE.task.model_copy(update=changes), layout=LAYOUT)


def with_times(contents, times_s):
    target = contents.target
    return replace(contents, target=Series(target.values[: len(times_s)], times_s, target.period_s))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: np.concatenate([t[:500], t[500:] + 0.1]), "not evenly spaced: row 500 is 0.1 s off"),
        (lambda t: t[:1], "fewer than two samples"),
    ],
)
def test_behaviour_that_is_no_even_grid_is_refused_by_row(cut, change, message):
    contents = cut("indy_plain").contents
    with pytest.raises(BadData, match=message):
        align(with_times(contents, change(contents.target.times_s)), SESSION, task=SUITE.task, layout=LAYOUT)


def test_rows_that_are_no_whole_number_of_samples_apart_are_refused(cut):
    contents = cut("indy_plain").contents
    slow = replace(contents, target=replace(contents.target, period_s=0.003))
    with pytest.raises(BadData, match="a sample each 3 ms, of which rows 4 ms apart cannot be taken"):
        align(slow, SESSION, task=SUITE.task, layout=LAYOUT)


def test_a_position_that_float32_cannot_hold_is_refused(cut):
    contents = cut("indy_plain").contents
    far = replace(contents, target=replace(contents.target, values=contents.target.values * 1e39))
    with pytest.raises(BadData, match="which float32 cannot hold"):
        align(far, SESSION, task=SUITE.task, layout=LAYOUT)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """Area or areas -> the parts of the same half minute of a simulated session."""
    path = tmp_path_factory.mktemp("simulated") / "a.nwb"
    sessions = {name: SUITE.in_tier(f"neurobench-simulated{name}")[0] for name in ("", "-m1")}
    parameters = {*(str(one.source.parameters) for one in sessions.values())}
    assert len(parameters) == 1, "both tiers are of the same recordings"
    shorter = {**sessions[""].source.parameters, "minutes": 0.5, "n_units": 20}
    write_session(path, shorter, session_id="a", subject="a")
    return path, {name: prepare(SUITE, one, path) for name, one in sessions.items()}


def test_a_simulated_session_gives_one_area_or_two_of_the_same_spikes(simulated):
    both, one = simulated[1][""].train, simulated[1]["-m1"].train
    areas = [name.partition(":")[0] for name in both.session.streams["spikes"].channels]
    assert areas == ["M1"] * 10 + ["S1"] * 10
    assert one.session.streams["spikes"].channels == both.session.streams["spikes"].channels[:10]
    np.testing.assert_array_equal(one.inputs.streams["spikes"], both.inputs.streams["spikes"][:, :10])
    np.testing.assert_array_equal(one.targets, both.targets)


def test_a_simulated_session_has_rows_of_four_milliseconds_in_zeros_and_ones(simulated):
    path, parts = simulated
    whole = [parts[""][part] for part in ("train", "validation", "test")]
    assert sum(map(len, whole)) == 30 * 250 + 1 and whole[0].inputs.bin_s == 0.004
    assert set(np.unique(whole[0].inputs.streams["spikes"])) == {0.0, 1.0}
    assert look_ahead(SUITE, SUITE.in_tier("neurobench-simulated")[0], path) == ""


def test_a_simulated_session_is_cut_where_its_target_moves(simulated):
    path, parts = simulated
    goals = read_contents(path, SUITE.layouts["simulated-4ms"], "neurobench").changes
    reaches = np.unique([0, *(goals // 4)])
    firsts = [parts[""].ticks[part][0] // 120 for part in ("validation", "test")]
    n_train = (len(reaches)) // 2
    assert firsts == [reaches[n_train], reaches[n_train + (len(reaches) - n_train) // 2]]


def test_goals_at_other_times_than_the_target_are_refused(tmp_path):
    layout = SUITE.layouts["simulated-4ms"]
    with h5py.File(tmp_path / "a.nwb", "w") as file:
        put_units(file, [np.array([0.5])])
        for where, rate_hz in ((layout.targets["neurobench"].path, 1000.0), (layout.goals, 100.0)):
            put_series(file, where, np.zeros((1000, 2)), rate_hz=rate_hz)
    with pytest.raises(BadData, match="target_pos' is not sampled at the times of the target"):
        read_contents(tmp_path / "a.nwb", layout, "neurobench")


def test_areas_choose_among_units_alone():
    with pytest.raises(ValidationError, match="`areas` chooses among `units`"):
        SpikesAt(counts="c", areas=("M1",))
