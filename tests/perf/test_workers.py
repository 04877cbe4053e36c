"""Eight cells with two worker processes, against the same eight with one, in one run.

    pytest tests/perf/test_workers.py

A cell is one fit and one test pass. Fits share the machine, test passes never do: what eight of them take one after the
other is the same for any number of workers, and is told beside the ratio. A fit works for some ten times as long as its
test pass, as that of a network does. Target: at least 1.7; needs two cores that nobody else uses.
"""

import os
import time
from dataclasses import replace

import pytest

from harness.data.suites import load_suite
from harness.evaluate import evaluate
from harness.plan import Plan
from harness.registry import find
from harness.results import cells
from harness.results.store import Store
from tests.perf.rows import keep
from tests.tiny import Quiet, quick_profile, tiny_files, write_tiny_suite

N_CELLS = 8
WORK_S = 20.0
TARGET = 1.7
BUSY = f'''
"""Works hard for a while and then knows nothing."""

import time
from dataclasses import dataclass

import numpy as np

from harness import Decoder


@dataclass
class Busy(Decoder):
    inputs = ("spikes",)
    seed: int = 0

    def fit(self, train, validation):
        matrix = np.eye(64)
        while time.process_time() < {WORK_S}:  # of this process, so that a shared core makes it longer
            matrix = matrix @ matrix
        self.map_ = matrix[:2, :1] * 0

    def reset(self, session):
        pass

    def step(self, bin):
        return self.map_[:, 0]
'''


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    """Four seeds on two recordings."""
    folder = tmp_path_factory.mktemp("workers")
    suite = load_suite(str(write_tiny_suite(folder)))
    files = tiny_files(suite, folder / "data")
    (folder / "busy.py").write_text(BUSY)
    decoders = [find(f"{folder / 'busy.py'}:Busy")]
    return Plan(suite, "simulated", files, decoders, quick_profile(), Store(folder), seeds=(1, 2, 3, 4))


def seconds(plan, n_workers):
    """Wall time of the whole evaluation, and how much of it test passes took."""
    one = replace(plan, n_workers=n_workers, store=Store(plan.store.root / f"results-{n_workers}"))
    start = time.monotonic()
    records = evaluate(one, Quiet())
    whole_s = time.monotonic() - start
    kept = [cells.read_json(path) for path in one.store.root.glob("cells/*/*/cell.json")]
    assert len(kept) == N_CELLS
    assert [record.status for record in records] == ["ok"] * (N_CELLS // 2)
    return whole_s, sum(cell["seconds"] for cell in kept)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="two workers need two cores")
def test_two_workers_against_one(plan, benchmark):
    one_s, tests_s = seconds(plan, 1)
    two_s, _ = benchmark.pedantic(seconds, args=(plan, 2), rounds=1)
    ratio = one_s / two_s
    what = f"two local workers against one, {N_CELLS} cells"
    keep(benchmark, what, ratio, limit=TARGET, unit="times", aim="least")
    print(
        f"\none worker {one_s:.1f} s, two {two_s:.1f} s, ratio {ratio:.2f}; test passes alone {tests_s:.1f} s of each"
    )
