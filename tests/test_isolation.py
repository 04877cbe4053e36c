"""What a worker cannot do, and that it leaves nothing behind."""

import errno
import functools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from harness import Inputs, SessionInfo, StreamInfo
from harness.errors import DecoderError
from harness.judge import sandbox
from harness.judge.artifact import pack
from harness.judge.host import Worker
from harness.judge.profiles import load_profile
from harness.judge.stream import stream
from harness.registry import find

ESCAPING = Path(__file__).parent / "hostile" / "escaping.py"
NO_SANDBOX = pytest.mark.skipif(bool(sandbox.why_no_sandbox()), reason=sandbox.why_no_sandbox() or "-")
LEVELS = ["process", pytest.param("sandbox", marks=NO_SANDBOX)]
ARTIFACT = pack({"nothing_": np.zeros(1, np.float32)})

REFUSED = re.findall(
    r"\w+",
    """
forks forks_in_a_thread spawns runs_a_command clones_by_number becomes_another_program
becomes_another_program_by_descriptor
opens_an_internet_socket opens_a_packet_socket asks_the_kernel_over_netlink connects_to_a_server_of_this_machine
signals_the_judge signals_everybody signals_its_group signals_a_thread_of_the_judge signals_the_judge_by_descriptor
has_the_kernel_signal_the_judge traces_the_judge reads_the_memory_of_the_judge compares_itself_with_the_judge
outlives_the_judge changes_a_limit_of_the_judge changes_its_own_limit changes_its_core changes_its_priority
becomes_a_real_time_process keeps_a_key looks_up_keys opens_an_io_ring loads_a_program_into_the_kernel counts_events
handles_page_faults makes_a_namespace enters_a_namespace mounts changes_its_root opens_a_file_by_handle sets_the_clock
keeps_memory_in_a_nameless_file keeps_memory_between_processes
""",
)
ALLOWED = [
    "starts_a_thread",
    "makes_a_pair_of_sockets",
    "signals_itself",
    "reads_its_own_limit",
    "has_memory_and_a_lock",
]
EVERYWHERE = {
    **dict.fromkeys(REFUSED, errno.EPERM),
    **dict.fromkeys(ALLOWED, 0),
    "clones_with_arguments_in_memory": errno.ENOSYS,
    "saw_descriptors_at_import": 4,
    "sees_descriptors": 4,
    "sees_variables": 0,
    "may_gain_privileges": 0,
    "is_filtered": 2,
}
IN_SANDBOX = {
    "changes_the_system": errno.EROFS,
    "writes_to_the_root_folder": errno.EROFS,
    "writes_between_devices": errno.EROFS,
    "fills_shared_memory": errno.ENOSPC,
    "fills_the_temporary_folder": errno.ENOSPC,
    "sees_processes": 0,
    "is_privileged": 0,
}


def worker(level: str, name: str = "Escapes") -> Worker:
    profile = load_profile("cpu-1")
    quick = profile.limits.model_copy(update={"step_seconds": 1.0})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "isolation", lambda: level)
        return Worker(find(f"{ESCAPING}:{name}"), {}, profile.model_copy(update={"limits": quick}))


def answers(running: Worker, attempts: list[str]) -> np.ndarray:
    """The outcome of each attempt, all tried in one step of one worker."""
    session = SessionInfo("s", "m", {"spikes": StreamInfo(1)}, 0.02, tuple(attempts))
    running.restore(ARTIFACT, [session])
    one_bin = Inputs({"spikes": np.ones((1, 1), np.float32)}, np.ones(1, bool), 0.02)
    return stream(running, one_bin, session).outputs[0]


@functools.cache
def outcomes(level: str) -> dict[str, float]:
    """Attempt -> outcome; one worker for all of them."""
    attempts = [*EVERYWHERE, *(IN_SANDBOX if level == "sandbox" else ())]
    with worker(level) as running:
        return dict(zip(attempts, answers(running, attempts).tolist(), strict=True))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("attempt, expected", EVERYWHERE.items())
def test_an_attempt_to_leave_the_worker_ends_as_it_should(level, attempt, expected):
    assert outcomes(level)[attempt] == expected


