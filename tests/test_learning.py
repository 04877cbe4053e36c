"""Pretraining, fits and adaptations: who is given what, what is kept, and answers that come late."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness import Delay, Inputs
from harness.checkpoint import Progress
from harness.data.altered import last_bins
from harness.data.suites import Suite
from harness.errors import UsageError
from harness.evaluate import evaluate
from harness.judge import artifact, cell
from harness.judge.budget import Measured, shipped_tracks, why_not
from harness.judge.notes import progress_in
from harness.plan import Plan
from harness.registry import find
from harness.results.store import Store
from tests.judging import ASKED, candidate, judge, recording
from tests.tiny import TINY, Quiet, quick_profile, tiny_files

STAGED = Path(__file__).parent / "staged_decoders.py"
N_TRAIN, N_VALIDATION = 1775, 575
"""Bins of 20 ms in three fifths and a fifth of a minute, half a second less at the end of each."""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sessions")
    suite = Suite.model_validate(yaml.safe_load(TINY))
    return tiny_files(suite, folder / "data")


def tiny(**changes) -> Suite:
    return Suite.model_validate(yaml.safe_load(TINY) | changes)


def with_roles(first: str, second: str, **changes) -> Suite:
    sessions = [s | {"role": role} for s, role in zip(yaml.safe_load(TINY)["sessions"], (first, second), strict=True)]
    return tiny(sessions=sessions, **changes)


def run(suite, files, folder, name: str, **changes):
    """Evaluate one decoder of the file; the record, and the arrays of its artefact."""
    decoder = find(f"{STAGED}:{name}")
    plan = Plan(suite, "simulated", files, [decoder], quick_profile(), Store(folder), **changes)
    record = evaluate(plan, Quiet())[0]
    learned = artifact.unpack(plan.store.artifact(record).read_bytes()) if record.artifact_sha256 else {}
    return record, learned


def test_pretraining_sees_train_and_validation_parts_without_labels_and_is_done_once(files, tmp_path):
    record, learned = run(tiny(pretraining=["tiny-0", "tiny-1"]), files, tmp_path, "StagedDiary")
    bins = [N_TRAIN, N_TRAIN, N_VALIDATION, N_VALIDATION]
    assert learned["tiny-1/pretrained_"].tolist() == [[n, 0] for n in bins]
    assert learned["tiny-1/restored_"].tolist() == [2, ord("0")], "restored for the pretraining sessions"
    assert [(s.stage, s.sessions, s.labels) for s in record.learning] == [
        ("pretrain", ("tiny-0", "tiny-1"), False),
        ("fit", ("tiny-0",), True),
        ("fit", ("tiny-1",), True),
    ]
    assert record.cost.pretrain_s == record.learning[0].seconds > 0


def test_pretraining_has_labels_where_the_suite_says_so(files, tmp_path):
    suite = tiny(pretraining=["tiny-1"], pretraining_labels=True)
    learned = run(suite, files, tmp_path, "StagedDiary")[1]
    assert learned["tiny-0/pretrained_"].tolist() == [[N_TRAIN, N_TRAIN], [N_VALIDATION, N_VALIDATION]]


def test_a_decoder_without_stages_skips_them(files, tmp_path):
    suite = with_roles("source", "new", fit="joint", calibration_s=10, pretraining=["tiny-0"])
    record, learned = run(suite, files, tmp_path, "Diary")
    assert [s.stage for s in record.learning] == ["fit"]
    assert learned["tiny-1/fitted_"].tolist() == [[N_TRAIN, N_TRAIN], [N_VALIDATION, N_VALIDATION]]


def test_a_new_session_is_adapted_to_from_the_last_seconds_of_its_train_part(files, tmp_path):
    suite = with_roles("source", "new", fit="joint", calibration_s=10)
    record, learned = run(suite, files, tmp_path, "StagedDiary")
    assert [s.session for s in record.sessions] == ["tiny-1"]
    assert learned["tiny-1/adapted_"].tolist() == [[500, 500]]
    assert learned["tiny-1/fitted_"].tolist() == [[N_TRAIN, N_TRAIN], [N_VALIDATION, N_VALIDATION]]
    assert [(s.stage, s.sessions) for s in record.learning] == [("fit", ("tiny-0",)), ("adapt", ("tiny-1",))]
    assert record.cost.adapt_s > 0
    assert record.cost.fit_s + record.cost.adapt_s == pytest.approx(record.sessions[0].fit_s)


def test_the_session_adapted_to_comes_first_when_its_artefact_is_restored():
    """A network is built from the shapes of the first session."""
    one = candidate("StagedDiary", file="../staged_decoders.py")
    r = recording()
    other = replace(r, session=replace(r.session, id="session-7"))
    adapted = cell.learn(one, cell.Lesson("adapt", {"recording": [other]}), after=cell.fit(one, [r], [r]))
    assert [s.id for s in adapted.sessions] == ["session-7", r.session.id]


def test_a_failed_stage_fails_the_run_with_its_name(files, tmp_path):
    record, _ = run(tiny(pretraining=["tiny-0"]), files, tmp_path, "FailsToPretrain")
    assert record.status == "failed"
    assert "pretrain: " in record.error and "no such luck" in record.error


@pytest.mark.long
def test_pretraining_goes_down_the_line_of_those_that_it_begins_with(files, tmp_path):
    record, learned = run(tiny(pretraining=["tiny-0", "tiny-1"]), files, tmp_path, "Grandchild", seeds=[7])
    names = ["Grandparent", "Middle", "Grandchild", "Grandchild"]
    assert [s.decoder.rpartition(":")[2] for s in record.learning] == names
    assert [s.stage for s in record.learning] == ["pretrain", "pretrain", "fit", "fit"]
    assert learned["tiny-0/second_"].tolist() == [4 + 100, 7 + 100], "with the seed of the one that asks"
    assert all(len(s.artifact_sha256) == 64 for s in record.learning)


@pytest.mark.long
def test_a_pretraining_that_two_decoders_begin_with_is_done_once(files, tmp_path):
    suite = tiny(pretraining=["tiny-0", "tiny-1"])
    first, _ = run(suite, files, tmp_path, "Grandchild", seeds=[7])
    other, _ = run(suite, files, tmp_path, "OtherGrandchild", seeds=[7])
    another_seed, _ = run(suite, files, tmp_path, "OtherGrandchild", seeds=[8])
    assert other.learning[:2] == first.learning[:2]
    assert another_seed.learning[0].key != first.learning[0].key


@pytest.mark.long
def test_a_record_says_what_a_decoder_notes_of_its_backend(files, tmp_path):
    record, _ = run(tiny(), files, tmp_path, "WithBackend")
    assert {stage.backend for stage in record.learning} == {"own scan, torch 9?"}


def test_the_window_of_a_decoder_that_looks_ahead_is_its_latency_in_the_record(files, tmp_path):
    record, _ = run(tiny(), files, tmp_path, "InWindows")
    assert record.delays_ms == {"look_ahead": 0, "interpolation": 0, "window": 2000, "filter": 0, "bin": 20} | {
        "compute": 0,
        "total": 2020,
    }


def test_a_decoder_that_begins_with_itself_is_a_failure_with_a_reason(files, tmp_path):
    record, _ = run(tiny(), files, tmp_path, "Endless")
    assert record.status == "invalid-output" and "pretrained_by" in record.error


@pytest.mark.parametrize("where", ["os:getcwd", "sys:exit", "__main__:Any", "numpy:ndarray", "harness.evaluate:Any"])
def test_what_is_begun_with_lies_beside_the_decoder_or_where_decoders_are(files, tmp_path, where):
    suite = tiny(pretraining=["tiny-0"])
    record, _ = run(suite, files, tmp_path, "BeginsElsewhere", settings={"where": where})
    assert record.status == "failed" and f"begins with '{where}', which is not beside it" in record.error


@pytest.mark.parametrize(
    ("name", "seed", "why"),
    [("BeginsWithOtherParameters", 1, "has no field 'absent'"), ("BeginsUnluckily", 13, "no luck with 13")],
)
def test_a_beginning_that_cannot_be_made_fails_its_decoder_and_not_the_evaluation(files, tmp_path, name, seed, why):
    record, _ = run(tiny(pretraining=["tiny-0"]), files, tmp_path, name, seeds=[seed])
    assert record.status == "failed" and why in record.error


def test_training_that_died_goes_on_from_its_notes_when_it_is_run_again(files, tmp_path):
    suite = tiny(pretraining=["tiny-0"])
    died, _ = run(suite, files, tmp_path, "Noting")
    (notes,) = (tmp_path / "unfinished").iterdir()
    assert died.status == "failed" and progress_in(notes) == Progress(5, 10, 1 / 5)
    record, learned = run(suite, files, tmp_path, "Noting", rerun="failed")
    assert record.status == "ok" and int(learned["tiny-0/began_at_"]) == 5
    assert record.learning[0].seconds > died.learning[0].seconds, "the time of both attempts"
    assert not list((tmp_path / "unfinished").iterdir()), "what is done needs no notes"


@pytest.mark.long
def test_a_full_audit_takes_all_stages_again(files, tmp_path):
    suite = with_roles("source", "new", fit="joint", calibration_s=10, pretraining=["tiny-0"])
    record, _ = run(suite, files, tmp_path, "StagedDiary", audit="full")
    assert record.audit["same_seed_gives_same_outputs"].ok
    assert record.audit["shuffled_labels_give_chance"].ok


@pytest.mark.long
def test_a_changed_split_of_a_new_session_is_another_test(files, tmp_path):
    suite = with_roles("source", "new", fit="joint")
    late = suite.model_copy(
        update={"splits": {"time": suite.splits["time"].model_copy(update={"fractions": (0.2, 0.2, 0.6)})}}
    )
    first, second = (run(s, files, tmp_path, "Diary")[0].sessions[0] for s in (suite, late))
    assert second.n_scored_bins == pytest.approx(3 * first.n_scored_bins, abs=2)


@pytest.mark.long
def test_what_is_learned_belongs_to_its_session_s_name(files, tmp_path):
    suite = tiny()
    named = suite.sessions[0].model_copy(update={"id": "renamed"})
    renamed = suite.model_copy(update={"sessions": (named,)})
    run(suite, files, tmp_path, "StagedDiary")
    record, _ = run(renamed, files | {"renamed": files["tiny-0"]}, tmp_path, "StagedDiary")
    assert [s.sessions for s in record.learning] == [("renamed",)]


@pytest.mark.long
def test_a_delay_that_hides_behind_equal_parameters_is_another_run(files, tmp_path):
    late, punctual = (run(tiny(), files, tmp_path, "HidesItsWait", settings={"wait": wait})[0] for wait in (5, 0))
    assert (late.answer_delay_bins, punctual.answer_delay_bins) == (5, 0)
    assert {s.cell for s in late.sessions}.isdisjoint(s.cell for s in punctual.sessions)


def test_a_delayed_answer_to_noise_is_held_against_its_own_time(files, tmp_path):
    """It knows its labels by heart and gives them late: noise does not keep it from knowing them."""
    r = recording()
    one = candidate("ByHeart", file="../staged_decoders.py", wait=25)
    tested = cell.test(one, cell.fit(one, [r], [r]), r, replace(ASKED, delay=Delay(25)))
    assert not tested.findings["noise_session_gives_chance"].ok


def test_one_file_under_two_splits_is_refused(files, tmp_path):
    twin = yaml.safe_load(TINY)["sessions"][0] | {"id": "twin", "split": "late"}
    splits = yaml.safe_load(TINY)["splits"] | {"late": {"kind": "time", "fractions": [0.1, 0.1, 0.8]}}
    suite = tiny(sessions=[*yaml.safe_load(TINY)["sessions"], twin], splits=splits, pretraining=["twin"])
    with pytest.raises(UsageError, match="'tiny-0' and 'twin' are one file with two splits"):
        run(suite, files | {"twin": files["tiny-0"]}, tmp_path, "Diary")


def test_a_tier_of_new_sessions_alone_is_refused(files, tmp_path):
    with pytest.raises(UsageError, match="nothing to fit"):
        run(with_roles("new", "new", fit="joint"), files, tmp_path, "Diary")


def test_a_source_that_nothing_is_learned_from_and_a_new_session_with_labels_are_refused():
    with pytest.raises(ValueError, match="nothing is learned from source 'tiny-0'"):
        with_roles("source", "scored")
    with pytest.raises(ValueError, match="'tiny-1' has the role 'new' and would be pretrained on with labels"):
        with_roles("source", "new", fit="joint", pretraining=["tiny-1"], pretraining_labels=True)


@pytest.mark.parametrize(
    "changes, said",
    [
        ({"pretraining": ["elsewhere"]}, "'elsewhere' is none of the suite's sessions"),
        ({"calibration_s": 5}, "no session has the role 'new'"),
    ],
)
def test_a_suite_whose_stages_lack_sessions_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        tiny(**changes)


def test_a_new_session_needs_a_joint_fit():
    with pytest.raises(ValueError, match="needs `fit: joint`"):
        with_roles("source", "new", calibration_s=5)


def test_the_last_bins_of_a_recording_begin_anew():
    r = recording()
    end = last_bins(r, 100)
    assert np.array_equal(end.targets, r.targets[-100:])
    assert end.inputs.starts.tolist() == [True] + [False] * 99


@pytest.mark.parametrize("honest", [True, False])
def test_a_late_answer_counts_for_the_bin_that_it_is_about(honest):
    settings = {} if honest else {"look_ahead_bins": 0, "interpolation_bins": 0}
    tested = judge(candidate("Late", file="../staged_decoders.py", **settings))
    r = recording()
    delay = Delay(2, 1) if honest else Delay()
    outputs = delay.aligned(tested.outputs, r.inputs)
    known = np.concatenate([np.arange(697), np.arange(700, len(r) - 3)])
    assert np.array_equal(outputs[known], r.targets[known]) == honest


def test_the_end_of_each_segment_repeats_its_last_answer():
    outputs = np.arange(8, dtype=np.float32)[:, None]
    inputs = Inputs({}, np.isin(np.arange(8), [0, 5]), 0.02)
    assert Delay(1, 1).aligned(outputs, inputs)[:, 0].tolist() == [2, 3, 4, 4, 4, 7, 7, 7]
    assert Delay(4, 4).aligned(outputs, inputs)[:, 0].tolist() == [4, 4, 4, 4, 4, 7, 7, 7]


def test_a_late_answer_is_latency_and_keeps_out_of_the_causal_tracks(files, tmp_path):
    record, _ = run(tiny(), files, tmp_path, "Late")
    assert record.delays_ms["look_ahead"] == pytest.approx(40)
    assert record.delays_ms["interpolation"] == pytest.approx(20)
    assert record.delays_ms["total"] == pytest.approx(80 + record.delays_ms["compute"])
    kept = {name for name, verdict in record.tracks.items() if verdict.ok}
    assert kept == {"offline", "delayed"}
    assert "answer_delay_bins is 3; 0 is allowed" in record.tracks["causal"].why


def test_the_delayed_track_allows_a_tenth_of_a_second_in_all():
    delayed = next(t for t in shipped_tracks() if t.name == "delayed")
    for delay_ms, said in ((99.0, ""), (101.0, "delay_ms is 101; 100 is allowed")):
        found = Measured(causal=True, delay_ms=delay_ms, answer_delay_bins=23, deadline_miss_rate=0.0)
        assert why_not(delayed, found) == said


def test_declared_bits_make_the_artefact_smaller(files, tmp_path):
    record, learned = run(tiny(), files, tmp_path, "Narrow")
    assert record.cost.artifact_bytes < 4000 * 9 / 8 + 600
    assert record.cost.parameters == 4000
    assert learned["tiny-0/weights_"].dtype == np.int16
    assert record.audit["declaration_holds"].ok
