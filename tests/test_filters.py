"""Filters of boards and rows, without a page."""

import pytest

from leaderboard_app.filters import Wanted, of_subject, subjects_of, within
from leaderboard_app.runs import Board
from leaderboard_app.suites import modality_of, title_of
from leaderboard_app.table import ranking
from tests.records_factory import make_failure, make_judged, make_record, make_session

EEG = Board("eeg-motor-imagery@1", "s001", False, "cpu-1@1")
MADE_UP = Board("made-up@1", "simulated", True, "cpu-all@1")


@pytest.mark.parametrize(
    "suite, modality",
    [
        ("primate-reaching@1", "spikes"),
        ("realdata-reaching@1", "spikes"),
        ("primate-lfp@1", "lfp"),
        ("primate-lfp/spikes@1", "spikes"),
        ("eeg-motor-imagery-cross-subject/fists-or-feet@1", "eeg"),
        ("my-lab@3", "other"),
    ],
)
def test_the_signal_that_a_suite_decodes_is_known_from_its_file(suite, modality):
    assert modality_of(suite) == modality


def test_a_further_task_is_named_after_the_suites_title_and_a_strange_suite_after_itself():
    assert title_of("eeg-motor-imagery/four-classes@1").endswith("; four classes")
    assert title_of("my-lab@3") == "my-lab"


@pytest.mark.parametrize(
    "wanted, eeg, made_up",
    [
        (Wanted(), True, True),
        (Wanted(modalities=["eeg"]), True, False),
        (Wanted(modalities=["eeg", "other"]), True, True),
        (Wanted(kinds=["simulated"]), False, True),
        (Wanted(tiers=["s001"], profiles=["cpu-1@1"]), True, False),
        (Wanted(tiers=["s001"], profiles=["cpu-all@1"]), False, False),
    ],
)
def test_a_board_is_wanted_if_it_fits_every_choice(wanted, eeg, made_up):
    assert (EEG in wanted, MADE_UP in wanted) == (eeg, made_up)


def test_one_subject_s_score_is_the_mean_of_its_recordings():
    sessions = [make_session(f"s{i}", i / 10, subject="a" if i < 3 else "b") for i in range(1, 4)]
    record = make_record(sessions=sessions)
    assert subjects_of([record]) == ["a", "b"]
    (two,), (one,) = of_subject([record], "a"), of_subject([record], "b")
    assert two.scores["r2"].value == pytest.approx(0.15) and two.scores["r2"].low is None
    assert (one.scores["r2"].low, one.scores["r2"].high) == pytest.approx((0.26, 0.33))
    assert of_subject([record], "nobody else") == []


def test_a_run_that_failed_on_one_subject_has_a_score_on_the_other_alone():
    bad = make_session("s2", 0, subject="b", status="failed", error="boom", scores={})
    record = make_failure(sessions=[make_session("s1", 0.4, subject="a"), bad])
    (good,), (failed,) = of_subject([record], "a"), of_subject([record], "b")
    assert (good.status, good.scores["r2"].value) == ("ok", pytest.approx(0.4))
    assert (failed.status, failed.error, failed.scores) == ("failed", "s2: boom", {})


def test_rows_over_a_limit_and_rows_that_were_not_measured_are_left_out():
    table = ranking([make_judged("quick", p50_ms=0.01), make_judged("slow", p50_ms=1.0), make_record("unmeasured")])
    left = within(table, {"p99_ms": 0.5, "operations_per_s": 1e9})
    assert left.query("kind == 'ranked'")["decoder"].tolist() == ["quick"]
    assert set(left["kind"]) == {"ranked", "reference", "floor"}
