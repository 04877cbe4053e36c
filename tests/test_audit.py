"""The audit's rules on made-up answers: honest ones must pass however odd the recording, others must not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from harness.judge.audit import (
    Finding,
    chance,
    memory_is_bounded,
    noise_session,
    rests_between_bins,
    same,
    step_time_is_steady,
    worst,
)
from harness.judge.stream import Streamed
from harness.score.metrics import metric
from tests.judging import recording

R2 = metric("r2")
MIB = 1 << 20


def slow(n, seed, *, memory_bins):
    """A signal that forgets slowly: two of them correlate by chance."""
    steps = np.random.default_rng(seed).standard_normal((n, 2))
    return lfilter([1], [1, -np.exp(-1 / memory_bins)], steps, axis=0).astype(np.float32)


def found(targets, outputs, *, name="r2", seed=0):
    n = len(targets)
    part = replace(recording(), targets=targets, scored=np.ones(n, bool))
    return chance(part, outputs, metric=metric(name), rng=np.random.default_rng(seed), of="this")


@pytest.mark.parametrize("name, memory_bins", [("r2", 30), ("r2", 1e9), ("rmse", 1e9), ("pearson", 30)])
@pytest.mark.parametrize("seed", range(20))
def test_answers_that_know_nothing_are_chance_also_for_slow_signals(name, memory_bins, seed):
    targets, outputs = (slow(1200, s, memory_bins=memory_bins) for s in (seed, 100 + seed))
    assert found(targets, outputs, name=name).ok


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_answers_that_know_a_part_are_not_chance(share):
    targets = recording().targets
    outputs = share * targets + (1 - share) * np.random.default_rng(1).permutation(targets)
    finding = found(targets, outputs)
    assert not finding.ok
    assert finding.why.startswith("this scores ")


def test_constant_answers_and_constant_labels_are_chance():
    targets = recording().targets
    assert found(targets, np.zeros_like(targets)).ok
    assert found(np.ones_like(targets), targets).ok
    assert found(targets[:2], targets[:2]).why == "2 scored bins: too few to tell"


def test_a_session_of_noise_has_the_same_values_in_each_channel_in_another_order():
    inputs = recording().inputs
    noise = noise_session(inputs, np.random.default_rng(0)).streams["spikes"]
    np.testing.assert_array_equal(np.sort(noise, axis=0), np.sort(inputs.streams["spikes"], axis=0))
    assert abs(np.corrcoef(noise[:, 0], inputs.streams["spikes"][:, 0])[0, 1]) < 0.15


@pytest.mark.parametrize(
    "looks, ok",
    [
        ([10 * MIB] * 4, True),
        ([10 * MIB, 11 * MIB, 11 * MIB, 11 * MIB], True),
        ([10 * MIB, 12 * MIB, 14 * MIB, 16 * MIB], False),
        ([10 * MIB, 20 * MIB, 10 * MIB, 10 * MIB], False),
        ([30 * MIB, 10 * MIB, 10 * MIB, 10 * MIB], True),
        ([None] * 4, True),
    ],
)
def test_memory_may_not_rise_above_that_of_the_first_quarter(looks, ok):
    assert memory_is_bounded(looks).ok is ok


@pytest.mark.parametrize("late_us, ok", [(50, True), (100, True), (119, True), (121, False), (1000, False), (10, True)])
def test_a_step_may_take_twice_as_long_at_the_end(late_us, ok):
    ns = np.full(1000, 50_000)
    ns[-250:] = late_us * 1000
    ns[::7] *= 40  # Disturbances of the machine decide nothing.
    assert step_time_is_steady(Streamed(np.zeros((1000, 1)), ns)).ok is ok


def test_a_worker_may_tidy_up_between_bins_and_no_more():
    round_trips = np.full(100, 400_000)
    assert rests_between_bins(np.full(99, 230_000), round_trips).ok
    assert "used 300 us" in rests_between_bins(np.full(99, 300_000), round_trips).why


def test_the_bin_that_differs_is_named_with_its_difference():
    before = np.ones((10, 2), np.float32)
    after = before.copy()
    after[7, 1] += 0.25
    finding = same(before, after, "tried again")
    assert (finding.ok, finding.max_difference) == (False, 0.25)
    assert finding.why == "bin 7 differs by 0.25 of the largest output, tried again (allowed: 1e-06)"


def test_of_several_findings_a_failed_one_speaks():
    fine, close, failed = Finding(True, "", 0.0), Finding(True, "", 1e-9), Finding(False, "no", 1.0)
    assert worst([fine, failed, close]) is failed
    assert worst([fine, close]) is close
    assert worst([]).ok
