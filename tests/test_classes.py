"""Trials on bins: what is a cue, a label, a decision; runs as parts, each tested once."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from harness.data.align import align
from harness.data.altered import blinded
from harness.data.causality import alignment_looks_ahead
from harness.data.protocol import ClassesAt, Task
from harness.data.split import find_leaks, split
from harness.data.split_rules import PARTS, RunSplit, WholeSplit
from harness.errors import BadData, UsageError
from tests.eeg_cases import AT, BIN_S, LAYOUT, RATE_HZ, SESSION, TASK, contents

EACH, LAST = RunSplit(kind="runs", runs=3), RunSplit(kind="runs", runs=3, test="last")


def aligned(of=None, **task):
    return align(of or contents(), SESSION, task=TASK.model_copy(update=task), layout=LAYOUT)


def at_cue(cue_s: float, stop_s: float = 12.0):
    """One trial of each class, the second at this time."""
    made = contents(1)
    trials = {
        "start_time": np.array([1.0, cue_s]),
        "stop_time": np.array([5.0, stop_s]),
        "class": np.array(["left_fist", "right_fist"]),
    }
    return aligned(replace(made, trials=trials)).recording


@pytest.mark.parametrize("cue_s", [8.0, 8.0301, 8.0999, 8.1])
def test_the_decision_is_the_last_bin_whose_right_edge_is_two_seconds_after_the_cue_or_earlier(cue_s):
    found = at_cue(cue_s)
    edges_s = BIN_S * np.arange(1, len(found) + 1)
    by_hand = max(k for k in range(len(found)) if edges_s[k] <= cue_s + 2 + 1e-9)
    assert np.flatnonzero(found.scored).tolist()[1:] == [by_hand]


@pytest.mark.parametrize("cue_s", [8.0, 8.0301, 8.0999, 8.1])
def test_the_cue_is_in_the_bin_in_which_it_appears_and_says_no_class(cue_s):
    cue = at_cue(cue_s).inputs.streams["cue"]
    right_edges_s = BIN_S * (1 + np.flatnonzero(cue[:, 0]))
    assert cue.shape[1] == 1 and set(np.unique(cue)) == {0.0, 1.0} and len(right_edges_s) == 2
    assert right_edges_s[1] - BIN_S < cue_s <= right_edges_s[1] + 1e-9


def test_labels_are_one_hot_from_the_bin_after_the_cue_until_the_trial_or_four_seconds_end():
    found = at_cue(8.0, stop_s=10.55)
    labelled = np.flatnonzero(np.isfinite(found.targets[:, 0]))
    assert labelled.tolist() == [*range(10, 50), *range(80, 105)]  # 1.0 s to 5.0 s, then 8.0 s to 10.5 s
    assert (found.targets[10:50] == [1, 0]).all() and (found.targets[80:105] == [0, 1]).all()


@pytest.mark.parametrize(("cue_s", "stop_s"), [(8.0, 9.5), (58.5, 70.0)])  # the run ends at 60 s
def test_a_trial_that_ends_before_its_decision_has_a_cue_but_no_labels(cue_s, stop_s):
    found = at_cue(cue_s, stop_s)
    assert found.scored.sum() == 1 and np.isfinite(found.targets[:, 0]).sum() == 40
    assert np.flatnonzero(found.inputs.streams["cue"][:, 0]).tolist() == [9, round(cue_s * 10) - 1]


@pytest.mark.parametrize("later_s", [0.0, 0.5, 1.9, 2.5])
def test_a_recording_that_stops_soon_after_a_cue_has_the_same_cues_until_then(later_s):
    made = contents(1)
    stop_s = made.trials["start_time"][3] + later_s
    known = made.trials["start_time"] <= stop_s
    eeg = made.signals["eeg"]
    n = int(np.sum(eeg.times_s <= stop_s))
    cut = replace(made, trials={name: values[known] for name, values in made.trials.items()})
    cut = replace(cut, signals={"eeg": replace(eeg, values=eeg.values[:n], times_s=eeg.times_s[:n])})
    whole, until = (aligned(of).recording.inputs.streams["cue"] for of in (made, cut))
    np.testing.assert_array_equal(until, whole[: len(until)])
    assert until.sum() == 4


@pytest.mark.parametrize(
    ("values", "allowed"),
    [([True, False], (True,)), ([4, 6], (4,)), (["4", "6"], ("4",)), ([4.0, 6.0], (4, "imagined"))],
)
def test_other_classes_and_kept_columns_choose_trials(values, allowed):
    made = contents(1)
    column = np.resize(values, len(made.trials["class"]))
    layout = LAYOUT.model_copy(update={"targets": {"side": AT.model_copy(update={"keep": {"run": allowed}})}})
    both = replace(made, trials={**made.trials, "run": column})
    assert align(both, SESSION, task=TASK, layout=layout).recording.scored.sum() == 4


def test_samples_of_a_bin_are_those_up_to_its_right_edge_and_runs_begin_anew():
    made = contents(2)
    found = aligned(made).recording
    assert np.flatnonzero(found.inputs.starts).tolist() == [0, 600]
    values = made.signals["eeg"].values
    np.testing.assert_allclose(found.inputs.streams["eeg"][0], values[1:17], rtol=1e-6)
    second = round(60 * RATE_HZ)
    np.testing.assert_allclose(found.inputs.streams["eeg"][600], values[second + 1 : second + 17], rtol=1e-6)


def test_bins_of_trials_do_not_look_ahead():
    look = alignment_looks_ahead(aligned, contents(), rng=np.random.default_rng(0))
    assert look == ""


def test_a_cue_that_comes_early_is_found_to_look_ahead():
    def early(of):
        found = aligned(of)
        cue = found.recording.inputs.streams["cue"]
        cue[:-5] = cue[5:].copy()
        return found

    found = [alignment_looks_ahead(early, contents(seed=i), rng=np.random.default_rng(i)) for i in range(8)]
    assert any("cue of bin" in why for why in found)


def test_each_run_is_tested_once_and_learned_from_in_all_other_folds():
    whole = aligned()
    folds = [split(whole, {}, EACH, fold=i) for i in range(3)]
    tested = np.concatenate([parts.ticks["test"] for parts in folds])
    np.testing.assert_array_equal(np.sort(tested), whole.ticks)
    for parts in folds:
        every = np.concatenate([parts.ticks[part] for part in PARTS])
        np.testing.assert_array_equal(np.sort(every), whole.ticks)
        assert find_leaks(parts) == ()


def test_validation_is_the_last_fifth_of_the_trials_of_the_last_run_learned_from():
    parts = split(aligned(), {}, LAST)
    n_trials = [int(parts[part].scored.sum()) for part in PARTS]
    assert n_trials == [13, 1, 7]  # seven trials a run, a fifth of seven is one
    assert parts.validation.inputs.streams["cue"][0, 0] == 1 and len(parts.test.inputs.segments()) == 1


def test_validation_counts_trials_with_a_decision_alone():
    made = contents()
    begins_s, stop_s = made.trials["start_time"], made.trials["stop_time"].copy()
    stop_s[13] = begins_s[13] + 1.0  # the last of the second run is cut short
    parts = split(aligned(replace(made, trials={**made.trials, "stop_time": stop_s})), {}, LAST)
    assert [int(parts[part].scored.sum()) for part in PARTS] == [12, 1, 7]
    assert parts.validation.inputs.streams["cue"][:, 0].sum() == 2


def test_runs_that_hold_other_classes_are_tested_together():
    rule = RunSplit(kind="runs", runs=6, test_runs=2)
    whole = aligned(contents(6))
    for fold in range(rule.n_folds):
        parts = split(whole, {}, rule, fold=fold)
        np.testing.assert_array_equal(parts.ticks["test"], whole.ticks[1200 * fold : 1200 * (fold + 1)])
        assert [int(parts[part].scored.sum()) for part in PARTS] == [26, 2, 14]
        n_starts = [len(parts[part].inputs.segments()) for part in PARTS]
        assert n_starts == [4, 2, 2] and find_leaks(parts) == ()
    assert rule.n_folds == 3


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"runs": 6, "test_runs": 4}, "no whole folds of 4"),
        ({"runs": 3, "test_runs": 3}, "nothing is left to learn from"),
        ({"runs": 3, "test_runs": 3, "test": "last"}, "nothing is left to learn from"),
    ],
)
def test_runs_that_make_no_folds_are_refused(rule, message):
    with pytest.raises(ValidationError, match=message):
        RunSplit.model_validate({"kind": "runs", **rule})


@pytest.mark.parametrize(("run", "part"), [(2, "test"), (None, "train")])
def test_a_part_without_one_of_the_classes_is_refused(run, part):
    made = contents()
    sides = made.trials["class"].copy()
    sides[14:] = "right_fist"
    sides[:14] = "left_fist" if part == "train" else sides[:14]
    with pytest.raises(BadData, match=f"trials in {part} is of class '(left|right)'"):
        split(aligned(replace(made, trials={**made.trials, "class": sides})), {}, LAST)


def test_a_session_that_is_only_learned_from_has_one_part():
    parts = split(aligned(), {}, WholeSplit(kind="whole", part="validation"))
    assert [len(parts[part]) for part in PARTS] == [0, len(aligned().ticks), 0]


def test_a_session_with_another_number_of_runs_is_refused():
    with pytest.raises(BadData, match="has 2 runs, and its split is for 3"):
        split(aligned(contents(2)), {}, EACH)


def test_labels_of_a_part_are_kept_in_all_bins_of_its_trials():
    train = split(aligned(), {}, EACH).train
    n_labelled = int(np.isfinite(train.targets[:, 0]).sum())
    assert n_labelled == 40 * train.scored.sum()


@pytest.mark.parametrize("n_classes", [2, 4])
def test_blinding_gives_every_trial_a_name_that_is_wrong_and_keeps_trials_whole(n_classes):
    labels = np.repeat(np.eye(n_classes, dtype=np.float32), 30, axis=0)
    train = split(aligned(), {}, LAST).train
    blind = blinded(replace(train, targets=np.concatenate([np.full((5, n_classes), np.nan), labels]))).targets
    assert np.isnan(blind[:5]).all() and (blind[5:].sum(axis=1) == 1).all()
    assert not (blind[5:] * labels).any() and not np.diff(blind[5:].argmax(axis=1)).astype(bool).sum() >= n_classes


@pytest.mark.parametrize(
    ("trials", "message"),
    [
        ({"class": np.array(["rest", "rest"])}, "no trial of left_fist, right_fist lies .*; column 'class' has rest:"),
        ({"class": np.array([1.0, 2.0])}, "column 'class' has 1.0, 2.0"),
        ({"class": np.array([np.zeros(2), np.zeros(3)], dtype=object)}, "'class' has several values for a trial"),
        ({"class": np.zeros((2, 2))}, "'class' has several values for a trial"),
        ({"start_time": np.array(["a", "b"])}, "'start_time' holds <U1, where seconds belong"),
        ({"start_time": np.array([1.0, 3.0])}, "overlap"),
        ({"stop_time": np.array([np.nan, 9.0])}, "no cue or no end"),
    ],
)
def test_trials_that_cannot_be_are_refused(trials, message):
    two = {
        "start_time": np.array([1.0, 6.0]),
        "stop_time": np.array([5.0, 10.0]),
        "class": np.array(["left_fist", "right_fist"]),
    }
    with pytest.raises(BadData, match=message):
        aligned(replace(contents(1), trials=two | trials))


def test_a_task_of_classes_without_a_signal_has_no_bins():
    with pytest.raises(UsageError, match="have no bins"):
        aligned(replace(contents(1), signals={}), inputs=("cue",))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": {"left": ("a",), "right": ("a",)}}, "no value can be of two classes"),
        ({"classes": {"left": ("a",)}}, "at least 2"),
        ({"decision_s": 5.0}, "after until_s"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        ClassesAt.model_validate({"column": "class", "classes": AT.classes} | change)


def test_a_cue_is_no_input_of_a_regression():
    with pytest.raises(ValidationError, match="is of classification"):
        Task(inputs=("cue",), target="velocity", bin_s=0.1)
