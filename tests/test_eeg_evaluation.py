"""Whole evaluations of classes: folds, what they may know, what noise scores, what the record says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from harness.cli.scoreboard import show_records
from harness.data.nwb_eeg import EegRecording, EegRun, Trial, write_eeg
from harness.data.suites import load_suite
from harness.errors import UsageError
from harness.evaluate import evaluate, refuse_unserved
from harness.plan import Plan
from harness.registry import find
from harness.results.cells import npz_to_arrays
from harness.results.store import Store
from tests.tiny import Quiet, quick_profile

DECODERS = Path(__file__).parent / "eeg_decoders.py"
N_TRIALS, RUN_S = 10, 88.0
SUITE = """
name: tiny-eeg
version: 1
title: Made-up motor imagery
task: {inputs: [eeg, cue], target: side, kind: classification, bin_s: 0.1,
       signals: {eeg: {signal: eeg, samples_per_bin: 16}}}
metrics: [balanced_accuracy, cohen_kappa]
decoders: []
layouts:
  eeg:
    signals: {eeg: {path: acquisition/eeg}}
    trials: intervals/trials
    targets:
      side: {column: class, classes: {left: [left_fist], right: [right_fist]}}
splits:
  each: {kind: runs, runs: 3}
  last: {kind: runs, runs: 3, test: last}
sessions:
  - {id: A, subject: A, group: g, layout: eeg, split: each, tiers: [loud], source: {host: file, path: A.nwb}}
  - {id: B, subject: B, group: g, layout: eeg, split: each, tiers: [noise], source: {host: file, path: B.nwb}}
