"""Engines: all work is done whatever happens to some of it, and gives the same records wherever it is done."""

import errno
import json
import os
import signal
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import main
from harness.data.suites import load_suite
from harness.engine.here import Here
from harness.engine.processes import MOST_TRIES, Processes
from harness.engine.seat import Died, Seat
from harness.evaluate import evaluate
from harness.evaluate import tests_of as work_of
from harness.judge import cell as judge_cell
from harness.judge.turn import Turn
from harness.plan import Plan
from harness.registry import find
from harness.results.store import Store
from harness.rounds import Unfinished
from tests import engine_jobs as jobs
from tests.processes import alive, below, ended
from tests.same_records import lasting
from tests.tiny import Quiet, quick_profile, tiny_files, write_quick_profile, write_tiny_suite

HOSTILE = Path(__file__).parent / "hostile" / "misbehaving.py"
ENGINES = [Here, lambda: Processes(2)]
NAMES = ["in this process", "in two worker processes"]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("engine")
    suite = load_suite(str(write_tiny_suite(folder)))
    files = tiny_files(suite, folder / "data")
    decoders = [find("train-mean"), find("wiener")]
    return Plan(suite, "simulated", files, decoders, quick_profile(), Store(folder / "results"))


@pytest.fixture(scope="module")
def records(plan):
    """In this process."""
    return evaluate(plan, Quiet())


def troubles(engine, work):
    """What came of jobs: key -> text of the trouble, or nothing."""
    with engine:
        return {one.job.key: one.trouble.text if one.trouble else "" for one in engine.run(work)}


@pytest.mark.parametrize("make", ENGINES, ids=NAMES)
def test_each_job_is_done_once(make, tmp_path):
    work = [jobs.Notes(tmp_path, str(i)) for i in range(9)]
    assert troubles(make(), work) == {job.key: "" for job in work}
    assert [job.n_times for job in work] == [1] * 9


@pytest.mark.parametrize("make", ENGINES, ids=NAMES)
def test_what_goes_wrong_with_a_job_is_said_and_stops_no_other(make, tmp_path):
    kinds = (jobs.Raises, jobs.FindsBadData, jobs.FindsNoSpace)
    bad, good = [kind(tmp_path, kind.__name__) for kind in kinds], [jobs.Notes(tmp_path, str(i)) for i in range(4)]
    said = troubles(make(), [*bad, *good])
    assert said["Raises"] == "ZeroDivisionError: a mistake of ours"
    assert said["FindsBadData"] == "the recording is damaged; fetch it again"
    assert said["FindsNoSpace"] == (
        f"{tmp_path / 'FindsNoSpace'} cannot be written: No space left on device; make room on that disk, then run the "
        f"same command again: what is finished is kept"
    )
    assert [job.n_times for job in good] == [1] * 4


def test_a_job_whose_worker_is_killed_is_done_by_another_and_no_other_is_done_twice(tmp_path):
    killed, good = jobs.DiesAtFirst(tmp_path, "killed"), [jobs.Notes(tmp_path, str(i)) for i in range(6)]
    assert set(troubles(Processes(2), [*good[:3], killed, *good[3:]]).values()) == {""}
    assert (killed.n_times, [job.n_times for job in good]) == (2, [1] * 6)


def test_a_job_that_kills_every_worker_is_set_aside_by_name(tmp_path):
    poison, good = jobs.DiesAtFirst(tmp_path, "poison", 99), [jobs.Notes(tmp_path, str(i)) for i in range(4)]
    said = troubles(Processes(2), [poison, *good])
    assert said["poison"].startswith("its worker process was killed (SIGKILL)")
    assert poison.n_times == MOST_TRIES
    assert [job.n_times for job in good] == [1] * 4


def test_a_worker_that_is_killed_between_two_jobs_costs_nothing(tmp_path):
    first, second = jobs.Notes(tmp_path, "1"), jobs.Notes(tmp_path, "2")
    with Processes(2) as engine:
        assert [one.trouble for one in engine.run([first])] == [None]
        os.kill(engine._idle[0].process.pid, signal.SIGKILL)
        assert [one.trouble for one in engine.run([second])] == [None]
    assert second.n_times == 1


def test_a_job_that_cannot_be_sent_is_named(tmp_path):
    class OfThisFunction(jobs.Notes):
        pass

    said = troubles(Processes(2), [OfThisFunction(tmp_path, "1"), jobs.Notes(tmp_path, "2")])
    assert "OfThisFunction" in said["1"]
    assert said["2"] == ""


def test_a_worker_that_cannot_read_its_job_says_so(tmp_path):
    with Seat() as seat:
        seat.pipe.send_bytes(b"no pickle")
        assert seat.outcome().text.startswith("a worker process cannot read its job: UnpicklingError")


