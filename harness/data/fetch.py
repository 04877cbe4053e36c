"""Pinned files from their hosts into the cache: in parallel, once, and only if they are what the suite pins."""

import shutil
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from harness.data.cache import Cache, readable_size
from harness.data.convert import converted_path, is_converted
from harness.data.dandi import content_url
from harness.data.hosts import Access, origin, silent_hosts
from harness.data.pins import Pin, pinned, pins_of
from harness.data.progress import Plan, Watcher
from harness.data.suites import Dandi, Physionet, Session, Zenodo
from harness.data.transfer import Unreachable, Watch, arrived, transfer
from harness.errors import BadData, HarnessError, MissingData, UsageError


@dataclass(frozen=True)
class Job:
    """What every thread of one download shares."""

    cache: Cache
    access: Access
    watcher: Watcher
    stop: Event = field(default_factory=Event)


@dataclass(frozen=True)
class RemoteFile:
    """One file of a session: how messages call it, what it must be, whose it is, where it is in a data set."""

    name: str
    pin: Pin
    source: Dandi | Zenodo | Physionet
    path: str


def missing(sessions: Sequence[Session], cache: Cache) -> list[Session]:
    """The remote sessions that are not cached, those without a pin included."""
    remote = (s for s in sessions if isinstance(s.source, Dandi | Zenodo | Physionet))
    return [s for s in remote if not is_cached(s, cache)]


def is_cached(session: Session, cache: Cache) -> bool:
    """Whether nothing of a remote session must be fetched any more."""
    if is_converted(session, cache):
        return True
    pins = pins_of(session.source)
    return bool(pins) and all(cache.find_pin(pin) for pin in pins)


def missing_files(sessions: Sequence[Session], cache: Cache) -> list[RemoteFile]:
    """What is to be fetched for these sessions, each file once.

    Raises:
        BadData: If a session that is not cached is not pinned.
    """
    files = {file.pin.key: file for s in missing(sessions, cache) for file in _files_of(s)}
    return [file for file in files.values() if cache.find_pin(file.pin) is None]


def fetch(
    sessions: Sequence[Session], cache: Cache, *, access: Access | None = None, watcher: Watcher | None = None
) -> dict[str, Path]:
    """Bring remote sessions into the cache and say where they are: session id -> file.

    A session that comes as several files is converted; one that a rule excludes is left out, and `excluded` says why.

    Raises:
        BadData: If a session is not pinned, or its host offers another file.
        MissingData: If a host does not answer or does not have a file, or the disk is too small.
        UsageError: If something must be fetched and the cache cannot be written to.
    """
    for s in sessions:
        pinned(s)
    absent, files = missing(sessions, cache), missing_files(sessions, cache)
    if files:
        _download(absent, files, Job(cache, access or Access(), watcher or Watcher()))
    found = {s.id: _cached(s, cache, watcher=watcher) for s in sessions}
    return {name: path for name, path in found.items() if path}


def plan_download(sessions: Sequence[Session], files: Sequence[RemoteFile], job: Job) -> Plan:
    """Sum a download of some files, which these sessions lack, up before it starts."""
    pins = [file.pin for file in files]
    n_bytes = sum(pin.size or 0 for pin in pins)
    return Plan(
        names=tuple(file.name for file in files),
        n_bytes=n_bytes,
        n_unknown=sum(pin.size is None for pin in pins),
        remaining_bytes=n_bytes - sum(min(arrived(job.cache.part(pin)), pin.size or 0) for pin in pins),
        licences=tuple(sorted({file.source.licence for file in files})),
        hosts=tuple(sorted({urlsplit(origin(s, job.access)).netloc for s in sessions})),
        folder=job.cache.root,
    )


def _files_of(session: Session) -> list[RemoteFile]:
    """The files of a remote session: one has the session's name, several have their own."""
    pins, source = pinned(session), session.source
    if isinstance(source, Physionet):
        return [RemoteFile(pin.name, pin, source, path) for pin, path in zip(pins, source.paths, strict=True)]
    if isinstance(source, Dandi | Zenodo):
        return [RemoteFile(session.id, pins[0], source, source.path)]
    raise UsageError(f"session {session.id!r} has host {source.host!r}, which nothing is fetched from")


