"""Many simulated sessions: helpers write some, and nothing depends on them."""

import os
import subprocess
import sys
import threading

import pytest

from harness.data import simulated
from harness.data.simulated import simulated_path, simulated_paths, simulated_place
from harness.data.suites import Session, Simulated
from tests.archive_server import session
from tests.waiting import once

N = 6
NAMES = [f"sim-{i}" for i in range(N)]
needs_two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="helpers work on further cores")


def many() -> list[Session]:
    small = {"minutes": 0.25, "n_units": 4}
    return [
        session(name, Simulated(host="simulated", parameters=small | {"session": i}), tiers=("simulated",))
        for i, name in enumerate(NAMES)
    ]


@needs_two_cores
def test_a_helper_writes_the_second_half(cache):
    first, *others = many()
    found = {}
    with cache.lock(f"simulated-{simulated_place(first, cache).stem}"):  # whoever comes to the first one stays there
        thread = threading.Thread(target=lambda: found.update(simulated_paths(many(), cache)))
        thread.start()
        assert once(lambda: all(simulated_place(s, cache).exists() for s in others[N // 2 - 1 :]))
        assert not simulated_place(first, cache).exists()
    thread.join()
    assert found == {s.id: simulated_place(s, cache) for s in many()}
    assert all(path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n" for path in found.values())


@pytest.mark.parametrize("command", [["false"], ["sleep", "1000"], ["no such command"]])
def test_helpers_that_fail_hang_or_cannot_be_started_change_nothing(cache, monkeypatch, command):
    real, started = subprocess.Popen, []

    def start(_, **how):
        started.append(real(command, **how))
        return started[-1]

    monkeypatch.setattr(simulated.subprocess, "Popen", start)
    found = simulated_paths(many(), cache)
    assert [name for name, path in found.items() if path.exists()] == NAMES
    assert all(helper.poll() is not None for helper in started)


def test_few_sessions_are_written_without_helpers(cache, monkeypatch):
    monkeypatch.setattr(simulated, "_helper", lambda *_: pytest.fail("a helper for two sessions"))
    assert len(simulated_paths(many()[:2], cache)) == 2


@needs_two_cores
def test_what_goes_wrong_is_raised_here_and_leaves_no_helper(cache, monkeypatch):
    helpers, real = [], simulated._helper
    monkeypatch.setattr(simulated, "_helper", lambda *given: helpers.append(real(*given)) or helpers[-1])

    def refuse(*_, **__):
        raise RuntimeError("no room for this one")

    monkeypatch.setattr("harness.data.simulate.write_session", refuse)
    with pytest.raises(RuntimeError, match="no room"):
        simulated_paths(many(), cache)
    assert [helper.poll() is not None for helper in helpers] == [True]


def test_a_helper_whose_parent_is_gone_writes_nothing_more(cache):
    described = "[" + ",".join(s.model_dump_json() for s in many()) + "]"
    command = [sys.executable, "-m", "harness.data.simulated", str(cache.root), "1"]
    assert subprocess.run(command, input=described.encode()).returncode == 0
    assert not any(simulated_place(s, cache).exists() for s in many())
    command[-1] = str(os.getpid())
    assert subprocess.run(command, input=described.encode()).returncode == 0
    assert all(simulated_place(s, cache).exists() for s in many())
    assert simulated_path(many()[0], cache) == simulated_place(many()[0], cache)
