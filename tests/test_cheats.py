"""Every cheat that we could think of, and the rule that catches it, by name. `hostile/cheats.py` holds the cheats."""

from dataclasses import replace

import numpy as np
import pytest

from harness.data.altered import blinded
from harness.data.suites import load_suite
from harness.evaluate import evaluate
from harness.judge import cell, sandbox
from harness.judge.budget import Measured, Track, shipped_tracks, why_not
from harness.judge.conformance import run_checks
from harness.plan import Plan
from harness.registry import find
from harness.results.store import Store
from tests.judging import ASKED, HOSTILE, PACED, candidate, judge, recording
from tests.tiny import Quiet, quick_profile, tiny_files, write_tiny_suite

needs_sandbox = pytest.mark.skipif(sandbox.isolation() == "process", reason="bubblewrap does not work here")


def outcome(name, asked=ASKED, **settings):
    return judge(candidate(name, "cheats.py", **settings), asked)


def expected():
    return recording().inputs.streams["spikes"][:, :2]


def broken(one):
    """Names of the audit's rules that a decoder breaks."""
    return {name for name, finding in one.findings.items() if not finding.ok}


def causal_track(one):
    """Why a tested decoder is not in the track `causal`; empty if it is."""
    track = next(t for t in shipped_tracks() if t.name == "causal")
    return why_not(track, Measured(causal=True, answer_delay_bins=0, audit_failed=tuple(sorted(broken(one)))))


def test_who_does_not_cheat_breaks_no_rule():
    one = outcome("Honest", PACED)
    assert one.status == "ok", one.error
    assert broken(one) == set()
    assert causal_track(one) == ""
    np.testing.assert_array_equal(one.outputs, expected())


@pytest.mark.parametrize(
    "name, status, message",
    [
        ("KeepsObjects", "failed", "state()['map_'] is object"),
        ("SaysNanLate", "invalid-output", "bin 999: the answer was [nan"),
        ("IsTooWide", "invalid-output", "step returned shape (3,); (2,) is asked for"),
        ("Hangs", "timed-out", "bin 500: no answer within 1.5 s"),
        ("Leaves", "failed", "left with exit code 0"),
        ("Forks", "failed", "PermissionError"),
        ("EatsMemory", "out-of-memory", "bin 0"),
        ("Floods", "failed", "printed more than"),
        ("LeavesItsCore", "failed", "PermissionError"),
        ("CallsHome", "failed", "PermissionError"),
        ("HidesItsWeights", "failed", "bin 0: FileNotFoundError"),
    ],
)
def test_a_cheat_that_fails_is_a_status_with_a_reason(name, status, message):
    one = outcome(name)
    assert one.status == status
    assert message in one.error
    assert one.outputs.size == 0


@needs_sandbox
def test_the_data_folder_is_not_there():
    one = outcome("ReadsTheDataFolder", path=str(__file__))
    assert one.status == "failed"
    assert "FileNotFoundError" in one.error


@pytest.mark.parametrize(
    "name, rule",
    [
        ("KeepsEverything", "memory_is_bounded"),
        ("KeepsEverythingElsewhere", "memory_is_bounded"),
        ("RollsDiceLate", "restart_changes_nothing"),
        ("Shouts", "restart_changes_nothing"),
        ("CannotDeclare", "declaration_holds"),
        ("DeclaresTheSky", "declaration_holds"),
        ("SlowsDown", "step_time_is_steady"),
        ("RemembersAcrossResets", "restart_changes_nothing"),
        ("RollsDice", "restart_changes_nothing"),
        ("RollsDice", "future_has_no_effect"),
        ("KnowsTheSession", "noise_session_gives_chance"),
        ("UnderstatesItsBits", "declaration_holds"),
        ("IsAnotherWhenCounted", "counted_as_judged"),
    ],
)
def test_a_cheat_breaks_a_rule_and_leaves_the_causal_track(name, rule):
    one = outcome(name)
    assert one.status == "ok", one.error
    assert rule in broken(one)
    assert rule in causal_track(one)


@pytest.mark.parametrize(
    "name, rule",
    [
        ("WorksBetweenBins", "rests_between_bins"),
        ("WorksBetweenSomeBins", "rests_between_bins"),
        ("ReadsTheProcessNumber", "same_in_two_processes"),
    ],
)
def test_a_cheat_shows_in_the_paced_pass(name, rule):
    one = outcome(name, PACED)
    assert one.status == "ok", one.error
    assert rule in broken(one)


@pytest.mark.parametrize("name", ["FillsARing", "LooksCountsUp", "DeclaresNumbersOfNumPy"])
def test_who_is_unusual_but_honest_breaks_no_rule(name):
    one = outcome(name)
    assert one.status == "ok", one.error
    assert broken(one) == set()


def test_who_cannot_be_counted_in_time_keeps_the_score_and_has_no_count():
    one = outcome("DiesSlowly")
    assert one.status == "ok", one.error
    assert one.operations.how == "unknown"
    assert "no answer within 5 s" in one.operations.why


