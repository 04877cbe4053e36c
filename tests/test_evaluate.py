"""Whole evaluations: what they leave, what they reuse, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from harness.data import prepared
from harness.data.cache import Cache
from harness.data.protocol import SignalStream
from harness.data.suites import load_suite
from harness.errors import UsageError
from harness.evaluate import evaluate, shared_out
from harness.judge import cell as judge_cell
from harness.plan import Plan
from harness.registry import find
from harness.results.cells import npz_to_arrays
from harness.results.reading import read_record
from harness.results.records import document_id, sha256
from harness.results.store import Store
from tests.tiny import Quiet, quick_profile, tiny_files, write_quick_profile, write_tiny_suite

HOSTILE = Path(__file__).parent / "hostile" / "misbehaving.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The environment in which commands find the tiny suite's sessions, written once."""
    folder = tmp_path_factory.mktemp("tiny")
    suite = load_suite(str(write_tiny_suite(folder)))
    write_quick_profile(folder)
    return suite, tiny_files(suite, folder / "data"), folder


@pytest.fixture(scope="module")
def plan(data):
    suite, files, folder = data
    decoders = [find("train-mean"), find("wiener")]
    return Plan(suite, "simulated", files, decoders, quick_profile(), Store(folder / "results"))


@pytest.fixture(scope="module")
def records(plan):
    """What a first evaluation gave: train-mean, wiener."""
    return evaluate(plan, Quiet())


def harness(*arguments: object, data: tuple) -> subprocess.Popen:
    profile = ("--profile", data[2] / "quick.yaml") if arguments[0] == "eval" else ()
    command = [sys.executable, "-m", "harness", *map(str, (*arguments, *profile))]
    environment = {**os.environ, "NEURAL_DECODER_DATA": str(data[2] / "data")}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)


def test_a_record_holds_a_whole_run(plan, records):
    floor, wiener = records
    assert [s.session for s in wiener.sessions] == ["tiny-0", "tiny-1"]
    assert wiener.simulated
    assert wiener.status == "ok"
    assert wiener.scores["r2"].value > 0.2 > floor.scores["r2"].value
    assert wiener.scores["r2"].low < wiener.scores["r2"].value < wiener.scores["r2"].high
    assert wiener.latency_ms.n == sum(len(v) for k, v in predictions(plan, wiener).items() if k.endswith("outputs"))
    assert wiener.tracks["causal"].ok
    assert document_id(wiener.model_dump(mode="json", by_alias=True)) == wiener.id


def predictions(plan, record):
    return npz_to_arrays(plan.store.predictions(record))


def test_a_record_pins_its_predictions_and_artefact_by_hash(plan, records):
    record = records[1]
    assert sha256(plan.store.predictions(record).read_bytes()) == record.predictions_sha256
    assert sha256(plan.store.artifact(record).read_bytes()) == record.artifact_sha256
    assert read_record(plan.store.record_path(record)) == record


@pytest.mark.long
def test_mapped_sessions_give_the_same_artefacts_and_scores(plan, records, tmp_path, monkeypatch):
    mapped = replace(plan, decoders=[find("wiener")], cache=Cache(tmp_path / "data"))
    (first,) = evaluate(replace(mapped, store=Store(tmp_path / "first")), Quiet())
    monkeypatch.setattr(prepared, "read", None)  # from now on, all comes from the cache
    (again,) = evaluate(replace(mapped, store=Store(tmp_path / "again")), Quiet())
    right = records[1]
    assert first.artifact_sha256 == again.artifact_sha256 == right.artifact_sha256
    assert first.scores == again.scores == right.scores


def test_finished_work_is_never_run_twice(plan, records, monkeypatch):
    monkeypatch.setattr(judge_cell, "learn", None)
    monkeypatch.setattr(judge_cell, "test", None)
    assert evaluate(plan, Quiet()) == records


def test_failed_work_is_run_again_on_request_only(plan, records, monkeypatch):
    failed = judge_cell.Fitted("out-of-memory", "fit: killed", b"", 0.0)
    monkeypatch.setattr(judge_cell, "learn", lambda *_, after=None, notes=None: failed)
    poor = replace(plan, decoders=[find("train-mean")], store=Store(plan.store.root.parent / "poor"))
    assert evaluate(poor, Quiet())[0].status == "out-of-memory"
    monkeypatch.undo()
    assert evaluate(poor, Quiet())[0].status == "out-of-memory"
    again = evaluate(replace(poor, rerun="failed"), Quiet())[0]
    assert again.scores == records[0].scores


def test_a_hyper_parameter_makes_another_cell(plan, records):
    changed = replace(plan, decoders=[find("wiener")], settings={"refit": "false"})
    record = evaluate(changed, Quiet())[0]
    assert record.decoder.parameters["refit"] is False
    assert record.sessions[0].cell != records[1].sessions[0].cell


def test_a_failing_decoder_has_a_record_and_the_others_go_on(plan):
    decoders = [find(f"{HOSTILE}:Raises"), find("train-mean")]
    bad, good = evaluate(replace(plan, decoders=decoders), Quiet())
    assert (bad.status, good.status) == ("failed", "ok")
    assert "tiny-0: bin 499: ValueError: boom" in bad.error
    assert bad.scores == {}
    assert not bad.tracks["offline"].ok


def test_a_decoder_that_wants_another_stream_is_told_what_the_suite_gives(plan, tmp_path):
    source = HOSTILE.read_text().replace('inputs = ("spikes",)', 'inputs = ("lfp",)')
    (tmp_path / "other.py").write_text(source)
    with pytest.raises(UsageError, match="reads lfp; suite tiny@1 gives spikes"):
        evaluate(replace(plan, decoders=[find(f"{tmp_path}/other.py:SumOfCounts")]), Quiet())


