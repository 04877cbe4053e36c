"""Jobs of one round on their way to workers and back."""

import time
from asyncio import CancelledError as AsyncCancelled
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass, replace
from typing import Any

import distributed
from distributed.comm import get_address_host
from distributed.comm.core import CommClosedError

from harness.cluster.errand import Done, Errand, Gone, Lacks, Refused, Reply, errand
from harness.cluster.serve import serve
from harness.engine.jobs import Trouble, trouble_of
from harness.engine.processes import MOST_TRIES
from harness.learning import Learning
from harness.work import Test

LOST = (CommClosedError, CancelledError, AsyncCancelled, ConnectionError, TimeoutError)
"""What a client raises whose scheduler is gone."""
LOOK_S = 1.0
"""Between two looks at which workers there are."""

Job = Learning | Test


class Deserted(Exception):
    """There is no worker that could do anything."""


@dataclass(frozen=True)
class _Sent:
    """An errand under way.

    only: Addresses of the workers that may do it; empty for any.
    host: The machine that it has for itself; empty if it needs none.
    """

    job: Job
    errand: Errand
    only: frozenset[str] = frozenset()
    host: str = ""


class Posting:
    """One round of jobs.

    alone: At most one of them on a machine at a time; each waits there for its turn among others' too.
    """

    def __init__(self, client: Any, jobs: Sequence[Job], *, alone: bool, patience_s: float) -> None:
        self._client, self._alone, self._patience_s = client, alone, patience_s
        self._todo, self._sent = deque(jobs), dict[Any, _Sent]()
        self._tries, self._supplied = Counter[str](), Counter[tuple[str, str]]()
        self._refusals: dict[str, dict[str, str]] = {}
        self._workers: dict[str, str] = {}
        self._seen = time.monotonic()

    @property
    def ids(self) -> list[str]:
        """Of all errands under way."""
        return [sent.errand.id for sent in self._sent.values()]

    def replies(self) -> Iterator[tuple[Job, Done | Trouble]]:
        """Each job with what came of it.

        Raises:
            Deserted: If no worker is left, or came in time.
            LOST: If the scheduler is gone.
        """
        while self._todo or self._sent:
            self._look()
            yield from self._post()
            for future in self._over():
                sent = self._sent.pop(future)
                reply = self._reply(sent, future)
                if isinstance(reply, Done | Trouble):
                    yield sent.job, reply

    def _look(self) -> None:
        """See which workers there are, and take back what was meant for others."""
        if self._client.status != "running":
            raise ConnectionError("the scheduler has hung up")
        self._workers = {address: get_address_host(address) for address in self._client.nthreads()}
        if self._workers:
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > self._patience_s:
            raise Deserted(f"there has been no worker for {self._patience_s:g} s; start some: dask worker ADDRESS")
        for future, sent in list(self._sent.items()):
            if sent.only and not sent.only & set(self._workers):
                future.cancel()
                del self._sent[future]
                self._todo.append(sent.job)

    def _refused(self, job: Job) -> dict[str, str]:
        """Workers that are there and have refused a job, or all, and why."""
        refusals = self._refusals.get("", {}) | self._refusals.get(job.key, {})
        return {worker: why for worker, why in refusals.items() if worker in self._workers}

    def _post(self) -> Iterator[tuple[Job, Trouble]]:
        """Send what can be sent now, or say why it can never be."""
        for _ in range(len(self._todo) if self._workers else 0):
            job = self._todo.popleft()
            refused = self._refused(job)
            fit = {address: host for address, host in self._workers.items() if address not in refused}
            if not fit:
                yield job, Trouble(f"no worker can do it: {'; '.join(refused.values())}")
                continue
            free = sorted(set(fit.values()) - {sent.host for sent in self._sent.values()})
            if self._alone and not free:
                self._todo.append(job)
                continue
            host = free[0] if self._alone else ""
            only = frozenset(a for a, at in fit.items() if host in ("", at)) if host or refused else frozenset[str]()
            try:
                self._send(_Sent(job, errand(job), only, host))
            except LOST:
                self._todo.append(job)
                raise
            except Exception as error:
                yield job, trouble_of(error, job)

    def _send(self, sent: _Sent, contents: Sequence[Any] = ()) -> None:
        future = self._client.submit(
            serve,
            sent.errand,
            list(contents),
            key=f"harness-{sent.errand.id}",
            workers=sorted(sent.only) or None,
            pure=False,
        )
        self._sent[future] = sent

    def _over(self) -> list[Any]:
        """Futures that are over; none after a while, so that workers are looked at."""
        if not self._sent:
            time.sleep(LOOK_S)
            return []
        try:
            with self._client.as_current():
                return list(distributed.wait(list(self._sent), timeout=LOOK_S, return_when="FIRST_COMPLETED").done)
        except TimeoutError:
            return []

    def _reply(self, sent: _Sent, future: Any) -> Reply | Trouble | None:
        """What came of an errand; None if it is under way again."""
        try:
            reply: Reply = future.result()
        except LOST:
            self._todo.append(sent.job)
            raise
        except distributed.KilledWorker as error:
            return self._again(sent, f"ended with the cluster's worker: {error}")
        except Exception as error:
            return Trouble(f"no worker could run it: {type(error).__name__}: {error}; is the harness installed there?")
        if isinstance(reply, Gone):
            return self._again(sent, f"{reply.how}, on {reply.worker},")
        if isinstance(reply, Refused):
            refusals = self._refusals.setdefault("" if reply.whatever else sent.job.key, {})
            refusals[reply.worker] = f"worker {reply.worker}: {reply.why}"
            self._todo.append(sent.job)
            return None
        return self._supply(sent, reply) if isinstance(reply, Lacks) else reply

    def _again(self, sent: _Sent, how: str) -> Trouble | None:
        """Try once more, unless that was done often enough."""
        self._tries[sent.job.key] += 1
        if self._tries[sent.job.key] >= MOST_TRIES:
            return Trouble(f"its worker process {how}, in each of {MOST_TRIES} tries")
        self._todo.append(sent.job)
        return None

    def _supply(self, sent: _Sent, lacks: Lacks) -> Trouble | None:
        """Send an errand again to the same worker, with what that lacks; if it has gone meanwhile, to any."""
        self._supplied[sent.job.key, lacks.worker] += 1
        if self._supplied[sent.job.key, lacks.worker] > MOST_TRIES:
            return Trouble(f"worker {lacks.worker} does not keep what it is sent; look at its data folder")
        if lacks.worker not in self._client.nthreads():
            self._todo.append(sent.job)
            return None
        try:
            contents = [sent.errand.items[sha256].path.read_bytes() for sha256 in lacks.sha256s]
            held = self._client.scatter(contents, workers=[lacks.worker])
            self._send(replace(sent, errand=errand(sent.job), only=frozenset({lacks.worker})), held)
        except LOST:
            self._todo.append(sent.job)
            raise
        except Exception as error:
            return trouble_of(error, sent.job)
        return None
