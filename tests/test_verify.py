"""Running a record again: what is the same, what is not, and where it first differs."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from harness.again import decoder_of, ready, suite_of
from harness.errors import BadData, MissingData, UsageError
from harness.judge import artifact
from harness.results.cells import arrays_to_npz, npz_to_arrays
from harness.results.receipts import read_receipt, trust
from harness.results.records import Record, sealed, sha256
from harness.results.store import Store, write_whole
from harness.verify import TOLERANCE, rerun, rescore_record
from tests.submitted import Evaluated, evaluated
from tests.tiny import Quiet


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Evaluated:
    return evaluated(tmp_path_factory.mktemp("made"))


def with_answers(made: Evaluated, root, change) -> Evaluated:
    """The same record with other predictions, and hashes that fit."""
    arrays = npz_to_arrays(made.store.predictions(made.record))
    change(arrays)
    content = arrays_to_npz(arrays)
    record = sealed(made.record.model_copy(update={"predictions_sha256": sha256(content)}))
    store = Store(root)
    store.save(record)
    write_whole(store.predictions(record), content)
    write_whole(store.artifact(record), made.store.artifact(made.record).read_bytes())
    return replace(made, store=store, record=record)


def verify(made: Evaluated, **how):
    return rerun(made.ready(), Quiet(), retrain=how.get("retrain", False), n_workers=1, only=how.get("only", ()))


@pytest.mark.parametrize("retrain", [False, True])
def test_a_record_comes_out_the_same_restored_and_learned_again(made, retrain):
    receipt = verify(made, retrain=retrain)
    assert receipt.verdict == "same" and receipt.tolerance == 0
    assert [(s.session, s.max_difference, s.first_bin) for s in receipt.sessions] == [
        ("tiny-0", 0.0, None),
        ("tiny-1", 0.0, None),
    ]
    assert receipt.sessions[0].scores == made.record.sessions[0].scores
    assert receipt.how == ("retrained" if retrain else "restored") and receipt.record == made.record.id


def test_the_first_bin_that_differs_is_named(made, tmp_path):
    def bend(arrays):
        arrays["tiny-1/outputs"][17:] *= 5

    receipt = verify(with_answers(made, tmp_path, bend), only=["tiny-1"])
    (one,) = receipt.sessions
    assert receipt.verdict == one.verdict == "within-interval" and one.first_bin == 17 and one.max_difference > 0


def test_other_answers_with_another_score_differ(made, tmp_path):
    def bend(arrays):
        arrays["tiny-0/outputs"][3:] += 1e6

    changed = with_answers(made, tmp_path, bend)
    claimed = {"scores": {"r2": 0.995}, "interval": {"r2": (0.99, 1.0)}}
    sessions = [s.model_copy(update=claimed) for s in changed.record.sessions]
    record = sealed(changed.record.model_copy(update={"sessions": sessions}))
    for kind in ("predictions", "artifact"):
        shutil.copy(getattr(changed.store, kind)(changed.record), getattr(changed.store, kind)(record))
    receipt = verify(replace(changed, record=record), only=["tiny-0"])
    assert receipt.verdict == "differs" and receipt.sessions[0].first_bin == 3


@pytest.mark.parametrize("share, verdict", [(0.5, "same"), (3.0, "within-interval")])
def test_the_tolerance_is_of_the_largest_answer(made, tmp_path, share, verdict):
    def nudge(arrays):
        outputs = arrays["tiny-0/outputs"]
        outputs[40] += share * TOLERANCE * np.abs(outputs).max()

    receipt = verify(with_answers(made, tmp_path, nudge), only=["tiny-0"])
    assert receipt.verdict == verdict and receipt.tolerance == TOLERANCE


def test_predictions_are_scored_again_without_the_decoder_with_metrics_of_today(made):
    receipt = rescore_record(made.ready(), ["rmse"])
    assert receipt.verdict == "same" and set(receipt.sessions[0].scores) == {"r2", "pearson", "rmse"}
    assert receipt.sessions[0].scores["r2"] == pytest.approx(made.record.sessions[0].scores["r2"], abs=1e-12)
    with pytest.raises(UsageError, match="unknown metric"):
        rescore_record(made.ready(), ["beauty"])


def test_an_edited_score_is_found_by_scoring_again(made, tmp_path):
    sessions = [s.model_copy(update={"scores": {**s.scores, "r2": 0.95}}) for s in made.record.sessions]
    record = sealed(made.record.model_copy(update={"sessions": sessions}))
    store = Store(tmp_path)
    write_whole(store.predictions(record), made.store.predictions(made.record).read_bytes())
    receipt = rescore_record(replace(made, store=store, record=record).ready())
    assert receipt.verdict == "differs" and receipt.sessions[0].max_difference > 0.1


def test_a_stated_score_that_these_answers_do_not_have_differs(made, tmp_path):
    def flatten(arrays):
        arrays["tiny-0/outputs"][:] = 7

    receipt = rescore_record(with_answers(made, tmp_path, flatten).ready())
    one = receipt.sessions[0]
    assert receipt.verdict == one.verdict == "differs" and one.max_difference is None and "pearson" not in one.scores


def test_predictions_of_another_recording_are_refused_when_scored(made, tmp_path):
    def cut(arrays):
        arrays["tiny-0/outputs"] = arrays["tiny-0/outputs"][:-1]

    with pytest.raises(BadData, match="its test part has"):
        rescore_record(with_answers(made, tmp_path, cut).ready())


def test_swapped_or_missing_files_are_named(made, tmp_path):
    store = Store(tmp_path)
    store.save(made.record)
    bare = replace(made, store=store)
    with pytest.raises(MissingData, match="predictions of the record are not in its store"):
        verify(bare)
    write_whole(store.predictions(made.record), b"something else")
    with pytest.raises(BadData, match="it is of another run"):
        verify(bare)
    write_whole(store.predictions(made.record), made.store.predictions(made.record).read_bytes())
    with pytest.raises(MissingData, match="artefact"):
        verify(bare)
    write_whole(store.artifact(made.record), b"\xff" * 100)
    with pytest.raises(BadData, match="it is of another run"):
        verify(bare)


def test_the_artefact_of_another_decoder_does_not_come_out_the_same(made, tmp_path):
    names = [s.session for s in made.record.sessions]
    content = artifact.pack({f"{name}/mean_": np.zeros(2, np.float32) for name in names})
    record = altered(made.record, artifact_sha256=sha256(content))
    store = Store(tmp_path)
    write_whole(store.predictions(record), made.store.predictions(made.record).read_bytes())
    write_whole(store.artifact(record), content)
    receipt = verify(replace(made, store=store, record=record), only=["tiny-0"])
    assert receipt.verdict == "differs" and receipt.sessions[0].first_bin is None


def altered(record: Record, **changes) -> Record:
    return sealed(record.model_copy(update=changes))


def test_another_source_version_suite_or_recording_is_refused(made):
    decoder = made.record.decoder
    with pytest.raises(UsageError, match="is installed with source"):
        decoder_of(altered(made.record, decoder=decoder.model_copy(update={"source_sha256": "0" * 64})))
    with pytest.raises(UsageError, match="loose file"):
        decoder_of(altered(made.record, decoder=decoder.model_copy(update={"version": "file"})))
    with pytest.raises(UsageError, match="this harness has tiny@1"):
        suite_of(altered(made.record, suite="tiny@7"), made.suite)
    sessions = [made.record.sessions[0].model_copy(update={"sha256": "0" * 64})]
    with pytest.raises(BadData, match="the record speaks of"):
        ready(altered(made.record, sessions=sessions), made.store, made.files, suite=made.suite, profile=made.profile)


def test_the_command_leaves_a_receipt_that_raises_the_trust_and_exits_by_its_verdict(made):
    environment = {**os.environ, "NEURAL_DECODER_DATA": str(made.folder / "data")}
    ours = ["--store", str(made.store.root), "--suite", made.suite, "--profile", made.profile]
    command = [sys.executable, "-m", "harness", "verify", made.record.id[:10], *ours]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    receipt = read_receipt(made.store.receipts(made.record) / f"{said['id']}.json")
    assert trust(made.record.id, [receipt]) == "reproduced"
    assert trust("0" * 64, [receipt]) == "self-reported"
    scored = subprocess.run([*command, "--rescore"], capture_output=True, text=True, env=environment)
    assert scored.returncode == 0 and "It was scored again: same" in scored.stdout
    wrong = subprocess.run([*command, "--retrain", "--rescore"], capture_output=True, text=True, env=environment)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
