"""From a file to its parts, in every public layout and on the real recordings."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

from harness.data import prepare as preparing
from harness.data.align import align
from harness.data.nwb import read_contents
from harness.data.prepare import prepare
from harness.data.protocol import Layout, SpikesAt, TargetAt
from harness.data.split import find_leaks
from harness.data.split_rules import PARTS
from harness.data.suites import load_suite
from harness.errors import BadData
from tests import nwb_files as files


def prepared(group, path):
    suite, session = files.suite_for(group)
    return suite, session, prepare(suite, session, path)


def expected_counts(truth, ticks, bin_ticks=600):
    """(n_bins, n_units) by a histogram per unit over integer edges."""
    columns = []
    for times_s in truth.spikes:
        spikes = np.rint(times_s * 30_000).astype(int)
        columns.append([np.count_nonzero((spikes >= t - bin_ticks) & (spikes < t)) for t in ticks.tolist()])
    return np.array(columns).T


@pytest.mark.parametrize(
    "group, make",
    [
        ("nlb-mc_rtt", files.mc_rtt),
        ("nlb-mc_maze_small", files.mc_maze),
        ("perich-miller", files.perich),
        ("falcon-m1a", files.falcon_m1),
        ("falcon-m2", files.falcon_m2),
        ("falcon-h1", files.falcon_h1),
    ],
)
def test_every_public_layout_becomes_parts_that_do_not_leak(tmp_path, group, make):
    truth = make(tmp_path / "a.nwb")
    suite, session, parts = prepared(group, truth.path)
    rule = suite.splits[session.split]
    assert find_leaks(parts, gap_s=rule.gap_s) == ()
    for part in PARTS:
        found = parts[part]
        np.testing.assert_array_equal(found.inputs.streams["spikes"], expected_counts(truth, parts.ticks[part]))
        assert found.inputs.starts[0] and found.targets.shape == (len(found), len(found.session.outputs))
        assert np.isfinite(found.targets[found.scored]).all() and np.isnan(found.targets[~found.scored]).all()


def test_mc_rtt_scores_600_ms_of_its_val_trials_with_the_velocity_of_the_cursor(tmp_path):
    truth = files.mc_rtt(tmp_path / "a.nwb")
    _, _, parts = prepared("nlb-mc_rtt", truth.path)
    edges_s = parts.ticks["test"][parts.test.scored] / 30_000
    n_val = sum(name == "val" for name in truth.trials["split"])
    assert len(edges_s) == pytest.approx(30 * n_val, abs=2)
    x = truth.values[:, 0]
    expected = (np.interp(edges_s, truth.times_s, x) - np.interp(edges_s - 0.02, truth.times_s, x)) / 0.02
    np.testing.assert_allclose(parts.test.targets[parts.test.scored][:, 0], expected, rtol=1e-3, atol=1e-3)


def test_mc_maze_scores_700_ms_around_movement_onset_and_starts_anew_in_each_trial(tmp_path):
    truth = files.mc_maze(tmp_path / "a.nwb")
    _, _, parts = prepared("nlb-mc_maze_small", truth.path)
    assert parts.test.scored.sum() == 5 * 35
    assert parts.test.inputs.starts.sum() == 5 and parts.train.inputs.starts.sum() == 12
    # Trial 3 moves at 10.7 s: its window is (10.45, 11.15], and the grid's edges are even hundredths.
    edges_s = parts.ticks["test"][parts.test.scored][:35] / 30_000
    assert truth.trials["move_onset_time"][3] == pytest.approx(10.7)
    assert (edges_s[0], edges_s[-1]) == (10.46, 11.14)


@pytest.mark.parametrize("task", ["CO", "RT"])
def test_perich_scores_rewarded_trials_from_the_first_go_cue(tmp_path, task):
    truth = files.perich(tmp_path / "a.nwb", task=task)
    name = "perich-co" if task == "CO" else "perich-rt"
    suite = load_suite("primate-reaching")
    session = next(s for s in suite.sessions if s.split == name)
    parts = prepare(suite, session, truth.path)
    edges_s = np.concatenate([parts.ticks[p][parts[p].scored] for p in PARTS]) / 30_000
    trial = ((edges_s - 1) // 4).astype(int)
    assert not {3, *(i for i, r in enumerate(truth.trials["result"]) if r == "F")} & set(trial.tolist())
    within = edges_s - truth.trials["start_time"][trial]
    assert within.min() > 0.7 and within.max() <= 3.0 + 1e-9


def test_parts_that_leak_are_refused_for_every_session(tmp_path, monkeypatch):
    truth = files.falcon_m2(tmp_path / "a.nwb")
    whole = preparing.split

    def leaking(*given, fold):
        parts = whole(*given, fold=fold)
        return replace(parts, train=parts.test, ticks={**parts.ticks, "train": parts.ticks["test"]})

    monkeypatch.setattr(preparing, "split", leaking)
    with pytest.raises(BadData, match=r"session '.*': its parts are not apart: \d+ scored bins of test lie in train"):
        prepared("falcon-m2", truth.path)


def test_masked_samples_are_not_scored(tmp_path):
    _, _, parts = prepared("falcon-m1a", files.falcon_m1(tmp_path / "a.nwb").path)
    assert parts.test.session.outputs[0] == "APL"
    assert 0.4 < parts.train.scored.mean() < 0.6


def test_a_clock_that_is_no_period_is_refused(tmp_path):
    truth = files.falcon_h1(tmp_path / "a.nwb")
    with h5py.File(truth.path, "r+") as file:
        file["acquisition/OpenLoopKinematicsVelocity/starting_time"].attrs["rate"] = 50.0
    with pytest.raises(BadData, match=r"rate 50.0: no sample period"):
        prepared("falcon-h1", truth.path)


def test_the_future_of_a_file_leaves_every_earlier_input_as_it_was(tmp_path):
    """Spikes after 20 s become noise in the file itself; the whole way to the parts is run again."""
    truth = files.falcon_m2(tmp_path / "a.nwb")
    _, _, before = prepared("falcon-m2", truth.path)
    rng = np.random.default_rng(0)
    with h5py.File(truth.path, "r+") as file:
        changed = [np.concatenate([t[t < 20], np.sort(rng.uniform(20, 40, (t >= 20).sum()))]) for t in truth.spikes]
        file["units/spike_times"][:] = np.concatenate(changed)
    _, _, after = prepared("falcon-m2", truth.path)
    past = before.ticks["train"] <= 20 * 30_000
    spikes = [p.train.inputs.streams["spikes"] for p in (before, after)]
    np.testing.assert_array_equal(spikes[0][past], spikes[1][past])
    assert past.any() and not np.array_equal(spikes[0], spikes[1])


@pytest.mark.parametrize(
    "session_id, velocity_name, n_bins",
    [("stevenson-2011", "hand_velocity", 15_536), ("jango-20141203", "cursor_velocity", 24_000)],
)
def test_real_recordings_keep_their_bins_and_the_last_fifth_is_the_test(realdata, session_id, velocity_name, n_bins):
    suite = load_suite("realdata-reaching")
    session = next(s for s in suite.sessions if s.id == session_id)
    path = realdata / session.source.path
    parts = prepare(suite, session, path)
    with h5py.File(path) as file:
        counts = file["processing/ecephys/binned_spike_counts/data"][:]
        velocity = file[f"processing/behavior/{velocity_name}/data"][:]
    first = round(0.8 * n_bins)
    assert len(counts) == n_bins and len(parts.test) == n_bins - first
    np.testing.assert_array_equal(parts.test.inputs.streams["spikes"], counts[first:])
    np.testing.assert_allclose(parts.test.targets, velocity[first:], rtol=1e-6)
    assert find_leaks(parts, gap_s=1.0) == ()


@pytest.mark.parametrize("name, n_outputs", [("position", 2), ("force", 2), ("emg", 6)])
def test_the_further_tasks_of_jango_have_their_own_targets(realdata, name, n_outputs):
    suite = next(v for v in load_suite("realdata-reaching").variants() if v.name.endswith(f"/{name}"))
    (session,) = suite.sessions
    parts = prepare(suite, session, realdata / session.source.path)
    assert parts.test.targets.shape == (4800, n_outputs) and parts.test.scored.all()


def test_the_real_maze_excerpt_gives_each_spike_to_one_bin_of_its_trial(realdata):
    path = realdata / "mcmaze_two_trials" / "mcmaze_two_trials.nwb"
    at = TargetAt(path="processing/behavior/hand_velocity", outputs=("x", "y"))
    layout = Layout(spikes=SpikesAt(units="units"), targets={"velocity": at}, trials="intervals/trials")
    contents = read_contents(path, layout, "velocity")
    found = align(contents, files.session(), task=load_suite("primate-reaching").task, layout=layout)
    assert found.recording.inputs.starts.sum() == 2
    # A spike is lost only in the partial bin at the end of a trial, or before the behaviour's own grid.
    n_counted = found.recording.inputs.streams["spikes"].sum()
    assert 0.98 * len(contents.spikes.times_s) < n_counted <= len(contents.spikes.times_s)
