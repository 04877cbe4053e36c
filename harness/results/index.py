"""The index of a store: one row per record, in SQLite, so that thousands of records are listed without being read.

It holds nothing that the records do not hold. It is brought up to date by comparing names, sizes and times of the
record files with what was seen last, and written anew where it is missing or damaged.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.errors import BadData
from harness.results.reading import read_record
from harness.results.records import Record
from harness.results.store import Store

VERSION = 1
NAME = "index.sqlite"
COLUMNS = (
    *("path", "changed_ns", "size", "problem", "id", "suite", "tier", "simulated", "decoder", "seed", "status"),
    *("metric", "score", "low", "high", "p50_ms", "p99_ms", "parameters", "artifact_bytes", "fit_s"),
    *("isolation", "profile", "noisy", "started_utc"),
)

Row = dict[str, Any]


def rows(store: Store) -> list[Row]:
    """All records of a store, one row each, as `COLUMNS`; a broken file has a `problem` and nothing else.

    A store that cannot be written is indexed in memory.
    """
    with _opened(store) as index:
        _refresh(index, store)
        found = index.execute(f"SELECT {', '.join(COLUMNS)} FROM records ORDER BY path").fetchall()
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


@contextlib.contextmanager
def _opened(store: Store) -> Iterator[sqlite3.Connection]:
    """The index, made or made anew if it is missing, damaged or of another version."""
    path = store.root / NAME
    try:
        connection = _connect(path)
    except sqlite3.DatabaseError:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        try:
            connection = _connect(path)
        except sqlite3.DatabaseError:
            connection = _connect(Path(":memory:"))
    try:
        yield connection
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        # One at a time: between another's look and its drop a table could come and go.
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            connection.execute("DROP TABLE IF EXISTS records")
        connection.execute(f"CREATE TABLE IF NOT EXISTS records ({', '.join(COLUMNS)}, PRIMARY KEY (path))")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA quick_check")
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def _refresh(index: sqlite3.Connection, store: Store) -> None:
    """Read what is new or changed, drop what is gone."""
    seen = {
        path: (changed, size) for path, changed, size in index.execute("SELECT path, changed_ns, size FROM records")
    }
    now = store.states()
    changed = [_row(store.root / name, name, now[name]) for name in now if seen.get(name) != now[name]]
    marks = ", ".join("?" * len(COLUMNS))
    index.execute("BEGIN IMMEDIATE")
    index.executemany("DELETE FROM records WHERE path = ?", [(name,) for name in seen if name not in now])
    values = [tuple(row[name] for name in COLUMNS) for row in changed]
    index.executemany(f"INSERT OR REPLACE INTO records VALUES ({marks})", values)
    index.execute("COMMIT")


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
