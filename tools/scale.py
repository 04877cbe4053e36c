"""What far larger use would take: costs measured on records and a store, and schedules simulated from them.

    python tools/scale.py STORE docs/results/scale.json    # STORE: with fits/ and cells/

A cell is one decoder with one seed on one recording. Costs are those of the published records of one suite; decoders
of the large use are drawn from them. Learning fills all cores; so does then what is not timed of the test passes, while
what is timed has its machine alone.
"""

import heapq
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any
from unittest import mock

import numpy as np

from harness.data.cache import default_cache
from harness.data.download import locate
from harness.data.prepare import prepare
from harness.data.suites import load_suite
from harness.evaluate import tests_of
from harness.judge import cell as judge
from harness.judge.profiles import load_profile
from harness.judge.turn import Turn, machine
from harness.plan import Plan
from harness.registry import find
from harness.results.index import rows
from harness.results.published import open_store
from harness.results.records import Record, sealed
from harness.results.store import Store
from harness.score.metrics import metric

PUBLISHED = Path("submissions/results")
BOARDS = (
    ("primate-reaching@1", "simulated"),
    ("realdata-reaching@1", "local"),
    ("primate-lfp@1", "simulated"),
    ("eeg-motor-imagery-cross-subject/fists-or-feet@1", "simulated-feet"),
)
N_RECORDINGS = 8
"""Of the runs behind the first board, each with one paced pass."""
N_LISTED = 4000
CORES, SEEDS = 16, 3
USES = ((60, 138), (1000, 138), (1000, 1000), (5000, 1000))
"""Decoders and recordings; 138 are in the tier `full` of primate-reaching."""
MACHINES = (1, 8, 64)


@dataclass(frozen=True)
class Cost:
    """Of one recording, by one decoder with one seed; seconds."""

    decoder: str
    learn_s: float
    test_s: float


@dataclass(frozen=True)
class Schedule:
    """A simulated run. learn_h and test_h follow each other; `busy` is the share of all cores' time that is used."""

    decoders: int
    recordings: int
    machines: int
    cells: int
    learn_h: float
    test_h: float
    busy: float


def costs_of(records: Iterable[Record]) -> list[Cost]:
    """What each run took, for one recording."""
    found = []
    for r in records:
        if r.status == "ok":
            learn_s, n = sum(stage.seconds for stage in r.learning), len(r.sessions)
            found.append(Cost(r.decoder.name, learn_s / n, max(0.0, r.seconds - learn_s) / n))
    return found


