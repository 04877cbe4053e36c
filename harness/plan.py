"""What an evaluation is asked to do, and the prepared sessions that its work shares."""

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.data.prepare import prepare
from harness.data.split import Parts
from harness.data.suites import Session, Suite
from harness.judge.budget import Track, shipped_tracks
from harness.judge.profiles import Profile
from harness.registry import DecoderRef
from harness.results.store import Store

Rerun = Literal["nothing", "failed", "all"]
Audit = Literal["standard", "full"]


@dataclass(frozen=True)
class Plan:
    """What is to be evaluated.

    files: session id -> NWB file, for every session of the tier.
    settings: Hyper-parameters from the command line, given to every decoder.
    seeds: Overrides the suite's seeds for stochastic decoders.
    rerun: Which finished work to run again all the same.
    audit: `full` also fits every decoder again, and once more on wrong labels.
    tracks: Which budgets each run is compared with.
    """

    suite: Suite
    tier: str
    files: Mapping[str, Path]
    decoders: Sequence[DecoderRef]
    profile: Profile
    store: Store
    settings: Mapping[str, Any] = field(default_factory=dict)
    seeds: Sequence[int] = ()
    n_workers: int = 1
    rerun: Rerun = "nothing"
    audit: Audit = "standard"
    tracks: Sequence[Track] = field(default_factory=shipped_tracks)


class Recordings:
    """Prepared sessions, the last ones kept in memory."""

    KEPT_BYTES = 1 << 30

    def __init__(self, plan: Plan) -> None:
        self._plan, self._lock = plan, threading.Lock()
        self._kept = OrderedDict[tuple[str, int, tuple[str, ...]], Parts]()

    def __call__(self, session: Session, streams: Sequence[str], fold: int = 0) -> Parts:
        key = (session.id, fold, tuple(streams))
        with self._lock:
            if key not in self._kept:
                path = self._plan.files[session.id]
                self._kept[key] = prepare(self._plan.suite, session, path, streams=streams, fold=fold)
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(parts.n_bytes for parts in self._kept.values()) > self.KEPT_BYTES:
                self._kept.popitem(last=False)
            return self._kept[key]
