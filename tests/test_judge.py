"""The judge against decoders that behave and decoders that do not."""

import errno
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness import Inputs, Recording, StreamInfo
from harness.errors import DecoderError
from harness.judge import artifact, cell, memory_file, sandbox
from harness.judge.profiles import load_profile
from harness.registry import find
from tests.judging import ASKED, HOSTILE, N_BINS, SESSION, candidate, judge, recording


def run(name: str, *, causal: bool = True, **settings: object) -> cell.Tested:
    return judge(candidate(name, causal=causal, **settings))


def test_a_streamed_linear_map_equals_the_product_of_matrices():
    tested = run("SumOfCounts")
    expected = recording().inputs.streams["spikes"].sum(axis=1)
    assert tested.status == "ok"
    np.testing.assert_allclose(tested.outputs, np.stack([expected, expected], axis=1))
    assert tested.fast.round_trip_ns.shape == (N_BINS,)
    assert (tested.fast.round_trip_ns > 0).all()


def test_a_well_behaved_decoder_passes_the_audit():
    findings = run("SumOfCounts").findings
    assert set(findings) == {
        *("restart_changes_nothing", "future_has_no_effect", "noise_session_gives_chance", "memory_is_bounded"),
        *("step_time_is_steady", "counted_as_judged", "declaration_holds"),
    }
    assert {name: finding.why for name, finding in findings.items() if not finding.ok} == {}


@pytest.mark.parametrize(
    "name, status, message",
    [
        ("Raises", "failed", "bin 499: ValueError: boom"),
        ("Hangs", "timed-out", "bin 499: no answer within 1.5 s"),
        ("Exits", "failed", "bin 499: the worker left with exit code 7"),
        ("EatsMemory", "out-of-memory", "bin 499: MemoryError"),
        ("Floods", "failed", "bin 499: printed more than"),
        ("SaysNan", "invalid-output", "bin 499: the answer was [nan, nan]"),
        ("TooWide", "invalid-output", "bin 499: WrongAnswer: step returned shape (3,); (2,)"),
        ("SaysNothing", "invalid-output", "bin 499: WrongAnswer: step returned shape ()"),
        ("FailsToFit", "failed", "fit: RuntimeError: no convergence"),
        ("KeepsObjects", "failed", "state()['map_'] is object"),
        ("AnswersEarly", "invalid-output", "no answer to this bin"),
        ("ClaimsSuccess", "invalid-output", "bin 499: all is well"),
        ("TalksRubbish", "invalid-output", "fit: the worker's reply of 8 bytes is not readable"),
        ("BlamesTheUser", "failed", "bin 499: UsageError: you typed something wrong"),
        ("Mumbles", "failed", "bin 499: ValueError: ? ?[31m"),
        ("HasInfiniteField", "failed", "its fields must be finite JSON values"),
    ],
)
def test_a_decoder_that_misbehaves_costs_its_own_cell(name, status, message):
    tested = run(name)
    assert tested.status == status
    assert message in tested.error
    assert tested.outputs.size == 0


def test_a_fork_bomb_gets_no_first_process():
    tested = run("Forks")
    assert tested.status == "failed"
    assert "Operation not permitted" in tested.error


@pytest.mark.skipif(sandbox.isolation() == "process", reason="bubblewrap does not work here")
def test_inside_the_sandbox_there_is_no_data_folder_and_no_network():
    tested = run("LooksAround", look_for=str(Path(__file__)))
    assert tested.status == "ok", tested.error
    assert tested.isolation == "sandbox"
    assert not tested.outputs.any()


def test_without_a_sandbox_the_run_still_works_and_says_so(monkeypatch):
    monkeypatch.setattr(sandbox, "isolation", lambda: "process")
    tested = run("SumOfCounts")
    assert (tested.status, tested.isolation) == ("ok", "process")


def test_a_decoder_that_looks_ahead_is_predicted_at_once_and_never_timed():
    tested = run("LooksAhead", causal=False)
    expected = np.roll(recording().inputs.streams["spikes"].sum(axis=1), -1)
    np.testing.assert_allclose(tested.outputs[:, 0], expected)
    assert tested.fast is None


def test_a_thousand_long_channel_names_reach_the_worker():
    names = tuple(f"channel-{i:04}-of-the-second-array" for i in range(1000))
    session = replace(SESSION, streams={"spikes": StreamInfo(1000, channels=names)})
    counts = np.ones((200, 1000), np.float32)
    inputs = Inputs({"spikes": counts}, np.arange(200) == 0, 0.02)
    wide = Recording(session, inputs, counts[:, :2], np.ones(200, bool))
    one = cell.Candidate(find(f"{HOSTILE}/misbehaving.py:SumOfCounts"), {}, True, load_profile("cpu-1"))
    fitted = cell.fit(one, [wide] * 20, [wide] * 20)
    assert cell.test(one, fitted, wide, ASKED).outputs[0, 0] == 1000


def test_two_workers_of_root_are_two_users():
    commands = [sandbox.worker_command(3, readable=[], limits="{}", level="sandbox") for _ in range(2)]
    uids = [c[c.index("--reuid") + 1] for c in commands if "--reuid" in c]
    assert len(set(uids)) == len(uids)


def test_an_artefact_keeps_arrays_of_every_plain_kind():
    whole = np.arange(6, dtype=np.int16).reshape(2, 3)
    arrays = {"a_": np.full((), 3.5), "b_": whole, "c_": np.array([True])}
    restored = artifact.unpack(artifact.pack(arrays, {"seed": 1}))
    assert {name: values.tolist() for name, values in restored.items()} == {n: v.tolist() for n, v in arrays.items()}
    assert artifact.meta(artifact.pack(arrays, {"seed": 1})) == {"seed": 1}


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, (10**15).to_bytes(8, "little") + b"{}"])
def test_bytes_that_are_no_artefact_are_refused(content):
    with pytest.raises(DecoderError, match="no safetensors file"):
        artifact.unpack(content)


def test_memory_that_the_kernel_holds_for_a_moment_is_sealed_all_the_same(monkeypatch):
    given, asked = memory_file.fcntl.fcntl, []

    def busy_twice(*arguments: int) -> int:
        asked.append(arguments)
        if len(asked) < 3:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return int(given(*arguments))

    monkeypatch.setattr(memory_file.fcntl, "fcntl", busy_twice)
    monkeypatch.setattr(memory_file, "SEAL_WAIT_S", 0)
    with memory_file.memory_file("x", b"content") as file, pytest.raises(OSError, match="not permitted"):
        os.write(file.fileno(), b"more")
    assert len(asked) == 3
