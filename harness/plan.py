"""What an evaluation is asked to do, and the prepared sessions that its work shares."""

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.data.cache import Cache
from harness.data.prepared import prepare_once
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
    cache: Where prepared sessions are kept, and taken from; None: each run prepares its own.
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
    cache: Cache | None = None


class Recordings:
    """Prepared sessions, the last ones kept in memory.

    Another process that is sent this gets one of its own, the same one each time.
    """

    KEPT_BYTES = 1 << 30

    def __init__(self, plan: Plan, token: str = "") -> None:
        self.plan, self._lock = plan, threading.Lock()
        self._token = token or secrets.token_hex(16)
        self._kept = OrderedDict[tuple[str, int, tuple[str, ...]], Parts]()

    def __call__(self, session: Session, streams: Sequence[str], fold: int = 0) -> Parts:
        key = (session.id, fold, tuple(streams))
        with self._lock:
            if key not in self._kept:
                plan = self.plan
                self._kept[key] = prepare_once(
                    plan.suite, session, plan.files[session.id], cache=plan.cache, streams=streams, fold=fold
                )
            self._kept.move_to_end(key)
            while len(self._kept) > 1 and sum(parts.n_bytes for parts in self._kept.values()) > self.KEPT_BYTES:
                self._kept.popitem(last=False)
            return self._kept[key]

    def __reduce__(self) -> "tuple[Callable[[Plan, str], Recordings], tuple[Plan, str]]":
        return _received, (self.plan, self._token)


_last_received: dict[str, Recordings] = {}
"""By token, of whichever process sent them: the newest alone, for each holds recordings."""


def _received(plan: Plan, token: str) -> Recordings:
    if token not in _last_received:
        _last_received.clear()
    return _last_received.setdefault(token, Recordings(plan, token))
