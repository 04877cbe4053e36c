"""What travels between the one who wants work done and the worker of a cluster who does it."""

import pickle
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import harness
from harness.data.identity import hashed
from harness.engine.jobs import Trouble
from harness.learning import Learning, lock
from harness.results import cells
from harness.results.environment import code_sha256, versions
from harness.results.shown import join
from harness.results.store import file_sha256
from harness.work import Test

FIT_FILES = ("fit.json", "artifact.safetensors")


def program() -> dict[str, str]:
    """The versions that must be the same on both sides: keys of finished work hash them."""
    return {**versions(), "neural-decoder-harness": f"{harness.__version__} with source {code_sha256()[:12]}"}


@dataclass(frozen=True)
class Item:
    """A file by its content, and where the sender has it: a worker that sees the same disk reads it there."""

    sha256: str
    path: Path


@dataclass(frozen=True)
class Errand:
    """A job, and all that it reads.

    id: Of this try.
    program: As `program`.
    job: Pickled; not to be read before the program is found to be the same.
    recordings: By session.
    decoders: By the path of the decoder's file; installed ones must be installed there too.
    learned: Files of finished stages, by their key.
    """

    name: str
    job: bytes
    recordings: Mapping[str, Item]
    decoders: Mapping[str, Item]
    learned: Mapping[str, Mapping[str, Item]]
    program: Mapping[str, str] = field(default_factory=program)
    id: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def items(self) -> dict[str, Item]:
        """All files, by their hash."""
        fits = [item for files in self.learned.values() for item in files.values()]
        return {item.sha256: item for item in (*self.recordings.values(), *self.decoders.values(), *fits)}


@dataclass(frozen=True)
class Lacks:
    """A worker has not these files, by their hash; send the errand again with them.

    worker: Its address, here and in all replies.
    """

    worker: str
    sha256s: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """A worker cannot do this, and why; another one may.

    whatever: It can do no other job of this round either.
    """

    worker: str
    why: str
    whatever: bool = False


@dataclass(frozen=True)
class Gone:
    """The process that did the job on a worker's machine is gone, and how it ended."""

    worker: str
    how: str


@dataclass(frozen=True)
class Done:
    """What a job left: the files of its folder, and what is kept of the test part for people to look at."""

    worker: str
    trouble: Trouble | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    shown: bytes = b""


Reply = Lacks | Refused | Gone | Done


def errand(job: Learning | Test) -> Errand:
    """What a worker needs for a job; all that the job needs is done."""
    run, files = job.share.run, job.share.plan.files
    own = [run.ref, *(one.share.run.ref for one in job.needs)]
    return Errand(
        job.name,
        pickle.dumps(job),
        recordings={s.id: Item(hashed(files[s.id]), files[s.id]) for s in job.reads},
        decoders={ref.module: Item(hashed(Path(ref.module)), Path(ref.module)) for ref in own if ref.is_file},
        learned={one.key: _files(one) for one in job.needs},
    )


def _files(one: Learning) -> dict[str, Item]:
    return {name: Item(file_sha256(one.folder / name), one.folder / name) for name in FIT_FILES}


def keep(job: Learning | Test, done: Done) -> None:
    """Put what a worker sent into the job's own store, unless somebody else has done the same job meanwhile."""
    store = job.share.plan.store
    with lock(store, job.key):
        if job.is_due():
            if done.shown:
                join(store, done.shown)
            cells.write_folder(job.folder, done.files)