@NO_SANDBOX
@pytest.mark.parametrize("attempt, expected", IN_SANDBOX.items())
def test_the_sandbox_shows_nothing_and_keeps_nothing(attempt, expected):
    assert outcomes("sandbox")[attempt] == expected


def parents() -> dict[int, int]:
    """Every process of this machine, zombies too: number -> its parent's."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # It ended while we looked.
    return found


def descendants(of: int) -> set[int]:
    found, known = {of}, parents()
    while more := {number for number, parent in known.items() if parent in found} - found:
        found |= more
    return found - {of}


def open_descriptors() -> set[tuple[str, str]]:
    """Number and what is open there, so that a number in use again is not taken for the same; not this look itself."""
    paths = [path for path in Path("/proc/self/fd").iterdir() if path.is_symlink()]
    return {(path.name, str(path.readlink())) for path in paths}


PATIENCE_S = 30.0
"""A worker whose judge dies while it is still starting ends when it first listens: late on a busy machine."""


def left_after(seconds: float, numbers: set[int]) -> set[int]:
    """Which of these processes are still there, at the latest when the time is over."""
    until = time.monotonic() + seconds
    while (left := numbers & set(parents())) and time.monotonic() < until:
        time.sleep(0.01)
    return left


@pytest.mark.parametrize("level", LEVELS)
def test_a_worker_killed_in_the_middle_of_a_step_leaves_no_process(level):
    before = descendants(os.getpid())
    with worker(level, "Hangs") as running:
        started = descendants(os.getpid()) - before
        with pytest.raises(DecoderError, match="no answer within"):
            answers(running, ["forks"])
    assert started
    assert left_after(PATIENCE_S, started) == set()


@pytest.mark.parametrize("level", LEVELS)
def test_a_worker_ends_with_its_judge(level):
    code = f"""
        import time; from tests.test_isolation import *
        with worker({level!r}, "Hangs") as running:
            print("started", flush=True)
            answers(running, ["forks"])
    """
    command = [sys.executable, "-c", "if 1:" + code]
    judge = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ESCAPING.parents[2])
    assert judge.stdout.readline() == b"started\n"
    started = descendants(judge.pid)
    judge.kill()
    judge.communicate()
    assert started
    assert left_after(PATIENCE_S, started) == set()


@pytest.mark.parametrize("level", LEVELS)
def test_workers_leave_no_descriptor_and_no_process_behind(level):
    with worker(level) as running:
        answers(running, ["starts_a_thread"])
    descriptors, before = open_descriptors(), descendants(os.getpid())
    for _ in range(5):
        with worker(level) as running:
            answers(running, ["starts_a_thread"])
    assert open_descriptors() <= descriptors, "more than before; what an earlier test left may close meanwhile"
    assert left_after(PATIENCE_S, descendants(os.getpid()) - before) == set()


@NO_SANDBOX
def test_the_end_of_a_sandbox_is_waited_for_to_the_last_process():
    command = [*sandbox._bwrap([]), "/bin/sh", "-c", "echo started; exec sleep 100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout.readline() == b"started\n"
        started = descendants(process.pid)
        sandbox.end(process)
    assert len(started) >= 2
    assert left_after(0, started) == set()


def test_threads_that_run_already_are_filtered_too():
    code = """
        import os, threading
        from harness.judge import seccomp
        ready, outcome = threading.Event(), []
        def fork():
            ready.wait()
            try: os.fork() or os._exit(0)
            except OSError as error: outcome.append(error.errno)
        thread = threading.Thread(target=fork); thread.start()
        seccomp.install(); ready.set(); thread.join()
        print(outcome)
    """
    done = subprocess.run(
        [sys.executable, "-c", "if 1:" + code], capture_output=True, text=True, cwd=ESCAPING.parents[2]
    )
    assert done.stdout == f"[{errno.EPERM}]\n", done.stderr


def test_a_processor_that_the_filter_does_not_know_has_no_sandbox(monkeypatch):
    class Other:
        machine = "riscv64"

    monkeypatch.setattr(os, "uname", Other)
    assert "x86_64 and aarch64, not linux riscv64" in sandbox.why_no_sandbox.__wrapped__()
    monkeypatch.setattr(sandbox, "why_no_sandbox", sandbox.why_no_sandbox.__wrapped__)
    assert sandbox.isolation() == "process"
