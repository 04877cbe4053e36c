"""Prepared sessions, kept: a recording is read and cut into bins once, and then mapped from the data folder.

prepared/<key>-<digest>.arrow is an Arrow file with one row per bin. The key is of all that decides the content, the
digest of the content itself (docs/decisions/0120).
"""

import functools
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.data import arrow_file
from harness.data.align import Aligned
from harness.data.array_json import decoded, encoded
from harness.data.cache import Cache
from harness.data.prepare import Whole, cut, prepare, read
from harness.data.prepared_key import key_of, key_parts
from harness.data.prepared_room import FOLDER, SUFFIX, entries, intact, limit_bytes, make_room
from harness.data.room import MEMORY, Memory, Scratch
from harness.data.split import Parts
from harness.data.suites import Session, Suite
from harness.data.table import INPUTS, PRIVILEGED, columns_of, with_prefix
from harness.errors import UsageError
from harness.types import Inputs, Recording, SessionInfo

FORMAT = 1
TICK = "tick"
_SESSION = TypeAdapter(SessionInfo)
_log = logging.getLogger(__name__)


def prepare_once(
    suite: Suite,
    session: Session,
    path: Path,
    *,
    cache: Cache | None,
    streams: Sequence[str] | None = None,
    fold: int = 0,
) -> Parts:
    """The same as `harness.data.prepare.prepare`, bit for bit, from the cache if it is there; else it is put there.

    Arrays of streams and ticks cannot be written to. Without a cache, or where it cannot be used, all is in memory.
    """
    if cache is None or not path.is_file():
        return prepare(suite, session, path, streams=streams, fold=fold)
    parts = key_parts(suite, session, path, streams=streams) | {"format": FORMAT}
    make = functools.partial(_read, suite, session, path, streams)
    return cut(suite, session, _kept(cache, parts, make), fold=fold)


def _read(suite: Suite, session: Session, path: Path, streams: Sequence[str] | None, room: Memory) -> Whole:
    return read(suite, session, path, streams=streams, room=room)


def _kept(cache: Cache, parts: dict[str, Any], make: Callable[[Memory], Whole]) -> Whole:
    key = key_of(parts)
    if found := find(cache, key):
        return found
    if not limit_bytes():
        return make(MEMORY)
    with ExitStack() as held:
        try:
            held.enter_context(cache.lock(f"{FOLDER}-{key}"))
            cache.folder(FOLDER)
            room = Scratch(cache.folder("parts"))
        except (OSError, NotImplementedError, UsageError):
            return make(MEMORY)  # a folder that cannot be written to, or on a disk without locks
        if found := find(cache, key):
            return found
        whole = make(room)
        keep(cache, key, whole, made_of=parts, room=room)
    return find(cache, key) or whole


def find(cache: Cache, key: str) -> Whole | None:
    """A kept session, mapped; None if there is none, or a damaged one, which is said and removed."""
    for path in entries(cache, key):
        try:
            whole = _mapped(path)
            state = path.stat()
            # When it was last used, on disks too that do not note it; nothing in it has changed.
            with suppress(OSError):
                os.utime(path, ns=(time.time_ns(), state.st_mtime_ns))
        except FileNotFoundError:
            continue  # another process has just made room
        except (OSError, ValueError, LookupError, TypeError) as error:
            _log.warning("The prepared session %s is damaged: %s. It is prepared again.", path, error)
            with suppress(OSError):
                path.unlink()
            continue
        return whole
    return None


def keep(cache: Cache, key: str, whole: Whole, *, made_of: Mapping[str, Any], room: Memory = MEMORY) -> None:
    """Write a session, whose signals are in `room`, unless the data folder has no room; it is as good as it is."""
    columns = {TICK: whole.aligned.ticks, **columns_of(whole.aligned.recording)}
    part = cache.root / "parts" / f"{FOLDER}-{key}{SUFFIX}"
    try:
        if not make_room(cache, sum(values.nbytes for values in columns.values())):
            return
        part.unlink(missing_ok=True)
        digest = arrow_file.write(part, columns, {"made_of": made_of, "whole": _about(whole)}, room=room)
        part.chmod(0o444)
        part.replace(cache.root / FOLDER / f"{key}-{digest}{SUFFIX}")
    except OSError as error:
        _log.warning("The prepared session could not be kept in %s: %s", cache.root, error.strerror or error)
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _mapped(path: Path) -> Whole:
    if not intact(path):
        raise ValueError("its content is not what its name says")
    columns, told = arrow_file.mapped(path)
    about = told["whole"]
    session = _SESSION.validate_python(about["session"])
    recording = Recording(
        session=session,
        inputs=Inputs(with_prefix(columns, INPUTS), columns["start"], session.bin_s),
        targets=columns["targets"],
        scored=columns["scored"],
        privileged=with_prefix(columns, PRIVILEGED),
    )
    cuts = None if about["cuts"] is None else decoded(about["cuts"])
    aligned = Aligned(recording, columns[TICK], about["clock_hz"], about["bin_ticks"], cuts)
    return Whole(aligned, {name: decoded(column) for name, column in about["trials"].items()})


def _about(whole: Whole) -> dict[str, Any]:
    """What of a session is not in the rows, as JSON knows it."""
    aligned = whole.aligned
    return {
        "session": _SESSION.dump_python(aligned.recording.session, mode="json"),
        "clock_hz": aligned.clock_hz,
        "bin_ticks": aligned.bin_ticks,
        "cuts": None if aligned.cuts is None else encoded(aligned.cuts),
        "trials": {name: encoded(values) for name, values in whole.trials.items()},
    }