"""


def write_subject(path: Path, *, effect: float, seed: int, numbers: tuple[int, ...] = (4, 8, 12)) -> None:
    """Runs of ten trials; channel 0 is louder in `left` trials by this factor."""
    rng = np.random.default_rng(seed)
    runs = []
    for number in numbers:
        counts = rng.normal(scale=30, size=(round(RUN_S * 160), 4))
        labels = rng.permutation(["left_fist", "right_fist"] * (N_TRIALS // 2))
        trials = [Trial(4.2 + 8.3 * i, 4.1, str(label)) for i, label in enumerate(labels)]
        for trial in trials:
            inside = slice(round(trial.start_s * 160), round((trial.start_s + trial.duration_s) * 160))
            counts[inside, 0] *= 1 + effect * (trial.label == "left_fist")
        runs.append(EegRun(number, True, counts.astype(np.int16), trials))
    name = path.stem
    write_eeg(path, EegRecording(name, name, f"{name}-{seed}", "made up", 160.0, ("C3", "C4", "Cz", "Pz"), 1.0, runs))


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eeg")
    (folder / "tiny-eeg.yaml").write_text(SUITE)
    suite = load_suite(str(folder / "tiny-eeg.yaml"))
    files = {name: folder / f"{name}.nwb" for name in "AB"}
    for i, path in enumerate(files.values()):
        write_subject(path, effect=0.0 if i else 1.0, seed=i)
    return Plan(suite, "loud", files, [find(f"{DECODERS}:LogPower")], quick_profile(), Store(folder / "results"))


@pytest.fixture(scope="module")
def record(plan):
    return evaluate(plan, Quiet())[0]


def test_all_trials_of_a_subject_are_tested_and_pooled(record):
    (session,) = record.sessions
    assert session.n_scored_bins == 3 * N_TRIALS and np.sum(session.trials.confusion) == 3 * N_TRIALS
    assert record.status == "ok" and record.scores["balanced_accuracy"].value > 0.9
    assert record.chance == 0.5 and session.floor == {"chance": 0.5}


def test_each_fold_is_a_fit_of_its_own_and_all_are_in_the_record(plan, record):
    fits = [stage for stage in record.learning if stage.stage == "fit"]
    assert len(fits) == 3 and len({stage.artifact_sha256 for stage in fits}) == 3
    artefact = plan.store.artifact(record).read_bytes()
    assert all(f"A/fold-{i}/means_".encode() in artefact for i in (1, 2, 3))


def test_accuracy_over_time_rises_from_chance_and_outputs_are_kept_at_every_bin(plan, record):
    trials = record.sessions[0].trials
    at = dict(zip(trials.offset_s, trials.balanced_accuracy, strict=True))
    assert at[2.0] == pytest.approx(record.scores["balanced_accuracy"].value)
    assert at[0.1] < 0.8 < at[3.0] and len(at) == 40
    outputs = npz_to_arrays(plan.store.predictions(record))["A/outputs"]
    assert len(outputs) == 3 * round(RUN_S / 0.1) and np.isfinite(outputs).all()


def test_the_table_has_decoder_metric_and_chance_in_whole_words(record, plan, capsys):
    show_records([record], store=plan.store.root)
    printed = capsys.readouterr().out
    assert all(word in printed for word in (record.decoder.name, "balanced", "accuracy", "(chance", "0.50)"))


def test_every_rule_of_the_audit_is_kept_and_the_run_is_causal_and_in_real_time(record):
    assert {name: verdict.why for name, verdict in record.audit.items() if not verdict.ok} == {}
    assert record.tracks["causal"].ok and record.latency_ms.n == 3 * round(RUN_S / 0.1)


def test_noise_scores_chance_within_its_interval(plan):
    found = evaluate(replace(plan, tier="noise"), Quiet())[0].scores["balanced_accuracy"]
    assert found.low <= 0.5 <= found.high


@pytest.mark.long
def test_a_full_audit_fits_every_fold_again_and_once_on_other_trials_labels(plan):
    found = evaluate(replace(plan, audit="full"), Quiet())[0]
    assert found.audit["same_seed_gives_same_outputs"].ok and found.audit["shuffled_labels_give_chance"].ok
    assert len([stage for stage in found.learning if stage.stage == "fit"]) == 3


def test_finished_folds_are_not_run_again(plan, record):
    assert evaluate(plan, Quiet())[0].id == record.id


def with_changes(plan, **changes):
    given = yaml.safe_load(SUITE) | changes
    return type(plan.suite).model_validate(given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fit": "joint"}, "need `fit: each`"),
        ({"pretraining": ["A"]}, "no pretraining on it"),
        ({"metrics": ["r2"]}, "not of classification"),
        ({"splits": {"each": {"kind": "time", "fractions": [0.6, 0.2, 0.2]}}}, "does not fit a task"),
        ({"splits": {"each": {"kind": "whole", "part": "train"}}}, "leaves it no test"),
    ],
)
def test_a_suite_whose_folds_would_leak_is_refused(plan, changes, message):
    with pytest.raises(ValueError, match=message):
        with_changes(plan, **changes)


def test_one_file_with_two_splits_in_a_tier_is_refused(plan):
    twin = yaml.safe_load(SUITE)
    twin["sessions"].append({**twin["sessions"][0], "id": "A-again", "split": "last"})
    suite = type(plan.suite).model_validate(twin)
    with pytest.raises(UsageError, match="one file with two splits"):
        refuse_unserved(replace(plan, suite=suite, files={**plan.files, "A-again": plan.files["A"]}))


def test_sessions_that_share_a_file_among_others_are_refused(plan):
    row = yaml.safe_load(SUITE)["sessions"][0]
    source = {"host": "physionet", "dataset": "eegmmidb", "version": "1.0.0", "subject": "S001"}
    runs = {"A": [4, 8, 12], "B": [4, 8, 12], "C": [6, 8, 10]}
    rows = {name: row | {"id": name, "source": source | {"runs": of}} for name, of in runs.items()}
    refuse_unserved(replace(plan, suite=with_changes(plan, sessions=[rows["A"], rows["B"]])))
    with pytest.raises(UsageError, match="share the file S001/S001R08.edf"):
        refuse_unserved(replace(plan, suite=with_changes(plan, sessions=list(rows.values()))))


@pytest.mark.long
def test_a_fold_of_several_runs_is_one_fit_and_all_its_runs_are_tested(plan):
    suite = with_changes(plan, splits={"each": {"kind": "runs", "runs": 4, "test_runs": 2}})
    write_subject(plan.store.root.parent / "four.nwb", effect=1.0, seed=3, numbers=(4, 6, 8, 10))
    files = {"A": plan.store.root.parent / "four.nwb"}
    (found,) = evaluate(replace(plan, suite=suite, files=files), Quiet())
    assert len([stage for stage in found.learning if stage.stage == "fit"]) == 2
    assert found.sessions[0].n_scored_bins == 4 * N_TRIALS and found.scores["balanced_accuracy"].value > 0.9
