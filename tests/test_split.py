"""Splits: parts that share no scored bin, with gaps, context and breaks."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from harness.data.align import Aligned
from harness.data.split import find_leaks, split
from harness.data.split_rules import PARTS, TimeSplit, Window
from harness.data.trial_parts import first_times
from harness.errors import BadData
from harness.types import Inputs, Recording, SessionInfo, StreamInfo
from tests.nwb_files import trial_rule

BIN_S, BIN_TICKS, CLOCK_HZ = 0.1, 100, 1000


def whole(n_bins, *, breaks=(), unmeasured=()):
    """A session whose counts and targets are the number of the bin; breaks are 10 s long."""
    k = np.arange(n_bins)
    starts = np.isin(k, [0, *breaks])
    ticks = (k + 1) * BIN_TICKS + 10_000 * (np.cumsum(starts) - 1)
    targets = k[:, None].astype(np.float32)
    targets[list(unmeasured)] = np.nan
    info = SessionInfo("s", "A", {"spikes": StreamInfo(1)}, BIN_S, ("x",))
    inputs = Inputs({"spikes": k[:, None].astype(np.float32)}, starts, BIN_S)
    return Aligned(Recording(info, inputs, targets, np.isfinite(targets[:, 0])), ticks, CLOCK_HZ, BIN_TICKS)


def bins(recording):
    return recording.inputs.streams["spikes"][:, 0].astype(int)


def scored(recording):
    return bins(recording)[recording.scored].tolist()


def trials(*starts_s, length_s=1.0, **columns):
    starts = np.array(starts_s, float)
    return {"start_time": starts, "stop_time": starts + length_s} | columns


def test_time_parts_are_contiguous_and_the_gap_is_taken_from_the_earlier_part():
    parts = split(whole(100), {}, TimeSplit(fractions=(0.68, 0.12, 0.2), gap_s=0.5))
    assert bins(parts.train).tolist() == list(range(63))
    assert bins(parts.validation).tolist() == list(range(68, 75))
    assert bins(parts.test).tolist() == list(range(80, 100))


def test_a_time_part_starts_anew_and_keeps_its_breaks():
    parts = split(whole(100, breaks=[90]), {}, TimeSplit(fractions=(0.6, 0.2, 0.2), gap_s=0))
    assert np.flatnonzero(parts.test.inputs.starts).tolist() == [0, 10]
    assert np.flatnonzero(parts.train.inputs.starts).tolist() == [0]


def test_fractions_must_sum_to_one():
    with pytest.raises(ValidationError, match="must sum to 1, not to 0.9"):
        TimeSplit(fractions=(0.5, 0.2, 0.2))


def test_a_bin_is_in_the_part_in_whose_window_its_right_edge_lies():
    parts = split(whole(40), trials(0.0, 1.0, 2.0), trial_rule(fractions=(0.34, 0.33, 0.33)))
    # Right edges are 0.1, 0.2, ...: the window (1, 2] holds the ten bins that lie wholly in it.
    assert scored(parts.validation) == list(range(10, 20))
    assert scored(parts.train) == list(range(10)) and scored(parts.test) == list(range(20, 30))


def test_a_window_is_a_column_plus_an_offset_and_nan_trials_are_in_no_part():
    onset = np.array([0.5, np.nan, 2.5, 4.5])
    window = Window(start="onset", start_offset_s=-0.2, stop="onset", stop_offset_s=0.3)
    rule = trial_rule(window=window, fractions=(0.34, 0.33, 0.33))
    parts = split(whole(60), trials(0, 1, 2, 4, onset=onset), rule)
    assert scored(parts.train) == [3, 4, 5, 6, 7]
    assert scored(parts.validation) == [23, 24, 25, 26, 27]


def test_kept_trials_are_cut_in_time_order_whatever_their_order_in_the_table():
    table = trials(5, 0, 1, 4, 2, 3, result=np.array(["R", "R", "F", "R", "R", "R"]))
    parts = split(whole(70), table, trial_rule(keep={"result": ("R",)}, fractions=(0.6, 0.2, 0.2)))
    assert scored(parts.train) == [*range(10), *range(20, 40)]
    assert scored(parts.validation) == list(range(40, 50)) and scored(parts.test) == list(range(50, 60))


def test_a_column_may_name_the_parts_and_the_last_train_trials_validate():
    names = np.array(["train", "val", "train", "none", "train", "train", "train"])
    rule = trial_rule(column="split", validation_fraction=0.4)
    parts = split(whole(80), trials(*range(7), split=names), rule)
    assert scored(parts.train) == [*range(10), *range(20, 30), *range(40, 50)]
    assert scored(parts.validation) == list(range(50, 70)) and scored(parts.test) == list(range(10, 20))


def test_the_first_of_several_times_per_trial_counts():
    ragged = np.empty(3, object)
    ragged[:] = [np.array([1.0, 2.0]), np.array([]), np.array([5.0])]
    np.testing.assert_array_equal(first_times(ragged), [1.0, np.nan, 5.0])
    np.testing.assert_array_equal(first_times(np.array([[1.0, 2.0], [np.nan, 3.0]])), [1.0, np.nan])


def test_context_is_unscored_and_its_targets_are_hidden():
    parts = split(whole(60), trials(0, 2, 4), trial_rule(fractions=(0.34, 0.33, 0.33), context_s=0.3))
    assert bins(parts.test).tolist() == list(range(37, 50))
    assert parts.test.scored.tolist() == [False] * 3 + [True] * 10
    assert np.isnan(parts.test.targets[:3]).all() and parts.test.targets[3:, 0].tolist() == list(range(40, 50))


def test_runs_that_touch_are_one_and_others_start_anew():
    rule = trial_rule(fractions=(0.6, 0.2, 0.2), context_s=0.5)
    parts = split(whole(100), trials(0, 1.3, 4, 6, 8), rule)
    assert bins(parts.train).tolist() == [*range(23), *range(35, 50)]
    assert np.flatnonzero(parts.train.inputs.starts).tolist() == [0, 23]


def test_context_never_crosses_a_break():
    parts = split(whole(60, breaks=[38]), trials(0, 2, 14), trial_rule(fractions=(0.34, 0.33, 0.33), context_s=1.0))
    assert bins(parts.test)[0] == 38 and parts.test.inputs.starts[0]


def test_context_of_an_earlier_part_stops_at_the_scored_bins_of_a_later_one():
    names = np.array(["train", "val", "train", "train"])
    rule = trial_rule(column="split", validation_fraction=0.34, context_s=5.0)
    parts = split(whole(40), trials(0, 1, 2, 3, split=names), rule)
    assert bins(parts.train).tolist() == [*range(10), *range(20, 30)]
    assert bins(parts.test).tolist() == list(range(20)) and scored(parts.test) == list(range(10, 20))


def test_bins_near_another_part_are_not_scored():
    parts = split(whole(60), trials(0, 1, 2), trial_rule(fractions=(0.34, 0.33, 0.33), gap_s=0.3))
    assert scored(parts.train) == list(range(7))
    assert scored(parts.validation) == list(range(13, 17))
    assert find_leaks(parts, gap_s=0.3) == ()


def test_a_bin_in_the_windows_of_two_parts_goes_to_the_later_part():
    parts = split(whole(60), trials(0, 2, 2.5), trial_rule(fractions=(0.34, 0.33, 0.33)))
    assert scored(parts.validation) == list(range(20, 25)) and scored(parts.test) == list(range(25, 35))


def test_unmeasured_bins_are_not_scored():
    parts = split(whole(40, unmeasured=[5, 25]), trials(0, 1, 2), trial_rule(fractions=(0.34, 0.33, 0.33)))
    assert 5 not in scored(parts.train) and 25 not in scored(parts.test)


@pytest.mark.parametrize("rule", [TimeSplit(fractions=(0.6, 0.2, 0.2), gap_s=3.0), trial_rule(gap_s=5.0)])
def test_a_part_without_a_scored_bin_is_named(rule):
    with pytest.raises(BadData, match="its (train|validation) part has no scored bin"):
        split(whole(100), trials(0, 1, 2, 3, 4), rule)


@pytest.mark.parametrize("seed", range(20))
def test_random_trials_never_leak_and_gaps_are_kept(seed):
    rng = np.random.default_rng(seed)
    n = 40
    table = trials(*np.sort(rng.uniform(0, 190, n)), length_s=rng.uniform(0.2, 6, n))
    named = {"split": rng.choice(["train", "val", "none"], n)}
    gap_s, context_s = rng.choice([0.0, 0.3, 0.7]), rng.choice([0.0, 0.5, 4.0])
    rule = trial_rule(column="split" if seed % 2 else None, gap_s=gap_s, context_s=context_s)
    parts = split(whole(2000, breaks=[700, 1100]), table | named, rule)
    assert find_leaks(parts, gap_s=gap_s) == ()
    # The same by brute force, on the numbers of the bins alone.
    mine = {part: set(scored(parts[part])) for part in PARTS}
    for earlier, later in itertools.combinations(PARTS, 2):
        assert not mine[later] & set(bins(parts[earlier]).tolist())


def test_leaks_are_found_and_said():
    rule = TimeSplit(fractions=(0.6, 0.2, 0.2), gap_s=0.5)
    parts = split(whole(100), {}, rule)
    assert find_leaks(parts, gap_s=0.5) == ()
    assert "validation and test are 0.5 s apart, where 1 s belong" in find_leaks(parts, gap_s=1.0)
    leaking = replace(parts, train=parts.test, ticks={**parts.ticks, "train": parts.ticks["test"]})
    assert "20 scored bins of test lie in train" in find_leaks(leaking)


def still(n_bins, outputs, *, still_from=0):
    """A session with one output per column; the named columns stand still from a bin on."""
    found = whole(n_bins)
    targets = np.repeat(found.recording.targets, len(outputs), axis=1)
    targets[still_from:, [i for i, name in enumerate(outputs) if name.startswith("still")]] = 3.0
    info = replace(found.recording.session, outputs=outputs)
    return replace(found, recording=replace(found.recording, session=info, targets=targets))


def test_an_output_that_never_changes_in_the_test_is_refused_with_what_to_do():
    rule = TimeSplit(fractions=(0.6, 0.2, 0.2), gap_s=0)
    with pytest.raises(BadData, match=r"session 's': still-y does not change in the 20 scored bins .* leave"):
        split(still(100, ("x", "still-y")), {}, rule)
    with pytest.raises(BadData, match="still-x, still-y do not change"):
        split(still(100, ("still-x", "still-y"), still_from=80), {}, rule)
    assert split(still(100, ("x", "still-y"), still_from=82), {}, rule).test.scored.sum() == 20


@pytest.mark.parametrize("rule", [trial_rule(keep={"cues": (1.0,)}), trial_rule(column="cues", train=("1",))])
def test_a_column_of_several_values_per_trial_cannot_choose_trials(rule):
    ragged = np.empty(3, object)
    ragged[:] = [np.array([1.0, 2.0]), np.array([]), np.array([5.0])]
    for column in (ragged, np.ones((3, 2))):
        with pytest.raises(BadData, match="trial column 'cues' has several values per trial"):
            split(whole(60), trials(0, 1, 2, cues=column), rule)


@pytest.mark.parametrize(
    "column", [np.empty((3, 0)), np.ones((3, 2, 2)), np.array([np.array(["a", "b"]), np.array(["c"])], object)]
)
def test_a_window_column_that_gives_no_times_is_refused(column):
    with pytest.raises(BadData, match="gives no times; correct the window"):
        first_times(column)


def test_bins_that_lie_a_little_too_close_still_keep_the_gap():
    """The gap is a second of time, not only ten bins of a file whose clock is slow."""
    found = whole(100)
    found = replace(found, ticks=found.ticks - np.arange(100) // 2)
    parts = split(found, {}, TimeSplit(fractions=(0.6, 0.2, 0.2), gap_s=1.0))
    assert find_leaks(parts, gap_s=1.0) == ()
