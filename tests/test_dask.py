"""A real cluster: a scheduler and worker processes with data folders of their own, some of which are killed."""

import contextlib
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cluster import errand as errands
from harness.cluster.engine import Cluster
from harness.cluster.errand import Done, Item, Lacks, errand
from harness.cluster.opened import opened, slurm_cluster
from harness.cluster.posting import Posting
from harness.cluster.serve import serve
from harness.data.cache import Cache
from harness.data.suites import load_suite
from harness.errors import UsageError
from harness.evaluate import evaluate
from harness.evaluate import tests_of as work_of
from harness.plan import Plan
from harness.registry import find
from harness.results import cells
from harness.results.store import Store
from harness.rounds import Unfinished
from tests.processes import below, ended
from tests.same_records import lasting
from tests.tiny import Quiet, quick_profile, tiny_files, write_quick_profile, write_tiny_suite
from tests.waiting import once

HOSTILE = Path(__file__).parent / "hostile" / "misbehaving.py"
HIDING = ["unshare", "--mount", "bash", "-c", 'mount -t tmpfs none "$0" && exec "$@"']
"""Starts a command for which a folder is empty."""


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Processes:
    """A scheduler and workers, each a process of the `dask` command; each worker has a data folder of its own.

    hidden: What workers do not see of this machine.
    """

    def __init__(self, folder, *, n_workers, hidden=None):
        self.folder, self.port, self.hidden = folder, free_port(), hidden
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.workers, self.n_made = [], 0
        self.start(n_workers)

    def start(self, n_workers):
        self.scheduler = self._dask("scheduler", "--host", "127.0.0.1", "--port", self.port, "--no-dashboard")
        for _ in range(n_workers):
            self.add_worker()
        assert once(self._listens)

    def _listens(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def add_worker(self):
        data, self.n_made = self.folder / f"worker-{self.n_made}", self.n_made + 1
        data.mkdir()
        local = ("--local-directory", data / "dask", "--nthreads", 1, "--no-dashboard", "--no-nanny")
        before = [*HIDING, self.hidden] if self.hidden else ()
        self.workers.append(self._dask("worker", self.address, *local, before=before, NEURAL_DECODER_DATA=str(data)))
        return self.workers[-1]

    def _dask(self, *arguments, before=(), **environment):
        command = [*before, sys.executable, "-m", "dask", *arguments]
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*map(str, command)], env={**os.environ, **environment}, cwd=self.folder, **silent)

    def kill(self):
        for one in (*self.workers, self.scheduler):
            one.kill()
            one.wait()
        self.workers = []


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    made = Processes(tmp_path_factory.mktemp("cluster"), n_workers=2)
    yield made
    made.kill()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One decoder from a file, on two recordings."""
    folder = tmp_path_factory.mktemp("dask")
    suite = load_suite(str(write_tiny_suite(folder)))
    write_quick_profile(folder)
    files = tiny_files(suite, folder / "data")
    (folder / "quiet.py").write_text(HOSTILE.read_text())
    decoders = [find(f"{folder / 'quiet.py'}:SumOfCounts")]
    return Plan(suite, "simulated", files, decoders, quick_profile(), Store(folder / "results"))


@pytest.fixture(scope="module")
def plan(both):
    """The same on one of them."""
    return replace(both, suite=both.suite.model_copy(update={"sessions": both.suite.sessions[:1]}))


@pytest.fixture(scope="module")
def records(plan):
    """In this process."""
    return evaluate(plan, Quiet())


@pytest.fixture
def elsewhere(plan, tmp_path):
    """The same, of which nothing is done."""
    return replace(plan, store=Store(tmp_path / "results"))


def on(cluster, plan, **more):
    with Cluster(cluster.address, **more) as engine:
        return evaluate(plan, Quiet(), engine)


def same(found, other, records, plan):
    return [lasting(one, other.store) for one in found] == [lasting(one, plan.store) for one in records]


def at_work(worker):
    """The processes that do a job for a worker; empty while it has none."""
    found = below(worker.pid)
    with contextlib.suppress(OSError):
        if any(b"harness.engine.seat" in Path(f"/proc/{pid}/cmdline").read_bytes() for pid in found):
            return found
    return []


def test_a_cluster_gives_the_same_records(cluster, plan, records, elsewhere):
    found = on(cluster, elsewhere)
    assert same(found, elsewhere, records, plan)
    assert on(cluster, elsewhere) == found
    shown = [path.read_bytes() for store in (plan.store, elsewhere.store) for path in store.root.glob("recordings/*/*")]
    assert len(shown) == 2
    assert shown[0] == shown[1]
    # Workers keep nothing that the sender has.
    assert [*cluster.folder.glob("worker-*/engine/*/??/*/*.json")] == []


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="hiding a folder from workers takes root")
def test_workers_without_the_recordings_the_decoder_and_the_store_are_sent_all_of_it(
    plan, records, elsewhere, tmp_path_factory
):
    hidden = plan.store.root.parent
    cluster = Processes(tmp_path_factory.mktemp("far"), n_workers=1, hidden=hidden)
    try:
        kept = replace(elsewhere, cache=Cache(hidden / "data"))
        assert same(on(cluster, kept), kept, records, plan)
    finally:
        cluster.kill()
    assert len([*cluster.folder.glob("worker-0/prepared/*.arrow")]) == 1  # in its own folder, not in the command's
    received = [path for path in cluster.folder.glob("worker-0/blobs/sha256/??/*") if path.is_file()]
    assert [path.read_bytes() for path in received] == [plan.files["tiny-0"].read_bytes()]
    assert len([*cluster.folder.glob("worker-0/engine/decoders/*/quiet.py")]) == 1


def test_a_worker_that_is_killed_costs_nothing(cluster, plan, both, records, elsewhere):
    victim, left = cluster.add_worker(), []
    cluster.workers.remove(victim)

    def kill():
        left.extend(once(lambda: at_work(victim)))
        victim.kill()

    with Cluster(cluster.address) as engine:
        assert once(lambda: len(engine._client.nthreads()) == 3)
        thread = threading.Thread(target=kill)
        thread.start()
        found = evaluate(replace(both, store=elsewhere.store, decoders=[find("train-mean")]), Quiet(), engine)
        found += evaluate(elsewhere, Quiet(), engine)
    thread.join()
    victim.wait()
    assert left
    assert ended(left)
    assert [record.status for record in found] == ["ok"] * 2
    assert same(found[1:], elsewhere, records, plan)
    assert len([*elsewhere.store.root.glob("fits/*/*")]) == len([*elsewhere.store.root.glob("cells/*/*")]) == 3


class Listening(Quiet):
    def __init__(self):
        self.heard = []

    def under_way(self, what, progress):
        self.heard.append((what, progress.done, progress.total))


@pytest.mark.long
def test_how_far_training_is_on_a_worker_is_shown_here(cluster, elsewhere, tmp_path):
    says = "self.checkpoint.report(3, 10); time.sleep(4); self.map_ = np.zeros((40, 2), np.float32)"
    (tmp_path / "says.py").write_text(HOSTILE.read_text().replace('raise RuntimeError("no convergence")', says))
    watch = Listening()
    with Cluster(cluster.address) as engine:
        evaluate(replace(elsewhere, decoders=[find(f"{tmp_path}/says.py:FailsToFit")]), watch, engine)
    assert ("fit says.py:FailsToFit on tiny-0", 3, 10) in watch.heard


def test_other_versions_on_a_worker_are_refused_by_name(cluster, elsewhere, monkeypatch):
    monkeypatch.setattr(errands, "versions", lambda: {"numpy": "1.0"})
    with pytest.raises(Unfinished, match=r"no worker can do it: worker tcp://\S+: it has numpy \S+ where 1.0 is asked"):
        on(cluster, elsewhere)
    assert [*elsewhere.store.root.glob("fits/*/*")] == []


def test_a_profile_that_no_worker_can_serve_is_refused_for_tests_alone(cluster, elsewhere):
    large = elsewhere.profile.model_copy(update={"cores": 4096})
    with pytest.raises(Unfinished, match=r"worker tcp://\S+: profile cpu-1@1 cannot be served there: \d+ of the 4096"):
        on(cluster, replace(elsewhere, profile=large))
    assert len([*elsewhere.store.root.glob("fits/*/*")]) == 1
    assert [*elsewhere.store.root.glob("cells/*/*")] == []


@pytest.mark.long
def test_a_poisoned_cell_costs_only_itself(cluster, both, elsewhere, tmp_path):
    (tmp_path / "damaged.nwb").write_bytes(b"no HDF5")
    damaged = replace(both, store=elsewhere.store, files={**both.files, "tiny-1": tmp_path / "damaged.nwb"})
    with pytest.raises(Unfinished, match=r"fit quiet.py:SumOfCounts on tiny-1: .* \(on worker tcp://"):
        on(cluster, damaged)
    assert len([*elsewhere.store.root.glob("cells/*/*")]) == 1


@pytest.mark.long
def test_a_full_disk_here_is_named_and_the_same_command_goes_on(cluster, elsewhere, monkeypatch):
    real, written = cells.write_folder, []

    def write(folder, files):
        written.append(folder)
        if len(written) == 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(folder, files)

    monkeypatch.setattr(cells, "write_folder", write)
    with pytest.raises(Unfinished, match=f"{elsewhere.store.root}.* cannot be written: No space left"):
        on(cluster, elsewhere)
    assert [*elsewhere.store.root.glob("cells/*/*")] == []
    assert [record.status for record in on(cluster, elsewhere)] == ["ok"]


@pytest.mark.long
def test_ctrl_c_ends_what_workers_do_for_the_command(cluster, plan, tmp_path):
    source = HOSTILE.read_text().replace('raise RuntimeError("no convergence")', "time.sleep(1000)")
    (tmp_path / "slow.py").write_text(source)
    folder = plan.store.root.parent
    arguments = ["--suite", folder / "tiny.yaml", "--profile", folder / "quick.yaml", "--store", tmp_path / "results"]
    arguments += ["--decoder", f"{tmp_path}/slow.py:FailsToFit", "--engine", "dask", "--scheduler", cluster.address]
    process = subprocess.Popen(
        [sys.executable, "-m", "harness", "eval", *map(str, arguments)],
        env={**os.environ, "NEURAL_DECODER_DATA": str(folder / "data")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert once(lambda: any(len(at_work(worker)) >= 2 for worker in cluster.workers))
    under_way = [pid for worker in cluster.workers for pid in below(worker.pid)]
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    assert ended(under_way)


def test_a_scheduler_that_is_started_again_gets_what_is_missing(cluster, plan, records, elsewhere):
    def restart():
        assert once(lambda: any(at_work(worker) for worker in cluster.workers))
        cluster.kill()
        cluster.start(1)

    thread = threading.Thread(target=restart)
    thread.start()
    found = on(cluster, elsewhere)
    thread.join()
    assert same(found, elsewhere, records, plan)
    assert len([*elsewhere.store.root.glob("fits/*/*")]) == len([*elsewhere.store.root.glob("cells/*/*")]) == 1


@pytest.mark.long
def test_a_scheduler_that_stays_away_ends_the_run_in_words(plan, elsewhere, tmp_path):
    cluster = Processes(tmp_path, n_workers=1)

    def kill():
        once(lambda: at_work(cluster.workers[0]))
        cluster.kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        with pytest.raises(Unfinished, match=r"the connection to scheduler tcp:\S+ was lost .* no Dask scheduler"):
            on(cluster, elsewhere, patience_s=3)
    finally:
        thread.join()
        cluster.kill()


def test_a_cluster_without_workers_ends_the_run_in_words(elsewhere, tmp_path):
    cluster = Processes(tmp_path, n_workers=0)
    try:
        with pytest.raises(Unfinished, match=r"there has been no worker for 1 s; start some: dask worker"):
            on(cluster, elsewhere, workers_s=1)
    finally:
        cluster.kill()


def test_a_scheduler_that_does_not_answer_is_named():
    with pytest.raises(UsageError, match=r"no Dask scheduler answers at tcp://127.0.0.1:\d+ within 1 s"):
        Cluster(f"tcp://127.0.0.1:{free_port()}", patience_s=1)


class Address:
    """A client that only remembers what it is asked to have done, and where."""

    status = "running"

    def __init__(self):
        self.asked = []

    def nthreads(self):
        return {f"tcp://10.0.0.{machine}:{port}": 1 for machine in (1, 2) for port in (1, 2)}

    def submit(self, function, one, contents, *, key, workers, pure):
        self.asked.append(workers)
        return key


def test_at_most_one_test_pass_is_sent_to_a_machine_and_all_learning_at_once(plan, records):
    done = work_of(plan) * 4
    for alone, expected in ((True, [{"10.0.0.1"}, {"10.0.0.2"}]), (False, [set()] * len(done))):
        client = Address()
        posting = Posting(client, done, alone=alone, patience_s=1)
        posting._look()
        assert list(posting._post()) == []
        machines = [{at.split("/")[2].split(":")[0] for at in workers or ()} for workers in client.asked]
        assert machines == expected


def test_what_was_sent_in_place_of_what_was_asked_for_is_not_taken(plan, records, monkeypatch, tmp_path):
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(tmp_path))
    (one,) = {test.learned[0] for test in work_of(plan) if test.session.id == "tiny-0"}
    asked = errand(one)
    gone = {name: Item(item.sha256, tmp_path / "not there") for name, item in asked.recordings.items()}
    asked = replace(asked, recordings=gone)
    assert serve(asked) == Lacks("here", tuple(item.sha256 for item in gone.values()))
    assert serve(asked, [b"something else"]) == serve(asked)
    done = serve(asked, [plan.files["tiny-0"].read_bytes()])
    assert isinstance(done, Done)
    assert done.trouble is None
    assert set(done.files) == {"fit.json", "artifact.safetensors"}
    assert serve(asked) == done  # kept for the sender, who may have gone meanwhile


def test_slurm_is_asked_for_what_the_options_say():
    with contextlib.closing(slurm_cluster({"queue": "long", "cores": "2", "memory": "8GB"})) as cluster:
        script = cluster.job_script()
    assert "#SBATCH -p long" in script
    assert "#SBATCH --cpus-per-task=2" in script
    assert "distributed.cli.dask_worker" in script


SBATCH = """#!/bin/bash
cp "$1" "$0.job"
setsid bash "$0.job" > "$0.log" 2>&1 &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/bash
kill -- "-$1" 2> /dev/null || true
"""


@pytest.mark.long
def test_slurm_jobs_do_the_work_and_are_ended(plan, records, elsewhere, tmp_path, monkeypatch):
    """With commands in place of Slurm's that start and end a job's script on this machine."""
    for name, script in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("NEURAL_DECODER_DATA", str(tmp_path / "data"))
    where = {"local_directory": str(tmp_path), "log_directory": str(tmp_path), "interface": "lo"}
    with opened("slurm", where, n_workers=1) as engine:
        found = evaluate(elsewhere, Quiet(), engine)
        (job,) = engine._scheduler.workers.values()
    assert same(found, elsewhere, records, plan)
    assert ended([int(job.job_id)])


def test_slurm_is_looked_for(monkeypatch):
    monkeypatch.setattr("harness.cluster.opened.shutil.which", lambda name: None)
    with pytest.raises(UsageError, match="needs Slurm's command sbatch, which is not on this machine"):
        opened("slurm", {}, n_workers=1)


@pytest.mark.parametrize(
    "scheduler, slurm, said",
    [
        ("", {}, "--engine dask needs --scheduler"),
        ("tcp://somewhere:8786", {"queue": "long"}, "--slurm queue=... is for --scheduler slurm"),
    ],
)
def test_what_is_missing_or_wrong_is_said(scheduler, slurm, said):
    with pytest.raises(UsageError, match=said):
        opened(scheduler, slurm, n_workers=1)


def test_an_option_that_slurm_workers_do_not_have_is_refused():
    with pytest.raises(UsageError, match=r"quue=long cannot be .* takes the options of dask_jobqueue.SLURMCluster"):
        slurm_cluster({"quue": "long"})


def test_without_dask_the_command_says_what_to_install(monkeypatch):
    monkeypatch.setattr("harness.cluster.opened.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'neural-decoder-harness\[cluster\]'"):
        opened("tcp://somewhere:8786", {}, n_workers=1)
