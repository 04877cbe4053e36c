"""The index of a store: one row per record, in SQLite, so that thousands of records are listed without being read.

It holds nothing that the records do not hold. It is brought up to date by comparing names, sizes and times of the
record files with what was seen last, and written anew where it is missing or damaged.
"""

import contextlib
import marshal
import sqlite3
import zlib
from pathlib import Path
from typing import Any

from harness.errors import BadData
from harness.results.reading import read_record
from harness.results.records import Record
from harness.results.store import Store

VERSION = 2
NAME = "index.sqlite"
COLUMNS = (
    *("path", "changed_ns", "size", "problem", "id", "suite", "tier", "simulated", "decoder", "seed", "status"),
    *("metric", "score", "low", "high", "p50_ms", "p99_ms", "parameters", "artifact_bytes", "fit_s"),
    *("isolation", "profile", "noisy", "started_utc"),
)
KEPT = (*COLUMNS, "checked")

BUSY_OR_CLOSED = (
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS),
)
"""Errors of a disk, or of somebody else at work: no reason to throw an index away."""

Row = dict[str, Any]


def rows(store: Store) -> list[Row]:
    """All records of a store, one row each, as `COLUMNS`; a broken file has a `problem` and nothing else.

    A damaged index is made anew. A store that cannot be written, or is full, is indexed in memory.
    """
    path = store.root / NAME
    places: list[Path | str] = [path, path, ":memory:"]
    while True:
        try:
            with contextlib.closing(_connect(places.pop(0))) as index:
                found = _refreshed(index, store)
            return [dict(zip(COLUMNS, row, strict=True)) for row in found]
        except sqlite3.DatabaseError as error:
            if not places:
                raise
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in BUSY_OR_CLOSED:
                places = places[-1:]
            else:
                _throw_away(path)


def _throw_away(path: Path) -> None:
    """Without its journal: that of another file would be played into the next one."""
    for name in (path, path.with_name(f"{NAME}-journal")):
        with contextlib.suppress(OSError):
            name.unlink(missing_ok=True)


def _connect(place: Path | str) -> sqlite3.Connection:
    """An index, of this version or empty."""
    connection = sqlite3.connect(place, timeout=30, isolation_level=None)
    try:
        # One at a time: between another's look and its drop a table could come and go.
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.execute("DROP TABLE IF EXISTS records")
        connection.execute(f"CREATE TABLE IF NOT EXISTS records ({', '.join(KEPT)}, PRIMARY KEY (path))")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.close()
        raise
    return connection


def _refreshed(index: sqlite3.Connection, store: Store) -> list[tuple[Any, ...]]:
    """Read what is new or changed, drop what is gone; all rows, by path.

    Raises:
        sqlite3.DatabaseError: If a row is not what was written.
    """
    seen = {
        path: (changed, size) for path, changed, size in index.execute("SELECT path, changed_ns, size FROM records")
    }
    now = store.states()
    changed = [_row(store.root / name, name, now[name]) for name in now if seen.get(name) != now[name]]
    values = [tuple(row[name] for name in COLUMNS) for row in changed]
    index.execute("BEGIN IMMEDIATE")
    gone = [row for row in index.execute("SELECT path FROM records") if row[0] not in now]
    index.executemany("DELETE FROM records WHERE path = ?", gone)
    index.executemany(
        f"INSERT OR REPLACE INTO records VALUES ({', '.join('?' * len(KEPT))})",
        [(*row, _check(row)) for row in values],
    )
    found = index.execute(f"SELECT {', '.join(KEPT)} FROM records ORDER BY path").fetchall()
    index.execute("COMMIT")
    if {row[0]: row[1:3] for row in found} != now or any(row[-1] != _check(row[:-1]) for row in found):
        raise sqlite3.DatabaseError("a row is not what was written")
    return [row[:-1] for row in found]


def _check(row: tuple[Any, ...]) -> int:
    """A sum over a row by which a bit that flipped on the disk is noticed; SQLite has no truth values."""
    return zlib.crc32(marshal.dumps(tuple(int(v) if isinstance(v, bool) else v for v in row), 2))


def _row(path: Path, name: str, state: tuple[int, int]) -> Row:
    row: Row = dict.fromkeys(COLUMNS) | {"path": name, "changed_ns": state[0], "size": state[1]}
    try:
        return row | _held(_summary(read_record(path)), path)
    except BadData as error:
        return row | {"problem": str(error)}


def _held(summary: Row, path: Path) -> Row:
    """A summary, if SQLite can hold it: JSON has whole numbers of any size."""
    for name, value in summary.items():
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise BadData(
                f"{path}: {name} is a whole number of {value.bit_length()} bits; an index holds up to 63; "
                f"move the record away and run it again with a smaller one"
            )
    return summary


def _summary(r: Record) -> Row:
    score, latency = r.scores.get(r.metric), r.latency_ms
    return {
        "id": r.id,
        "suite": r.suite,
        "tier": r.tier,
        "simulated": r.simulated,
        "decoder": r.decoder.name,
        "seed": r.seed,
        "status": r.status,
        "metric": r.metric,
        "score": score and score.value,
        "low": score and score.low,
        "high": score and score.high,
        "p50_ms": latency and latency.p50,
        "p99_ms": latency and latency.p99,
        "parameters": r.cost.parameters,
        "artifact_bytes": r.cost.artifact_bytes,
        "fit_s": r.cost.fit_s,
        "isolation": r.isolation,
        "profile": r.profile.name,
        "noisy": r.profile.noisy,
        "started_utc": r.started_utc,
    }
