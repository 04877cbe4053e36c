"""Pinned files from their hosts into the cache: in parallel, once, and only if they are what the suite pins."""

import shutil
from collections.abc import Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

from harness.data.cache import Cache, readable_size
from harness.data.dandi import content_url
from harness.data.hosts import Access, origin, silent_hosts
from harness.data.pins import Pin, pinned
from harness.data.progress import Plan, Watcher
from harness.data.suites import Dandi, Session, Zenodo
from harness.data.transfer import Unreachable, Watch, arrived, transfer
from harness.errors import BadData, HarnessError, MissingData, UsageError


@dataclass(frozen=True)
class Job:
    """What every thread of one download shares."""

    cache: Cache
    access: Access
    watcher: Watcher
    stop: Event = field(default_factory=Event)


def missing(sessions: Sequence[Session], cache: Cache) -> list[Session]:
    """The remote sessions that are not cached, those without a pin included."""
    remote = (s for s in sessions if isinstance(s.source, Dandi | Zenodo))
    return [s for s in remote if cache.find(s.source) is None]


def fetch(
    sessions: Sequence[Session], cache: Cache, *, access: Access | None = None, watcher: Watcher | None = None
) -> dict[str, Path]:
    """Bring remote sessions into the cache and say where they are: session id -> file.

    Raises:
        BadData: If a session is not pinned, or its host offers another file.
        MissingData: If a host does not answer or does not have a file, or the disk is too small.
        UsageError: If something must be fetched and the cache cannot be written to.
    """
    pins = {s.id: pinned(s) for s in sessions}
    wanted = {pins[s.id].key: s for s in missing(sessions, cache)}
    if wanted:
        _download(list(wanted.values()), Job(cache, access or Access(), watcher or Watcher()))
    return {s.id: _cached(s, cache) for s in sessions}


def plan_download(sessions: Sequence[Session], cache: Cache, access: Access) -> Plan:
    """Sum a download up before it starts."""
    pins = {pin.key: pin for pin in map(pinned, sessions)}.values()
    n_bytes = sum(pin.size or 0 for pin in pins)
    return Plan(
        names=tuple(s.id for s in sessions),
        n_bytes=n_bytes,
        n_unknown=sum(pin.size is None for pin in pins),
        remaining_bytes=n_bytes - sum(min(arrived(cache.part(pin)), pin.size or 0) for pin in pins),
        licences=tuple(sorted({s.source.licence for s in sessions})),
        hosts=tuple(sorted({urlsplit(origin(s, access)).netloc for s in sessions})),
        folder=cache.root,
    )


def _download(sessions: Sequence[Session], job: Job) -> None:
    plan = plan_download(sessions, job.cache, job.access)
    job.watcher.planned(plan)
    _check_disk(plan)
    silent = silent_hosts(sessions, job.access, timeout_s=job.access.patience.timeout_s)
    if silent:
        raise _not_fetched(plan, "; ".join(f"{host}: {reason}" for host, reason in silent.items()))
    with ThreadPoolExecutor(job.access.n_parallel) as pool:
        futures = [pool.submit(_bring, session, job) for session in sessions]
        try:
            wait(futures)
        finally:
            # Also after Ctrl-C: threads look at this between two chunks.
            job.stop.set()
    errors = [e for f in futures if (e := f.exception()) and not isinstance(e, CancelledError)]
    _report(errors, plan)


def _bring(session: Session, job: Job) -> None:
    """Fetch one session. Without a network the others need not try; a refused file is no reason to stop them."""
    if job.stop.is_set():
        raise CancelledError
    try:
        _fetch_once(session, job)
    except Unreachable:
        job.stop.set()
        raise
    except OSError as error:
        if isinstance(error, HarnessError):
            raise
        job.stop.set()
        raise MissingData(
            f"{session.id} cannot be written below {job.cache.root}: {error.strerror or error}; make room there, or "
            f"let NEURAL_DECODER_DATA name another folder; what has arrived is kept"
        ) from error


def _fetch_once(session: Session, job: Job) -> None:
    """Fetch a file unless another process did so meanwhile."""
    pin = pinned(session)
    with job.cache.lock("-".join(pin.key), stop=job.stop):
        if job.cache.find_pin(pin) is None:
            job.watcher.started(session.id, size=pin.size)
            part = job.cache.part(pin)
            resumed = arrived(part) > 0
            try:
                _fetch_checked(session, pin, job)
            except BadData:
                # What an earlier run left may be what is wrong, since a crash of the machine can leave holes. If it
                # is still there, its bytes were not what was refused.
                if not resumed or part.exists():
                    raise
                _fetch_checked(session, pin, job)
    job.watcher.finished(session.id)


def _fetch_checked(session: Session, pin: Pin, job: Job) -> None:
    part = job.cache.part(pin)
    source = session.source
    if isinstance(source, Dandi):
        url = content_url(source, api=job.access.dandi_api, patience=job.access.patience)
    elif isinstance(source, Zenodo):
        url = source.url
    else:
        raise UsageError(f"session {session.id!r} has host {source.host!r}, which nothing is fetched from")
    watch = Watch(lambda n_bytes: job.watcher.progressed(session.id, n_bytes), job.stop)
    transfer(url, part, pin, patience=job.access.patience, watch=watch)
    job.cache.accept(part, pin)


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


def _cached(session: Session, cache: Cache) -> Path:
    path = cache.find(session.source)
    if path is None:
        raise MissingData(f"session {session.id!r} left the cache {cache.root} while it was in use; fetch it again")
    return path
