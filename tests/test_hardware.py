"""The machine: what it is found to be, what it can serve, when a pass counts as disturbed; and `harness hardware`."""

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
import yaml
from threadpoolctl import threadpool_info
from typer.testing import CliRunner

from harness.cli import app
from harness.cli.hardware import compared
from harness.data.suites import shipped
from harness.errors import UsageError
from harness.judge import hardware
from harness.judge.hardware import Guard, bandwidth, calibrate, pinned, why_noisy, why_not_served
from harness.judge.profiles import load_profile

GIB = 2**30
KERNELS = {"gemv_small_ms": 0.02, "gemv_20mb_ms": 0.7, "python_loop_ms": 0.25, "python_load_ms": 2.4}
CALM = KERNELS | {"wall_over_cpu": 1.01}
SYSTEM = {
    "proc/cpuinfo": "processor : 0\nmodel name\t: Test CPU 9000\nflags\t\t: fpu hypervisor sse\n",
    "sys/devices/system/cpu/cpu0/topology/thread_siblings_list": "0,4-5\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "48K\n",
    "sys/devices/system/cpu/cpu0/cache/index3/size": "32768K\n",
}


@pytest.fixture(autouse=True)
def as_many_rounds_as_in_earnest(monkeypatch):
    monkeypatch.setattr(hardware, "ROUNDS", 15)


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Stand in for /proc, /sys and /dev: a function that writes files below them."""
    for name in ("PROC", "SYS", "DEV"):
        monkeypatch.setattr(hardware, name, tmp_path / name.lower())

    def write(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)

    return write


@contextmanager
def busy_loop():
    """Another program that never rests, on the cores of this thread."""
    process = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.communicate()


def spin(cpu_s):
    stop = time.thread_time() + cpu_s
    while time.thread_time() < stop:
        pass


def test_the_fingerprint_is_read_from_what_the_system_tells(system):
    system(SYSTEM)
    found = hardware.fingerprint()
    assert (found["cpu"], found["threads_per_core"], found["last_level_cache_mib"]) == ("Test CPU 9000", 3, 32)
    assert found["governor"] == "performance"
    assert found["virtualisation"].startswith("virtual machine")


def test_a_silent_system_leaves_the_names_of_the_fingerprint_as_they_are(system, tmp_path, monkeypatch):
    system(SYSTEM)
    names = list(hardware.fingerprint())
    monkeypatch.setattr(hardware, "PROC", tmp_path / "nowhere")
    monkeypatch.setattr(hardware, "SYS", tmp_path / "nowhere")
    silent = hardware.fingerprint()
    assert list(silent) == names
    assert {silent[name] for name in ("threads_per_core", "last_level_cache_mib", "governor")} == {"unknown"}


@pytest.mark.parametrize(
    "groups, files, expected_gib",
    [
        ("0::/a/b", {"a/b/memory.max": "max", "a/memory.max": f"{GIB}"}, 1),
        ("0::/a/b", {"a/b/memory.max": f"{GIB // 2}", "a/memory.max": f"{GIB}"}, 0.5),
        ("0::/outside/of/container", {"memory.max": f"{GIB}"}, 1),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": f"{GIB}"}, 1),
        ("9:cpu:/a\n4:hugetlb,memory:/", {"memory/memory.limit_in_bytes": f"{GIB}", "cpu/a/memory.max": "5"}, 1),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_memory_is_what_the_tightest_control_group_allows(system, groups, files, expected_gib):
    system({"proc/self/cgroup": groups} | {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()})
    all_of_it = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    assert hardware.memory_gib() == (expected_gib or all_of_it)


@pytest.mark.parametrize(
    "groups, files, expected",
    [
        ("0::/a", {"a/cpu.max": "50000 100000"}, 0.5),
        ("0::/a", {"a/cpu.max": "max 100000", "cpu.max": "25000 100000"}, 0.25),
        ("1:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ("1:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ("0::/", {}, None),
    ],
)
def test_a_share_of_processor_time_counts_as_a_share_of_cores(system, groups, files, expected):
    system({"proc/self/cgroup": groups} | {f"sys/fs/cgroup/{name}": f"{text}\n" for name, text in files.items()})
    assert hardware.usable_cores() == (expected or len(os.sched_getaffinity(0)))


@pytest.mark.parametrize(
    "name, cores, gib, said",
    [
        ("cpu-1", 1.0, 2.0, ""),
        ("cpu-all", 2.0, 16.0, ""),
        ("cpu-1", 0.5, 64.0, "0.5 of the 1 cores can be used"),
        ("cpu-1", 8.0, 1.5, "1.5 of the 2 GiB of memory can be used"),
        ("cpu-all", 0.5, 8.0, "0.5 of the 1 cores can be used; 8.0 of the 16 GiB of memory can be used"),
    ],
)
def test_what_a_machine_lacks_is_said_with_numbers(monkeypatch, name, cores, gib, said):
    monkeypatch.setattr(hardware, "usable_cores", lambda: cores)
    monkeypatch.setattr(hardware, "memory_gib", lambda: gib)
    assert why_not_served(load_profile(name)) == said


@pytest.mark.parametrize("node, missing", [("nvidia0", False), ("nvidiactl", True)])
def test_a_gpu_is_a_device_node_and_not_its_driver_alone(system, node, missing):
    system({f"dev/{node}": ""})
    why = why_not_served(load_profile("cuda-1"))
    assert "this version streams on CPUs only" in why
    assert ("no NVIDIA device" in why) is missing


def test_a_pinned_thread_comes_back_to_all_its_cores_after_an_error():
    before = os.sched_getaffinity(0)
    with pytest.raises(KeyError), pinned(1):
        assert len(os.sched_getaffinity(0)) == 1
        raise KeyError
    assert os.sched_getaffinity(0) == before


def test_more_cores_than_there_are_is_refused_and_not_fewer_taken():
    n_cores = len(os.sched_getaffinity(0))
    with (
        pytest.raises(UsageError, match=f"{n_cores + 1} cores are asked for, {n_cores} can be used"),
        pinned(n_cores + 1),
    ):
        pass


def test_blas_has_one_thread_while_kernels_run_and_its_own_number_again_after(monkeypatch):
    seen = []

    class Matrix:
        def __getitem__(self, i):
            return self

        def __matmul__(self, other):
            seen.extend(pool["num_threads"] for pool in threadpool_info())

    monkeypatch.setattr(hardware, "_matrices", lambda: (Matrix(), Matrix()))
    before = threadpool_info()
    calibrate()
    assert set(seen) == {1}
    assert threadpool_info() == before


def test_the_kernels_read_the_matrices_that_their_names_promise():
    small, large = hardware._matrices()
    assert large.nbytes == pytest.approx(20 * 2**20, rel=0.01)
    assert small.nbytes < 2**20
    assert {small.dtype, large.dtype} == {np.dtype(np.float64)}


def test_bandwidth_is_bytes_over_time():
    assert bandwidth(CALM | {"gemv_20mb_ms": 2.0}) == pytest.approx(1280 * 2048 * 8 / 2e-3 / 1e9)


@pytest.mark.parametrize(
    "change, waited, stolen, said",
    [
        ({}, 0.0, 0.0, ""),
        ({}, 0.12, 0.0, ""),
        ({}, 0.5, 0.0, "the judge waited 50% of the time that it wanted its core; 20% is calm"),
        ({}, 0.02, 0.3, "the host took 30% of the core's time; 5% is calm"),
        ({"wall_over_cpu": 2.0}, 0.02, 0.0, ""),
        ({"wall_over_cpu": 2.0}, None, 0.0, "calibration took 1.50 times its processor time; 1.25 is calm"),
        ({}, None, 0.0, ""),
        ({"python_load_ms": 3.6}, 0.02, 0.0, "the core took 1.50 times as long after the pass as before"),
        ({"python_load_ms": 1.2}, None, 0.0, "the core took 0.50 times as long after the pass as before"),
        ({"python_load_ms": 2.7, "gemv_small_ms": 0.06}, 0.02, 0.0, ""),
    ],
)
def test_a_disturbed_pass_is_told_from_a_calm_one_with_the_reason(change, waited, stolen, said):
    why = why_noisy(CALM, CALM | change, waited=waited, stolen=stolen)
    assert why.startswith(said)
    assert bool(why) is bool(said)


@pytest.mark.parametrize(
    "change, expected", [({}, False), ({"wall_over_cpu": 2.0}, True), ({"python_load_ms": 4}, True)]
)
def test_calibrations_alone_tell_a_disturbance_in_either_order(change, expected):
    found = [why_noisy(*pair, waited=None, stolen=0.0) for pair in ((CALM, CALM | change), (CALM | change, CALM))]
    assert [bool(why) for why in found] == [expected, expected]


def test_a_guard_keeps_both_calibrations_and_judges_by_the_share_that_was_waited(monkeypatch):
    waits = iter([(1_000, 50), (1_600, 450)])
    monkeypatch.setattr(hardware, "_waits_ns", lambda: next(waits))
    monkeypatch.setattr(hardware, "calibrate", lambda: CALM)
    with Guard() as guard:
        pass
    both = {f"{when}.{name}": value for when in ("before", "after") for name, value in CALM.items()}
    assert guard.calibration == both | {"during.waited_share": 0.4}
    assert guard.noisy and "waited 40%" in guard.why


def test_a_guard_on_a_silent_kernel_goes_by_the_calibrations(system, monkeypatch):
    system({})
    results = iter([CALM, CALM | {"wall_over_cpu": 3.0}])
    monkeypatch.setattr(hardware, "calibrate", lambda: next(results))
    with Guard() as guard:
        pass
    assert "during.waited_share" not in guard.calibration
    assert guard.why.startswith("calibration took 2.00 times")


def test_a_guard_calibrates_after_a_pass_that_failed_and_lets_its_error_through():
    guard = Guard()
    with pytest.raises(KeyError), guard:
        raise KeyError
    assert {f"{when}.{name}" for when in ("before", "after") for name in CALM} <= set(guard.calibration)


@pytest.mark.skipif(hardware._waits_ns() is None, reason="this kernel does not tell how long a thread has waited")
def test_run_and_waited_time_of_the_kernel_add_up_to_the_wall_time_of_a_thread_that_never_sleeps():
    with pinned(1), busy_loop(), busy_loop():
        start, wall, cpu = hardware._waits_ns(), time.perf_counter(), time.thread_time()
        spin(0.2)
        wall, cpu, stop = time.perf_counter() - wall, time.thread_time() - cpu, hardware._waits_ns()
    ran, waited = ((b - a) / 1e9 for a, b in zip(start, stop, strict=True))
    assert ran == pytest.approx(cpu, rel=0.2)
    assert waited == pytest.approx(wall - cpu, rel=0.3)


def test_a_busy_loop_on_the_same_core_makes_a_pass_noisy():
    with pinned(1), busy_loop(), Guard() as guard:
        spin(0.1)
    assert guard.noisy


@pytest.mark.parametrize(
    "ratio, said",
    [(1.0, "the same"), (1.04, "the same"), (0.96, "the same"), (1.3, "1.3x slower"), (0.5, "2.0x faster")],
)
def test_a_ratio_of_times_is_said_in_words(ratio, said):
    assert compared(ratio) == said


def run(*words):
    return CliRunner().invoke(app, ["hardware", "--seconds", "0", *words])


def test_the_command_tells_machines_all_it_knows():
    result = run("--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert {p["profile"]: p["why_not"] for p in found["profiles"]} == {
        f"{name}@1": why_not_served(load_profile(name)) for name in ("cpu-1", "cpu-all", "cuda-1")
    }
    assert found["machine"] == hardware.fingerprint()
    assert found["calibration"]["memory_gb_per_s"] == pytest.approx(bandwidth(found["calibration"]))


def test_the_command_compares_with_the_reference_of_a_profile(tmp_path, monkeypatch):
    content = yaml.safe_load((shipped("profiles") / "cpu-1.yaml").read_text())
    times = {"gemv_small_ms": 0.01, "gemv_20mb_ms": 1.4, "python_loop_ms": 0.25}
    reference = {"machine": "Old Faithful", "command": "harness hardware", "calibration": times}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content | {"reference": reference}))
    monkeypatch.setattr(hardware, "calibrate", lambda seconds=0.0: CALM)
    monkeypatch.setattr(hardware, "why_noisy", lambda *_, **__: "somebody else")
    result = run("--profile", str(tmp_path / "mine.yaml"))
    assert result.exit_code == 0
    lines = {line.split()[0]: line.rstrip() for line in result.stdout.splitlines() if line}
    assert lines["gemv_small_ms"].endswith("2.0x slower")
    assert lines["gemv_20mb_ms"].endswith("2.0x faster")
    assert lines["python_loop_ms"].endswith("the same")
    assert "somebody else" in lines["busy"]
    assert "cuda-1" not in result.stdout and "Old Faithful" in result.stdout
