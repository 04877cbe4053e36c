"""The audit's rules on made-up answers: honest ones must pass however odd the recording, others must not."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.signal import lfilter

from harness.data.altered import blinded
from harness.judge import audit
from harness.judge.audit import (
    Judged,
    memory_is_bounded,
    noise_session,
    replays,
    rests_between_bins,
    same,
    step_time_is_steady,
)
from harness.judge.chance import chance
from harness.judge.resources import Memory
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
    assert found(targets[:29], targets[:29]).why == "29 scored bins: too few to tell"


def trials(n, n_classes=2, *, seed=0):
    """A part with a decision in every 10th bin, and its one-hot labels."""
    r = recording()
    labels = np.eye(n_classes, dtype=np.float32)[np.random.default_rng(seed).permutation(np.arange(n) % n_classes)]
    scored = np.arange(10 * n) % 10 == 9
    session = replace(r.session, kind="classification", outputs=tuple("abcd"[:n_classes]))
    inputs = replace(r.inputs, starts=np.arange(10 * n) == 0, streams={"spikes": np.zeros((10 * n, 20))})
    return replace(r, session=session, inputs=inputs, targets=np.repeat(labels, 10, axis=0), scored=scored)


@pytest.mark.parametrize("seed", range(30))
def test_guesses_at_few_trials_are_chance(seed):
    part = trials(15, seed=seed)
    guesses = np.random.default_rng(100 + seed).standard_normal(part.targets.shape)
    assert chance(part, guesses, metric=metric("balanced_accuracy"), rng=np.random.default_rng(seed), of="this").ok


@pytest.mark.parametrize(("n", "n_classes", "ok"), [(15, 2, False), (30, 4, False), (10, 2, True)])
def test_who_knows_the_order_of_the_trials_is_found_in_one_run(n, n_classes, ok):
    part, rng = trials(n, n_classes), np.random.default_rng(0)
    found = [chance(part, part.targets, metric=metric("balanced_accuracy"), rng=rng, of="this") for _ in range(2)]
    assert found[0].ok is ok and (ok or "chance reaches" in found[0].why)


def test_a_decoder_that_learned_exchanged_names_is_no_better_than_chance():
    part, rng = trials(15), np.random.default_rng(0)
    answers = blinded(part).targets + 0.7 * rng.standard_normal(part.targets.shape)
    assert chance(part, answers, metric=metric("balanced_accuracy"), rng=rng, of="this").ok


def test_a_session_of_noise_has_the_same_values_in_each_channel_in_another_order():
    inputs = recording().inputs
    noise = noise_session(inputs, np.random.default_rng(0)).streams["spikes"]
    np.testing.assert_array_equal(np.sort(noise, axis=0), np.sort(inputs.streams["spikes"], axis=0))
    assert abs(np.corrcoef(noise[:, 0], inputs.streams["spikes"][:, 0])[0, 1]) < 0.15


def test_time_since_the_start_of_a_trial_is_no_secret():
    rng, n, length = np.random.default_rng(0), 60, 40
    shape = np.sin(np.arange(length) / 6)[:, None] * [1, 2]
    targets = (np.tile(shape, (n, 1)) + 0.3 * rng.standard_normal((n * length, 2))).astype(np.float32)
    starts = np.arange(n * length) % length == 0
    r = recording()
    part = replace(r, inputs=replace(r.inputs, starts=starts, streams={"spikes": np.zeros((n * length, 20))}))
    part = replace(part, targets=targets, scored=np.ones(n * length, bool))
    clock = np.tile(shape, (n, 1))
    assert chance(part, clock, metric=R2, rng=rng, of="this").ok
    assert not chance(part, targets, metric=R2, rng=rng, of="this").ok


@pytest.mark.parametrize(
    "used_mib, reserved_mib, ok",
    [
        ([10, 10, 10, 10], [50, 50, 50, 50], True),
        ([10, 11, 11, 11], [50, 60, 60, 60], True),
        ([10, 12, 14, 16], [50, 52, 54, 56], False),
        ([10, 20, 10, 10], [50, 60, 50, 50], False),
        ([30, 10, 10, 10], [50, 50, 50, 50], True),
        ([10, 12, 14, 16], [50, 50, 50, 50], True),
    ],
    ids=["steady", "a little", "grows", "grows between", "shrinks", "fills what was there"],
)
def test_memory_may_not_rise_above_that_of_the_first_quarter(used_mib, reserved_mib, ok):
    looks = [Memory(used * MIB, reserved * MIB) for used, reserved in zip(used_mib, reserved_mib, strict=True)]
    assert memory_is_bounded(looks).ok is ok
    assert memory_is_bounded([None] * 4).ok


@pytest.mark.parametrize("late_us, ok", [(50, True), (100, True), (119, True), (121, False), (1000, False), (10, True)])
def test_a_step_may_take_twice_as_long_at_the_end(late_us, ok, monkeypatch):
    monkeypatch.setattr(audit, "RESTS_S", (0,))
    ns = np.full(1000, 50_000)
    ns[-250:] = late_us * 1000
    ns[::7] *= 40  # Disturbances of the machine decide nothing.
    assert step_time_is_steady(ns, lambda: ns).ok is ok


def test_a_machine_that_was_busy_for_a_while_is_no_fault_of_a_decoder(monkeypatch):
    rests = []
    monkeypatch.setattr(audit.time, "sleep", rests.append)
    calm, busy = np.full(1000, 50_000), np.full(1000, 50_000)
    busy[700:] *= 10
    assert step_time_is_steady(busy, iter([busy, busy, calm]).__next__).ok
    assert not step_time_is_steady(busy, lambda: busy).ok
    assert rests == [*audit.RESTS_S, *audit.RESTS_S]


def test_a_worker_may_tidy_up_between_bins_and_no_more():
    round_trips = np.full(100, 400_000)
    assert rests_between_bins(np.full(99, 230_000), round_trips).ok
    assert "used 300 us" in rests_between_bins(np.full(99, 300_000), round_trips).why


def test_the_bin_that_differs_is_named_with_its_difference():
    before = np.ones((10, 2), np.float32)
    after = before.copy()
    after[7, 1] += 0.25
    finding = same(before, after, "tried again", scale=0.5)
    assert (finding.ok, finding.max_difference) == (False, 0.25)
    assert finding.why == "bin 7 differs by 0.25 of the outputs' size, tried again (allowed: 1e-06)"


def test_one_shout_hides_no_other_difference():
    part, outputs = recording(), recording().targets.copy()
    outputs[0] = 1e8
    part = replace(part, scored=np.arange(len(part)) > 0)
    changed = outputs.copy()
    changed[100:] += 0.3
    assert Judged(part, outputs).scale < 10
    assert not Judged(part, outputs).same(outputs, changed, "tried again").ok


@pytest.mark.parametrize("seed", range(10))
def test_replays_begin_at_resets_of_the_judged_pass_and_reach_late_bins(seed):
    inputs = recording().inputs
    places = replays(inputs, np.random.default_rng(seed))
    assert {p.start for p in places} == {0, 700}
    assert all(p.start < p.stop <= len(inputs) for p in places)


def test_one_replay_is_a_whole_segment():
    rng, inputs = np.random.default_rng(0), recording().inputs
    places = [replays(inputs, rng)[-1] for _ in range(50)]
    assert {(place.start, place.stop) for place in places} == {(0, 700), (700, 1200)}