@pytest.mark.parametrize("make", ENGINES, ids=NAMES)
def test_steps_of_the_clock_lose_nothing(make, tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", time.time)
    work = [jobs.StepsTheClock(tmp_path, "1"), *(jobs.Notes(tmp_path, str(i)) for i in range(2, 8))]
    assert set(troubles(make(), work).values()) == {""}
    assert [job.n_times for job in work] == [1] * 7


def test_whoever_stops_listening_leaves_no_process_behind(tmp_path):
    engine = Processes(2)
    with closing(engine.run([jobs.Sleeps(tmp_path, "1"), jobs.Notes(tmp_path, "2")])) as finished:
        assert next(finished).job.key == "2"
        pids = [seat.process.pid for seat in (*engine._busy, *engine._idle)]
    assert len(pids) == 2
    assert not any(map(alive, pids))


@pytest.fixture
def slow_fit(plan, tmp_path):
    """A stage of learning that never ends."""
    source = HOSTILE.read_text().replace('raise RuntimeError("no convergence")', "time.sleep(1000)")
    (tmp_path / "slow.py").write_text(source)
    slow = replace(plan, decoders=[find(f"{tmp_path}/slow.py:FailsToFit")], store=Store(tmp_path / "results"))
    return work_of(slow)[0].learned[0]


def decoders_of(seat, within_s=60):
    """The processes of the decoder that a seat's job has started."""
    until = time.monotonic() + within_s
    while not (found := below(seat.process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5)
    return found + [pid for pid in below(seat.process.pid) if pid not in found]


@pytest.mark.parametrize("how", ["kill", "terminate"])
def test_no_decoder_outlives_its_worker_process(how, slow_fit):
    with Seat() as seat:
        seat.begin(slow_fit)
        pids = decoders_of(seat)
        getattr(seat.process, how)()
        with pytest.raises(Died):
            seat.outcome()
    assert pids
    assert ended(pids)
    assert not slow_fit.folder.exists()


def test_worker_processes_and_decoders_end_with_whoever_started_them(slow_fit):
    parent = os.fork()
    if not parent:
        with Seat() as seat:
            seat.begin(slow_fit)
            time.sleep(1000)
    until = time.monotonic() + 60
    while len(below(parent)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    pids = below(parent)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert len(pids) >= 2
    assert ended(pids)


def test_worker_processes_give_the_same_records(plan, records):
    other = replace(plan, n_workers=2, store=Store(plan.store.root.parent / "processes"))
    found = evaluate(other, Quiet())
    assert [lasting(one, other.store) for one in found] == [lasting(one, plan.store) for one in records]


def test_finished_work_needs_no_worker_process(plan, records, monkeypatch):
    monkeypatch.setattr("harness.engine.processes.Seat", None)
    assert evaluate(replace(plan, n_workers=2), Quiet()) == records


def command(plan, store, monkeypatch):
    """The plan as a command in this process; its exit code."""
    folder = plan.store.root.parent
    arguments = ["--suite", folder / "tiny.yaml", "--profile", write_quick_profile(folder), "--store", store.root]
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(folder / "data"))
    monkeypatch.setattr("sys.argv", ["harness", "eval", *map(str, arguments), "--workers", "1", "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


@pytest.mark.long
def test_a_poisoned_cell_costs_its_own_record_and_the_same_command_tries_just_that_again(
    plan, records, monkeypatch, capsys
):
    store, real, done = Store(plan.store.root.parent / "poisoned"), judge_cell.learn, []

    def learn(candidate, lesson, **more):
        done.append((candidate.ref.name, lesson.sessions[0].id))
        if done[-1] == ("wiener", "tiny-1") and len(done) == 4:
            raise ZeroDivisionError("a mistake of ours")
        return real(candidate, lesson, **more)

    monkeypatch.setattr(judge_cell, "learn", learn)
    assert command(plan, store, monkeypatch) == 1
    said, error = capsys.readouterr()
    assert "1 pieces of work could not be done, and 1 that need them were not tried" in error
    assert "fit wiener on tiny-1: ZeroDivisionError: a mistake of ours" in error
    assert "Traceback" not in error
    assert [json.loads(line)["decoder"]["name"] for line in said.splitlines()] == ["train-mean"]
    assert (len(list(store.root.glob("fits/*/*"))), len(list(store.root.glob("cells/*/*")))) == (3, 3)
    again = evaluate(replace(plan, store=store), Quiet())
    assert done[4:] == [("wiener", "tiny-1")]
    assert [lasting(one, store) for one in again] == [lasting(one, plan.store) for one in records]


def test_a_record_that_does_not_fit_on_the_disk_costs_no_other(plan, records, monkeypatch, tmp_path):
    real, kept = Store.save, []

    def save(store, record):
        kept.append(record.decoder.name)
        if len(kept) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(store, record)

    for path in plan.store.root.glob("runs/*"):
        path.unlink()
    monkeypatch.setattr(Store, "save", save)
    with pytest.raises(Unfinished, match="record of train-mean: .* cannot be written: No space left") as caught:
        evaluate(plan, Quiet())
    assert [record.decoder.name for record in caught.value.records] == ["wiener"]
    assert [record.decoder.name for record in evaluate(plan, Quiet())] == ["train-mean", "wiener"]


def test_what_is_timed_of_a_test_pass_is_timed_alone(plan, records, monkeypatch, tmp_path):
    test, seen, repeated = work_of(plan)[0], [], judge_cell.repeated

    class Noted(Turn):
        @contextmanager
        def alone(self):
            seen.append("alone")
            with super().alone():
                yield
            seen.append("over")

    monkeypatch.setattr("harness.work.machine", lambda: Noted(tmp_path / "lock"))
    monkeypatch.setattr(judge_cell, "repeated", lambda *given, **more: seen.append("timed") or repeated(*given, **more))
    test.plan = replace(plan, rerun="all")
    test.do()
    assert test.paced and seen == ["alone", "timed", "over"] * 2
