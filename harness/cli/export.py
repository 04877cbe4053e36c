"""What `harness data export` and `harness data clear` do."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data.download import Access
    from harness.data.export import Format
    from harness.data.suites import Suite

Row = dict[str, object]


@dataclass(frozen=True)
class Asked:
    """The command's words."""

    suite: str
    tier: str | None
    sessions: Sequence[str]
    task: str | None
    data_root: Path | None


def export(asked: Asked, *, format: "Format", out: Path, access: "Access") -> list[Row]:
    """Write the folder; one row for each split in it."""
    from harness.cli.data import choose
    from harness.data.cache import default_cache
    from harness.data.download import locate
    from harness.data.export import Order
    from harness.data.export import export as write
    from harness.data.progress import bars
    from harness.data.suites import load_suite

    suite, cache = _variant(load_suite(asked.suite), asked.task), default_cache()
    sessions = choose(suite, tier=asked.tier, ids=list(asked.sessions))
    with bars() as watcher:
        files = locate(sessions, cache, data_root=asked.data_root, access=access, watcher=watcher)
    kept = [session for session in sessions if session.id in files]
    written = write(Order(suite, kept, files, format, out, cache))
    return [
        {"folder": one.name, "split": part, "bins": n, "scored": k}
        for one in written
        for part, (n, k) in one.rows.items()
    ]


def _variant(suite: "Suite", task: str | None) -> "Suite":
    """The suite with one of its tasks."""
    known = {variant.name.partition("/")[2] or variant.task.target: variant for variant in suite.variants()}
    if task is None:
        return next(iter(known.values()))
    if task not in known:
        raise UsageError(f"suite {suite.label} has no task {task!r}; it has: {', '.join(known)}")
    return known[task]


def clear() -> tuple[int, int]:
    """Remove the prepared sessions; how many, and how many bytes they took."""
    from harness.data import prepared_room
    from harness.data.cache import default_cache

    gone = prepared_room.clear(default_cache())
    return len(gone), sum(one.n_bytes for one in gone)
