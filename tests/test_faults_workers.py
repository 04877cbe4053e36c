"""Killed while real decoders are at work: no process of theirs outlives the judge, and nothing half done is found."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults import environment, eval_arguments, parts, whole

N_KILLS = 1 + int(os.environ.get("FAULT_KILLS", "60")) // 20
PATIENCE_S = 20.0
MOST_S = 6.0


@pytest.mark.long
def test_no_decoder_outlives_a_killed_evaluation_which_then_ends_as_if_nothing_had_been(
    server, tmp_path, record_property
):
    rng, root, n_workers, n_kills = random.Random(2), tmp_path / "store", 0, 0
    command = [sys.executable, "-m", "harness", *eval_arguments(server.folder, root, "train-mean")]
    settings = {"env": {**os.environ, **environment(server.folder)}, "stdout": subprocess.PIPE, "text": True}
    for wait_s in sorted(rng.uniform(0, MOST_S) for _ in range(N_KILLS)):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, **settings)
        below = first_worker(process)
        time.sleep(wait_s if below else 0)
        below |= descendants(process.pid)
        killed = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        n_workers += len(below)
        assert gone(below), "a worker is still there"
        whole(root)
        n_kills += killed
        if not killed:  # It was quicker: the next one begins anew, for there is nothing left to do.
            shutil.rmtree(root)
    ended = subprocess.run(command, stderr=subprocess.PIPE, check=False, **settings)
    assert ended.returncode == 0, ended.stderr
    assert whole(root) == 1 and parts(root) == [] and not list((root / "unfinished").glob("*"))
    assert n_kills > 0 and n_workers > 0
    record_property(
        "faults", f"evaluation with real workers killed {n_kills} times; {n_workers} processes ended with it"
    )


def first_worker(process: subprocess.Popen) -> set[tuple[int, str]]:
    """Wait until an evaluation has a worker, or is over."""
    until = time.monotonic() + 10 * PATIENCE_S
    while not (found := descendants(process.pid)) and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    return found


def descendants(number: int) -> set[tuple[int, str]]:
    """All processes below one, each with the time at which it began, for numbers are used again."""
    found = set()
    for task in Path(f"/proc/{number}/task").glob("*"):
        try:
            children = [int(text) for text in (task / "children").read_text().split()]
        except OSError:
            continue
        for child in children:
            found |= {(child, began(child)), *descendants(child)}
    return found


def began(number: int) -> str:
    """When a process began, in ticks of the machine; empty if there is none, or only its exit code is left."""
    try:
        words = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]


def gone(processes: set[tuple[int, str]]) -> bool:
    """Whether none of them is left after a while."""
    until = time.monotonic() + PATIENCE_S
    while any(since and began(number) == since for number, since in processes):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