def record_of(name, tmp_path, **plan):
    """A whole record, over the two recordings of the tiny suite."""
    suite = load_suite(str(write_tiny_suite(tmp_path)))
    files = tiny_files(suite, tmp_path / "data")
    ref = find(f"{HOSTILE / 'cheats.py'}:{name}")
    return evaluate(Plan(suite, "simulated", files, [ref], quick_profile(), Store(tmp_path / "r"), **plan), Quiet())[0]


def test_a_rule_that_is_broken_in_a_later_recording_is_in_the_record(tmp_path):
    record = record_of("BreaksRulesLater", tmp_path)
    assert not record.audit["memory_is_bounded"].ok
    assert record.audit["memory_is_bounded"].why.startswith("tiny-1: grew by")
    assert "memory_is_bounded" in record.tracks["causal"].why


def test_a_declaration_is_in_the_record_and_keeps_no_budget(tmp_path):
    frugal = Track(name="frugal", version=1, description="Few operations.", synaptic_operations_per_s=1e9)
    record = record_of("DeclaresNothing", tmp_path, tracks=[frugal])
    assert (record.cost.operations, record.cost.effective_per_bin) == ("declared", 0.0)
    assert record.tracks["frugal"].why == "synaptic_operations_per_s was not measured"


def test_what_is_slow_outside_of_the_paced_excerpt_is_not_real_time(tmp_path):
    quick = Track(name="quick", version=1, description="An answer within a bin.", p99_bins=1)
    record = record_of("IsSlowLater", tmp_path, tracks=[quick])
    assert record.paced_latency_ms.p50 < 20 < record.latency_ms.p99
    assert record.tracks["quick"].why.startswith("p99_bins is ")


def fitted_on_other_labels(name):
    """The finding on a decoder that is fitted again on labels of other times."""
    one, r = candidate(name, "cheats.py"), recording()
    blind = cell.fit(one, [blinded(r)], [blinded(r)])
    return cell.blind_fit(one, blind, blind, r, ASKED)


def test_who_recognises_the_test_bins_knows_labels_that_nobody_taught():
    finding = fitted_on_other_labels("KnowsTheBins")
    assert not finding.ok
    assert "a fit on shuffled labels scores 1" in finding.why


def test_who_only_learns_knows_nothing_after_other_labels():
    assert fitted_on_other_labels("LearnsHonestly").ok


def test_the_same_seed_learns_the_same():
    one, r = candidate("LearnsHonestly", "cheats.py"), recording()
    first, second = cell.fit(one, [r], [r]), cell.fit(one, [r], [r])
    assert cell.same_fit(one, first, second, r, ASKED).ok
    other = replace(first, artifact=cell.fit(one, [blinded(r)], [blinded(r)]).artifact)
    assert "after a second fit with the same seed" in cell.same_fit(one, first, other, r, ASKED).why


def test_frames_and_living_objects_hold_no_other_bin():
    one = outcome("ClimbsFrames")
    assert one.status == "ok", one.error
    assert not one.outputs.any()


def test_an_answer_that_is_edited_later_stays_as_it_was_sent():
    one = outcome("EditsItsAnswer")
    assert one.status == "ok", one.error
    assert not one.outputs.any()


def test_last_words_are_not_waited_for():
    one = outcome("HasLastWords")
    assert one.status == "ok", one.error
    np.testing.assert_array_equal(one.outputs, expected())


def test_a_stopped_clock_does_not_stop_the_judges():
    one = outcome("PatchesTheClock")
    assert one.status == "ok", one.error
    assert np.median(one.fast.round_trip_ns) >= 1e6


def test_work_in_a_thread_is_not_counted_as_nothing():
    one = outcome("ComputesElsewhere")
    assert one.operations.how == "unknown"
    assert "thread" in one.operations.why
    track = next(t for t in shipped_tracks() if t.name == "implant")
    measured = Measured(causal=True, p99_bins=0.1, deadline_miss_rate=0.0, answer_delay_bins=0, artifact_bytes=100)
    assert why_not(track, measured) == "synaptic_operations_per_s was not measured"


def test_declared_widths_that_hold_are_reported_beside_the_footprint():
    one = outcome("StatesItsBits")
    assert one.packed_bytes == 40 * 6 // 8
    assert one.findings["declaration_holds"].ok


@pytest.mark.parametrize("name", ["FiltersBothWays", "StandardisesEverything"])
def test_a_predict_that_looks_ahead_gains_nothing_and_fails_the_check(name):
    np.testing.assert_array_equal(outcome(name).outputs, expected())
    failed = {r.name for r in run_checks(candidate(name, "cheats.py").ref, {}) if r.status == "failed"}
    assert {"predict_equals_step", "future_has_no_effect"} <= failed


def test_who_looks_ahead_openly_is_in_the_offline_track_alone():
    one = judge(candidate("LooksAhead", "cheats.py", causal=False))
    assert one.status == "ok"
    assert one.fast is None
    reasons = {t.name: why_not(t, Measured(causal=False)) for t in shipped_tracks()}
    assert reasons["offline"] == ""
    assert {reasons[name] for name in ("causal", "realtime", "implant")} == {"the decoder has no causal step"}
