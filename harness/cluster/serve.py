"""A worker's side of a cluster: get what is lacking, do the job in a process of its own, send back what it left.

All is kept in a scratch store in the worker's own data folder until the sender has it. Nothing is written elsewhere.
"""

import hashlib
import pickle
import shutil
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness.cluster.errand import Done, Errand, Gone, Item, Lacks, Refused, Reply, program
from harness.data.cache import Cache, default_cache
from harness.data.identity import hashed
from harness.engine.seat import Died, Seat
from harness.errors import HarnessError
from harness.judge.hardware import why_not_served
from harness.judge.notes import progress_in
from harness.learning import Learning, lock
from harness.plan import Recordings
from harness.registry import DecoderRef
from harness.results import cells
from harness.results.shown import shown_path
from harness.results.store import Store, write_whole
from harness.source import source_sha256
from harness.work import Test

SCRATCH = "engine"
PROGRESS = "neural-decoder-harness-progress"
LOOK_S = 1.0
"""Between two looks at how far training is."""

_seats: dict[str, Seat] = {}
"""What is under way in this process, by the errand's id."""


def serve(errand: Errand, sent: Sequence[bytes] = ()) -> Reply:
    """Do a job, or say why not. Never raises for what is the job's own trouble.

    Args:
        errand: The job.
        sent: Files that were lacking.
    """
    me = whoami()
    if why := _other_program(errand):
        return Refused(me, why, whatever=True)
    cache = default_cache()
    try:
        store = Store(cache.folder(SCRATCH))
        lacking = _take(errand, {hashlib.sha256(content).hexdigest(): content for content in sent}, cache, store)
        if lacking:
            return Lacks(me, tuple(lacking))
        job = _moved(errand, cache, store)
    except (HarnessError, OSError) as error:
        return Refused(me, str(error) if isinstance(error, HarnessError) else f"it cannot keep its files: {error}")
    if why := _other_decoder(job):
        return Refused(me, why)
    if isinstance(job, Test) and (why := why_not_served(job.plan.profile)):
        return Refused(me, f"profile {job.plan.profile.label} cannot be served there: {why}")
    return _done(errand, job, me)


def whoami() -> str:
    """This worker's address on its cluster."""
    me = _worker()
    return str(me.address) if me else "here"


def _worker() -> Any:
    from distributed import get_worker

    with suppress(ValueError):
        return get_worker()
    return None


def stop(ids: Sequence[str]) -> None:
    """End what is under way of these errands; nobody waits for it any more."""
    for one in set(ids) & set(_seats):
        _seats[one].stop()


def forget(keys: Sequence[str]) -> None:
    """Remove the work of these keys, which the sender has."""
    store = Store(default_cache().root / SCRATCH)
    for key in keys:
        for folder in (store.root / "fits" / key[:2] / key, store.cell(key)):
            shutil.rmtree(folder, ignore_errors=True)


def _done(errand: Errand, job: Learning | Test, me: str) -> Reply:
    with Seat() as seat:
        _seats[errand.id] = seat
        try:
            seat.begin(job)
            while not seat.over(LOOK_S):
                _tell(job)
            trouble = seat.outcome()
        except Died as death:
            return Gone(me, str(death))
        finally:
            del _seats[errand.id]
    if trouble:
        return Done(me, replace(trouble, text=f"{trouble.text} (on worker {me} of {socket.gethostname()})"))
    shown = b""
    if isinstance(job, Test):
        path = shown_path(job.plan.store, job.plan.suite.label, job.session.id, job.data)
        shown = path.read_bytes() if path.is_file() else b""
    return Done(me, files={path.name: path.read_bytes() for path in job.folder.iterdir()}, shown=shown)


def _tell(job: Learning | Test) -> None:
    """Let whoever waits know how far training is."""
    found = progress_in(job.notes) if isinstance(job, Learning) else None
    if found and (me := _worker()):
        me.log_event(PROGRESS, {"key": job.key, **asdict(found)})


def _other_program(errand: Errand) -> str:
    own = program()
    other = {
        name: (own.get(name, "none"), wanted) for name, wanted in errand.program.items() if own.get(name) != wanted
    }
    said = ", ".join(f"{name} {has} where {wanted} is asked for" for name, (has, wanted) in other.items())
    return f"it has {said}; install the same there" if other else ""


def _other_decoder(job: Learning | Test) -> str:
    run = job.share.run
    if run.fault:
        return ""
    try:
        found = source_sha256(run.ref)
    except HarnessError as error:
        return str(error)
    if found != run.source:
        return f"decoder {run.ref.name!r} has source {found[:12]} there, {run.source[:12]} is asked for; install that"
    return ""


def _take(errand: Errand, sent: Mapping[str, bytes], cache: Cache, store: Store) -> list[str]:
    """Keep what was sent and name what is still lacking."""
    lacking = [item.sha256 for item in errand.recordings.values() if not _recording(item, sent, cache)]
    lacking += [item.sha256 for item in errand.decoders.values() if not _decoder(item, sent, store)]
    for key, files in errand.learned.items():
        folder = store.root / "fits" / key[:2] / key
        with lock(store, key):
            if all(_is(folder / name, item) for name, item in files.items()):
                continue
            contents = {name: _content(item, sent) for name, item in files.items()}
            lacking += [files[name].sha256 for name, content in contents.items() if content is None]
            whole = {name: content for name, content in contents.items() if content is not None}
            if len(whole) == len(files):
                cells.write_folder(folder, whole)
    return list(dict.fromkeys(lacking))


def _recording(item: Item, sent: Mapping[str, bytes], cache: Cache) -> Path | None:
    """Where a recording is on this machine: where the sender has it, or in the data folder."""
    kept = cache.blob("sha256", item.sha256)
    if (content := sent.get(item.sha256)) is not None and not _is(kept, item):
        with cache.lock(f"sent-{item.sha256}"):
            write_whole(kept, content)
    return next((path for path in (item.path, kept) if _is(path, item)), None)


def _decoder(item: Item, sent: Mapping[str, bytes], store: Store) -> Path | None:
    """Where a decoder's file is on this machine; its name is part of its hash."""
    kept = store.root / "decoders" / item.sha256 / item.path.name
    if (content := _content(item, sent)) is not None and not _is(kept, item):
        write_whole(kept, content)
    return kept if _is(kept, item) else None


def _is(path: Path, item: Item) -> bool:
    try:
        return path.is_file() and hashed(path) == item.sha256
    except OSError:
        return False


def _content(item: Item, sent: Mapping[str, bytes]) -> bytes | None:
    if item.sha256 in sent:
        return sent[item.sha256]
    return item.path.read_bytes() if _is(item.path, item) else None


def _moved(errand: Errand, cache: Cache, store: Store) -> Learning | Test:
    """The errand's job with this machine's files and store."""
    job: Learning | Test = pickle.loads(errand.job)
    files = {name: path for name, item in errand.recordings.items() if (path := _recording(item, {}, cache))}
    refs: dict[str, DecoderRef] = {}
    for ref in (job.share.run.ref, *(one.share.run.ref for one in job.needs)):
        if ref.is_file and (path := _decoder(errand.decoders[ref.module], {}, store)):
            refs[ref.entry_point] = replace(ref, entry_point=f"{path}:{ref.class_name}")
    kept = cache if job.share.plan.cache else None  # Prepared sessions too are in a folder of this machine.
    plan = replace(job.share.plan, store=store, files=files, n_workers=1, cache=kept)
    return job.moved(Recordings(plan), refs)
