"""Turns: test passes are at work beside each other, but while one is timed nothing else is."""

import itertools
import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from subprocess import PIPE

import pytest

from harness.judge.hardware import pinned
from harness.judge.replies import WorkerFault
from harness.judge.resources import Resources
from harness.judge.turn import Turn

PASS = """
import sys, time
from pathlib import Path
from harness.judge.turn import Turn
lock, log = map(Path, sys.argv[1:])
def note(what):
    with log.open("a") as file:
        file.write(f"{what} {time.monotonic_ns()}\\n")
for _ in range(6):
    with Turn(lock) as mine:
        note("begins"); time.sleep(0.02); note("ends")
        with mine.alone():
            note("begins-alone"); time.sleep(0.01); note("ends-alone")
        note("begins"); time.sleep(0.01); note("ends")
        mine.give_way()
        note("begins"); time.sleep(0.01); note("ends")
"""
N_PASSES = 18


def spans(logs, kind):
    """(start, stop) in ns of all that was noted of a kind, by any process; the notes of one follow each other."""
    found = []
    for log in logs:
        notes = [line.split() for line in log.read_text().splitlines()]
        starts, stops = ([int(time) for what, time in notes if what == f"{end}{kind}"] for end in ("begins", "ends"))
        found += zip(starts, stops, strict=True)
    return found


def test_three_processes_work_beside_each_other_and_are_timed_alone(tmp_path):
    logs = [tmp_path / f"{i}.log" for i in range(3)]
    passes = [subprocess.Popen([sys.executable, "-c", PASS, tmp_path / "lock", log]) for log in logs]
    assert [one.wait(60) for one in passes] == [0, 0, 0]
    alone, shared = spans(logs, "-alone"), spans(logs, "")
    assert (len(alone), len(shared)) == (N_PASSES, 3 * N_PASSES)
    for start, stop in alone:
        others = [one for one in [*alone, *shared] if one != (start, stop) and one[0] < stop and start < one[1]]
        assert not others
    assert any(a != b and a[0] < b[1] and b[0] < a[1] for a in shared for b in shared)


LONG = """
import sys, time
from pathlib import Path
from harness.judge.turn import Turn
with Turn(Path(sys.argv[1])) as mine:
    print("at work", flush=True)
    for _ in range(600):
        time.sleep(0.1)
        mine.give_way()
"""


def test_who_waits_to_be_alone_waits_for_a_piece_of_work_and_not_for_a_pass(tmp_path):
    with subprocess.Popen([sys.executable, "-c", LONG, tmp_path / "lock"], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"at work\n"
        with Turn(tmp_path / "lock") as mine:
            for _ in range(5):
                with mine.alone():
                    mine.give_way()  # nobody comes in
                    assert other.poll() is None
                time.sleep(0.01)
        other.kill()


def test_a_killed_pass_lets_the_others_go_on(tmp_path):
    hangs = "import sys,time; from harness.judge.turn import Turn; from pathlib import Path\n"
    hangs += "with Turn(Path(sys.argv[1])) as t, t.alone(): print('here', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", hangs, tmp_path / "lock"], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"here\n"
        other.kill()
        with Turn(tmp_path / "lock") as mine, mine.alone():
            pass


def test_a_link_that_somebody_laid_is_not_followed(tmp_path):
    (tmp_path / "lock").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="lock"), Turn(tmp_path / "lock"):
        pass
    assert not (tmp_path / "other").exists()


def test_each_pass_has_a_core_of_its_own_while_there_are_some(tmp_path):
    code = "import sys; from harness.judge.turn import Turn; from pathlib import Path\n"
    code += "with Turn(Path(sys.argv[1])) as mine: print(sorted(mine.home), flush=True); sys.stdin.read()"
    homes, cores = [], sorted(os.sched_getaffinity(0))
    with ExitStack() as stack:
        for _ in range(len(cores) + 1):
            other = subprocess.Popen(
                [sys.executable, "-c", code, tmp_path / "lock"], stdin=PIPE, stdout=PIPE, text=True
            )
            stack.enter_context(other)
            homes.append(other.stdout.readline().strip())
    assert homes == [*(f"[{core}]" for core in cores), str(cores)]
    with Turn(tmp_path / "lock") as mine:
        assert mine.home == {cores[0]}


def test_all_threads_of_a_process_are_moved_and_moved_back():
    threads = "import threading, time\nfor _ in range(4): threading.Thread(target=time.sleep, args=(600,), daemon=True)"
    threads += ".start()\nprint('here', flush=True); time.sleep(600)"
    before = os.sched_getaffinity(0)
    with subprocess.Popen([sys.executable, "-c", threads], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"here\n"
        tasks = [int(thread.name) for thread in Path(f"/proc/{other.pid}/task").iterdir()]
        assert len(tasks) == 5
        with pinned(1, worker=Resources(other.pid)):
            moved = [os.sched_getaffinity(one) for one in [0, *tasks]]
        back = [os.sched_getaffinity(one) for one in [0, *tasks]]
        other.kill()
    assert moved == [{max(before)}] * 6
    assert back == [before] * 6


def test_moving_a_process_that_has_ended_is_no_fault():
    with subprocess.Popen([sys.executable, "-c", "pass"]) as other:
        other.wait()
        time.sleep(0.01)
        Resources(other.pid).move({0})


def test_threads_that_start_each_other_are_kept_on_a_core_too():
    chain = "import threading, time\ndef go():\n time.sleep(0.0003); threading.Thread(target=go, daemon=True).start()\n"
    chain += "go(); print('here', flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", chain], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"here\n"
        with pinned(1, worker=Resources(other.pid)):
            seen = set()
            for _ in range(200):
                for thread in Path(f"/proc/{other.pid}/task").iterdir():
                    with suppress(ProcessLookupError):
                        seen |= os.sched_getaffinity(int(thread.name))
        other.kill()
    assert seen == {max(os.sched_getaffinity(0))}


def test_a_process_that_always_has_new_threads_is_at_fault(monkeypatch):
    numbers = itertools.count(2**22)  # Beyond the numbers that the kernel gives.
    monkeypatch.setattr(Resources, "_threads", lambda self: {next(numbers)})
    with pytest.raises(WorkerFault, match="start others without end"):
        Resources(1).move({0})