def makespan_s(jobs: Iterable[float], n_places: int) -> float:
    """When the last job ends, each given to the place that is free first, the longest first."""
    free = [0.0] * n_places
    for seconds in sorted(jobs, reverse=True):
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def simulate(costs: list[Cost], n_decoders: int, n_recordings: int, n_machines: int, *, alone: float) -> Schedule:
    """Learning on all cores, then test passes, of which a share has its machine alone and the rest all its cores.

    Costs are drawn with replacement, each for all recordings and seeds of a decoder.
    """
    drawn = np.random.default_rng(0).choice(len(costs), n_decoders)
    each = SEEDS * n_recordings
    # Many equal jobs are dealt in lots: a lot is far shorter than the whole, so that the end differs little.
    lot = max(1, n_decoders * each // 200_000)
    learn = [costs[i].learn_s * lot for i in drawn for _ in range(each // lot)]
    test = [costs[i].test_s * lot for i in drawn for _ in range(each // lot)]
    on_machine = alone + (1 - alone) / CORES
    learn_s = makespan_s(learn, n_machines * CORES)
    test_s = makespan_s([seconds * on_machine for seconds in test], n_machines)
    busy = (sum(learn) + sum(test)) / (n_machines * CORES * (learn_s + test_s))
    return Schedule(n_decoders, n_recordings, n_machines, n_decoders * each, learn_s / 3600, test_s / 3600, busy)


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def test_passes(decoder: str) -> dict[str, dict[str, float]]:
    """Seconds of the parts of test passes: of a run's `first`, which is streamed in real time too, and of its `others`.

    alone: Timed, with the machine to itself. audit, count: Of the rest. whole: All of it.
    """
    suite, name = load_suite("primate-reaching").variants("simulated")[0], BOARDS[0][1]
    session = suite.in_tier(name)[0]
    parts = prepare(suite, session, locate([session], default_cache())[session.id], streams=("spikes",))
    profile = load_profile("cpu-1")
    # How often a pass is repeated is a matter of who else is on the machine, and not of the decoder.
    once = profile.model_copy(update={"timing": profile.timing.model_copy(update={"repeats": 1})})
    candidate = judge.Candidate(find(decoder), {}, True, once)
    fitted = judge.fit(candidate, [parts.train], [parts.validation])

    def one(paced: bool) -> dict[str, float]:
        took = dict.fromkeys(("alone", "audit", "count"), 0.0)

        @contextmanager
        def timed(part: str) -> Iterator[None]:
            start = time.perf_counter()
            try:
                yield
            finally:
                took[part] += time.perf_counter() - start

        class Clocked(Turn):
            @contextmanager
            def alone(self) -> Iterator[None]:
                with super().alone(), timed("alone"):
                    yield

        asked, audit, count = judge.Asked(metric("r2"), paced=paced), timed("audit"), timed("count")
        with (
            mock.patch.object(judge.audit, "audit", audit(judge.audit.audit)),
            mock.patch.object(judge._Run, "_count", count(judge._Run._count)),
            Clocked(machine().path) as mine,
        ):
            whole_s = seconds(lambda: judge.test(candidate, fitted, parts.test, asked, turn=mine))
        return took | {"whole": whole_s}

    return {"first": one(True), "others": one(False)}


def alone_share(passes: Mapping[str, Mapping[str, Mapping[str, float]]], n_recordings: int) -> float:
    """Share of a run's test passes that is timed: the median of some decoders."""

    def whole(found: Mapping[str, Mapping[str, float]], part: str) -> float:
        return found["first"][part] + (n_recordings - 1) * found["others"][part]

    return median(whole(found, "alone") / whole(found, "whole") for found in passes.values())


def planning() -> dict[str, float]:
    """Seconds of planning one test, all decoders described; and of describing one decoder, once."""
    suite = load_suite("primate-reaching").variants("simulated")[0]
    sessions = suite.in_tier("simulated")
    decoders = [find(name) for name in ("train-mean", "wiener", "kalman")]
    with tempfile.TemporaryDirectory() as folder:
        files = locate(sessions, default_cache())
        plan = Plan(suite, "simulated", files, decoders, load_profile("cpu-1"), Store(Path(folder)))
        first_s = seconds(lambda: tests_of(plan))
        again_s = median(seconds(lambda: tests_of(plan)) for _ in range(5))
        return {"test_s": again_s / len(tests_of(plan)), "describe_s": (first_s - again_s) / len(decoders)}


def listing(records: list[Record]) -> dict[str, float]:
    """Seconds that a store of `N_LISTED` records takes to be indexed, and to be listed again."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        for i in range(N_LISTED):
            record = sealed(records[i % len(records)].model_copy(update={"seed": 10_000 + i}))
            path = store.record_path(record)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(record.model_dump_json(by_alias=True))
        return {
            "first_s": seconds(lambda: rows(store)),
            "again_s": median(seconds(lambda: rows(store)) for _ in range(3)),
        }


def measure(root: Path) -> dict[str, Any]:
    """All that the page says."""
    published = list(open_store(PUBLISHED).records())
    boards = {board: [r for r in published if (r.suite, r.tier) == board] for board in BOARDS}
    costs = {f"{suite}, {tier}": costs_of(found) for (suite, tier), found in boards.items()}
    drawn = costs[f"{BOARDS[0][0]}, {BOARDS[0][1]}"]
    size = {kind: _mean_bytes(root / kind) for kind in ("fits", "cells")}
    size["records"] = mean(len(r.model_dump_json(by_alias=True)) for r in published)
    passes = {name: test_passes(name) for name in ("wiener", "gru", "transformer")}
    alone = alone_share(passes, N_RECORDINGS)
    return {
        "costs": {name: [asdict(one) for one in found] for name, found in costs.items()},
        "bytes": size,
        "listing": {"records": N_LISTED, **listing(published)},
        "planning": planning(),
        "test_passes": passes,
        "alone": alone,
        "schedules": [asdict(simulate(drawn, d, n, m, alone=alone)) for d, n in USES for m in MACHINES],
    }


def _mean_bytes(folder: Path) -> float:
    """Of a finished piece of work, all its files."""
    pieces = [sum(file.stat().st_size for file in piece.iterdir()) for piece in folder.glob("??/*")]
    return mean(pieces)


def main() -> None:
    """Measure and keep."""
    store, out = map(Path, sys.argv[1:3])
    out.write_text(json.dumps(measure(store), indent=1) + "\n")


if __name__ == "__main__":
    main()
