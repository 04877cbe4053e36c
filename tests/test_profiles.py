"""Hardware profiles: the shipped ones load, and a wrong one is refused with the reason."""

import os
import socket
import struct
import tempfile

import pytest
import yaml

from harness.data.suites import shipped
from harness.errors import UsageError
from harness.judge.hardware import calibrate
from harness.judge.host import Worker
from harness.judge.profiles import known_profiles, load_profile
from harness.judge.turn import machine


def changed(folder, **changes):
    """A copy of cpu-1 with some keys changed; a None takes the key out."""
    content = yaml.safe_load((shipped("profiles") / "cpu-1.yaml").read_text()) | changes
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not None}))
    return str(path)


@pytest.mark.parametrize("name", ["cpu-1", "cpu-all", "cuda-1"])
def test_a_shipped_profile_loads_and_is_named_as_its_file(name):
    assert name in known_profiles()
    assert load_profile(name).label == f"{name}@1"


def test_the_reference_profile_is_one_core_one_thread_and_two_gib():
    profile = load_profile("cpu-1")
    assert (profile.n_cores, profile.n_threads, profile.memory_gib, profile.device) == (1, 1, 2, "cpu")


@pytest.mark.parametrize("name", ["cpu-1", "cpu-all", "cuda-1"])
def test_a_shipped_profile_says_how_latency_is_measured(name):
    timing = load_profile(name).timing
    assert (timing.paced_s, timing.repeats) == (5, 3)


def test_the_profiles_of_processors_have_a_reference_machine_and_that_of_a_gpu_has_none():
    references = {name: load_profile(name).reference for name in known_profiles()}
    assert references["cuda-1"] is None
    assert references["cpu-1"] == references["cpu-all"]
    assert references["cpu-1"].calibration.model_dump().keys() < calibrate().keys()


def test_all_cores_means_free_and_one_thread_for_each():
    profile = load_profile("cpu-all")
    assert (profile.n_cores, profile.n_threads) == (None, len(os.sched_getaffinity(0)))


def test_a_lab_brings_its_own_profile_as_a_file(tmp_path):
    assert load_profile(changed(tmp_path, name="bench-7", cores=4)).n_cores == 4


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"memory": 4}, "memory"),
        ({"cores": 0}, "cores"),
        ({"cores": "some"}, "cores"),
        ({"device": "tpu"}, "device"),
        ({"name": "../up"}, "name"),
        ({"limits": {"fit_seconds": 1}}, "limits.fit_memory_gib"),
        ({"memory_gib": None}, "memory_gib"),
        ({"timing": None}, "timing"),
        ({"timing": {"paced_s": 0, "repeats": 3}}, "timing.paced_s"),
        ({"timing": {"paced_s": 10, "repeats": 0.5}}, "timing.repeats"),
        ({"reference": {"machine": "m", "command": "c"}}, "reference.calibration"),
        ({"reference": {"machine": "m", "command": "c", "calibration": {"gemv_ms": 1}}}, "reference.calibration."),
    ],
)
def test_a_wrong_profile_is_refused_and_the_key_named(tmp_path, changes, named):
    with pytest.raises(UsageError, match=f"mine.yaml: {named}"):
        load_profile(changed(tmp_path, **changes))


LIMITS = load_profile("cpu-1").limits.model_dump()


@pytest.mark.parametrize("value", [0, 1e-9, -1, float("inf"), float("nan"), 1e400, "1e400", 1e300])
@pytest.mark.parametrize("key", sorted(LIMITS))
def test_a_limit_that_the_kernel_cannot_hold_is_refused(tmp_path, key, value):
    if (key, value) == ("max_artifact_mib", 1e-9):
        value = 0.0
    with pytest.raises(UsageError, match=f"mine.yaml: limits.{key}"):
        load_profile(changed(tmp_path, limits=LIMITS | {key: value}))


@pytest.mark.parametrize("value", [1e-9, float("inf"), float("nan"), 1e300])
def test_a_memory_or_paced_time_out_of_bounds_is_refused(tmp_path, value):
    with pytest.raises(UsageError, match="mine.yaml: memory_gib"):
        load_profile(changed(tmp_path, memory_gib=value))
    with pytest.raises(UsageError, match="mine.yaml: timing.paced_s"):
        load_profile(changed(tmp_path, timing={"paced_s": value, "repeats": 1}))


@pytest.mark.parametrize("key", sorted(LIMITS))
@pytest.mark.parametrize("value", [1, 1000])
def test_a_limit_that_a_lab_may_want_is_accepted(tmp_path, key, value):
    assert getattr(load_profile(changed(tmp_path, limits=LIMITS | {key: value})).limits, key) == value


@pytest.mark.parametrize("seconds, expected_s", [(1e-9, 0.004), (1e-3, 0.004), (2.5, 2.5), (1e7, 1e7)])
def test_the_socket_of_a_worker_always_has_a_limit(seconds, expected_s):
    worker = object.__new__(Worker)
    worker._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with worker._channel, theirs:
        worker._limit(seconds)
        for side in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            whole, micro = struct.unpack("ll", worker._channel.getsockopt(socket.SOL_SOCKET, side, 16))
            # The kernel rounds up to its own ticks, of 10 ms at most.
            assert 0 < whole + micro / 1e6 <= expected_s + 0.01


def test_runs_with_another_folder_for_temporary_files_wait_for_the_same_lock(tmp_path, monkeypatch):
    before = machine().path
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert tempfile.gettempdir() == str(tmp_path)
    assert machine().path == before


@pytest.mark.parametrize("name", ["cpu-9", "missing.yaml"])
def test_an_unknown_profile_names_the_known_ones(name):
    with pytest.raises(UsageError, match=f"{name}.*cpu-1, cpu-all, cuda-1"):
        load_profile(name)