def _download(sessions: Sequence[Session], files: Sequence[RemoteFile], job: Job) -> None:
    plan = plan_download(sessions, files, job)
    job.watcher.planned(plan)
    _check_disk(plan)
    silent = silent_hosts(sessions, job.access, timeout_s=job.access.patience.timeout_s)
    if silent:
        raise _not_fetched(plan, "; ".join(f"{host}: {reason}" for host, reason in silent.items()))
    with ThreadPoolExecutor(job.access.n_parallel) as pool:
        futures = [pool.submit(_bring, file, job) for file in files]
        try:
            wait(futures)
        finally:
            # Also after Ctrl-C: threads look at this between two chunks.
            job.stop.set()
    errors = [e for f in futures if (e := f.exception()) and not isinstance(e, CancelledError)]
    _report(errors, plan)


def _bring(file: RemoteFile, job: Job) -> None:
    """Fetch one file. Without a network the others need not try; a refused file is no reason to stop them."""
    if job.stop.is_set():
        raise CancelledError
    try:
        _fetch_once(file, job)
    except Unreachable:
        job.stop.set()
        raise
    except OSError as error:
        if isinstance(error, HarnessError):
            raise
        job.stop.set()
        raise MissingData(
            f"{file.name} cannot be written below {job.cache.root}: {error.strerror or error}; make room there, or "
            f"let NEURAL_DECODER_DATA name another folder; what has arrived is kept"
        ) from error


def _fetch_once(file: RemoteFile, job: Job) -> None:
    """Fetch a file unless another process did so meanwhile."""
    pin = file.pin
    with job.cache.lock("-".join(pin.key), stop=job.stop):
        if job.cache.find_pin(pin) is None:
            job.watcher.started(file.name, size=pin.size)
            part = job.cache.part(pin)
            resumed = arrived(part) > 0
            try:
                _fetch_checked(file, job)
            except BadData:
                # What an earlier run left may be what is wrong, since a crash of the machine can leave holes. If it
                # is still there, its bytes were not what was refused.
                if not resumed or part.exists():
                    raise
                _fetch_checked(file, job)
    job.watcher.finished(file.name)


def _fetch_checked(file: RemoteFile, job: Job) -> None:
    part = job.cache.part(file.pin)
    watch = Watch(lambda n_bytes: job.watcher.progressed(file.name, n_bytes), job.stop)
    transfer(_url(file, job.access), part, file.pin, patience=job.access.patience, watch=watch)
    job.cache.accept(part, file.pin)


def _url(file: RemoteFile, access: Access) -> str:
    """Where a file is; DANDI is asked."""
    source = file.source
    if isinstance(source, Dandi):
        return content_url(source, api=access.dandi_api, patience=access.patience)
    if isinstance(source, Zenodo):
        return source.url
    return f"{access.physionet.rstrip('/')}/{source.dataset}/{source.version}/{file.path}"


def _report(errors: Sequence[BaseException], plan: Plan) -> None:
    """Raise the one error that says most: no network before a refused file, else all refusals at once."""
    for error in errors:
        if isinstance(error, Unreachable):
            raise _not_fetched(plan, str(error))
    if len(errors) > 1 and all(isinstance(e, HarnessError) for e in errors):
        raise type(errors[0])("; ".join(str(e) for e in errors))
    if errors:
        raise errors[0]


def _not_fetched(plan: Plan, why: str) -> MissingData:
    return MissingData(
        f"{plan.size} ({_some(plan.names)}) are not in {plan.folder} and could not be fetched ({why}). Run the same "
        f"command again when the network is there, what has arrived is kept; or put files that you already have into "
        f"the cache with `harness data add PATH`; or use `--tier simulated`, where the suite has it: it needs no "
        f"network."
    )


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


def _check_disk(plan: Plan) -> None:
    folder = next(p for p in (plan.folder, *plan.folder.absolute().parents) if p.exists())
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < plan.remaining_bytes:
        raise MissingData(
            f"the disk of {plan.folder} is too small: {readable_size(plan.remaining_bytes)} are needed for "
            f"{plan.size}, {readable_size(free_bytes)} are free; make room, name fewer sessions or a smaller --tier, "
            f"or let NEURAL_DECODER_DATA name a folder on a bigger disk"
        )


def _cached(session: Session, cache: Cache, *, watcher: Watcher | None) -> Path | None:
    """The file of a session that was fetched; None if a rule excludes it."""
    if isinstance(session.source, Physionet):
        return converted_path(session, cache, watcher=watcher)
    path = cache.find(session.source)
    if path is None:
        raise MissingData(f"session {session.id!r} left the cache {cache.root} while it was in use; fetch it again")
    return path