def test_in_a_suite_of_several_tasks_a_decoder_runs_where_its_streams_are(plan, tmp_path):
    source = HOSTILE.read_text().replace('inputs = ("spikes",)', 'inputs = ("lfp",)')
    (tmp_path / "other.py").write_text(source)
    on_lfp = find(f"{tmp_path}/other.py:SumOfCounts")
    signals = {"lfp": SignalStream(signal="lfp", samples_per_bin=1)}
    lfp = plan.suite.task.model_copy(update={"inputs": ("lfp",), "signals": signals})
    variants = [plan.suite, plan.suite.model_copy(update={"task": lfp})]
    plans = shared_out(replace(plan, decoders=[*plan.decoders, on_lfp]), variants)
    assert [[ref.name for ref in p.decoders] for p in plans] == [["train-mean", "wiener"], ["train-mean", on_lfp.name]]
    with pytest.raises(UsageError, match="reads lfp; suite tiny@1 gives spikes"):
        shared_out(replace(plan, decoders=[on_lfp]), variants[:1])
    assert shared_out(replace(plan, decoders=[on_lfp]), variants[:1], asked_for=False) == []


def finished(store: Path) -> dict[str, int]:
    """Every finished fit and cell, with the time at which it appeared; folders with a dot are half written."""
    return {str(p): p.stat().st_mtime_ns for kind in ("fits", "cells") for p in (store / kind).glob("*/[!.]*/*.json")}


@pytest.mark.long
def test_a_killed_run_goes_on_where_it_was_and_ends_the_same(data, tmp_path):
    arguments = ("eval", "--suite", data[2] / "tiny.yaml", "--workers", 1, "--json", "--store")
    process = harness(*arguments, tmp_path / "killed", data=data)
    until = time.monotonic() + 60
    while not finished(tmp_path / "killed") and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    before = finished(tmp_path / "killed")
    assert 0 < len(before) < 8
    resumed, whole = (harness(*arguments, tmp_path / name, data=data) for name in ("killed", "whole"))
    assert results(resumed) == results(whole)
    after = finished(tmp_path / "killed")
    assert {path: after[path] for path in before} == before
    assert len(after) == 8


def results(process: subprocess.Popen) -> list[tuple]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    records = [json.loads(line) for line in out.splitlines()]
    return [(r["decoder"]["name"], r["scores"], r["sessions"][0]["scores"], r["artifact_sha256"]) for r in records]


@pytest.mark.long
def test_two_runs_at_once_lose_nothing(data, tmp_path):
    arguments = ("eval", "--suite", data[2] / "tiny.yaml", "--json", "--store", tmp_path)
    first, second = (harness(*arguments, data=data) for _ in range(2))
    assert results(first) == results(second)
    assert len(finished(tmp_path)) == 8


def test_ctrl_c_ends_workers_at_once_and_keeps_nothing_of_them(data, tmp_path):
    source = HOSTILE.read_text().replace('raise RuntimeError("no convergence")', "time.sleep(1000)")
    (tmp_path / "slow.py").write_text(source)
    store = tmp_path / "results"
    arguments = ("--suite", data[2] / "tiny.yaml", "--decoder", f"{tmp_path}/slow.py:FailsToFit", "--store", store)
    process = harness("eval", *arguments, data=data)
    until = time.monotonic() + 60
    while not list(store.glob("locks/*")) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "the same command goes on from there" in err
    assert finished(store) == {}


def test_a_joint_fit_is_one_artefact_for_all_recordings(plan):
    joint = replace(plan, suite=plan.suite.model_copy(update={"fit": "joint"}), decoders=[find("wiener")])
    record = evaluate(joint, Quiet())[0]
    assert record.status == "ok", record.error
    assert len({s.fit_s for s in record.sessions}) == 1
    assert record.cost.fit_s == record.sessions[0].fit_s


@pytest.mark.long
def test_two_decoders_of_one_name_stay_apart(plan, tmp_path):
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(HOSTILE.read_text())
    decoders = [find(f"{tmp_path}/{name}.py:SumOfCounts") for name in ("one", "two")]
    records = evaluate(replace(plan, decoders=decoders), Quiet())
    assert [r.decoder.name for r in records] == ["one.py:SumOfCounts", "two.py:SumOfCounts"]


def test_a_failed_decoder_gives_exit_code_3(data, tmp_path):
    arguments = ("--suite", data[2] / "tiny.yaml", "--decoder", f"{HOSTILE}:Raises", "--store", tmp_path)
    process = harness("eval", *arguments, data=data)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "boom" in out + err
    assert "Traceback" not in err


def test_one_task_of_a_suite_can_be_asked_for_and_an_unknown_one_is_refused():
    from harness.cli.eval import _variants

    suite = load_suite("realdata-reaching")
    assert [v.label for v in _variants(suite, "local", ["force"])] == ["realdata-reaching/force@1"]
    assert len(_variants(suite, "local", [])) == 4
    sessions = tuple(s.model_copy(update={"tasks": (*s.tasks, "velocity", "slow")}) for s in suite.sessions)
    slow = suite.model_copy(update={"further_tasks": {"slow": suite.task}, "sessions": sessions})
    assert [v.name for v in _variants(slow, "local", [])] == ["realdata-reaching", "realdata-reaching/slow"]
    with pytest.raises(UsageError, match="no task 'speed'; it has: emg, force, position, velocity"):
        _variants(suite, "local", ["speed"])
