"""Runs `harness` commands in forked children that break down where a test says: `python -m tests.fault_server`.

A request is a line of JSON, see `faults.Ask`; the answer another: one `[exit code, operations]` for each command.
What surrounds the files is as it is in `harness eval`; decoders and clocks are canned, so that a command takes a moment
and each run of it gives the same bytes.
"""

import errno
import functools
import importlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import redirect_stdout, suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import numpy as np

OPERATIONS = {"os.rename": 2, "os.remove": 1, "os.mkdir": 2, "os.rmdir": 1, "os.chmod": 2, "os.link": 2}
"""Audit event -> which of its arguments is the folder that its path is relative to, or -1."""
NEED_ROOM = ("open", "os.mkdir", "os.fsync")
"""What a full disk refuses: to make a file or folder, and to keep what was written. It lets go of what there is."""
FIT_S = 0.02
SQLITE_STEPS = 3


class Breakdown:
    """Counts operations on files below a folder, and acts before one of them.

    below: The folder.
    at: Number of the operation, from 1; 0: none.
    how: `kill`; `tear`, which loses half of what was written and kills; or an error number.
    """

    def __init__(self, below: str, at: int, how: "str | int") -> None:
        self.below, self.at, self.how = below, at, how
        self.seen: list[str] = []
        self._lock = threading.RLock()
        self._connect = sqlite3.connect
        os.fsync = self._synced  # type: ignore[assignment]
        sqlite3.connect = self._connected  # type: ignore[assignment]
        sys.addaudithook(self._hear)

    def _hear(self, event: str, about: tuple[Any, ...]) -> None:
        if event == "open":
            wants_to_write = isinstance(about[2], int) and about[2] & (os.O_WRONLY | os.O_RDWR)
            if wants_to_write and isinstance(about[0], str | bytes):
                self._happens("reopen" if _is_there(about[0]) else "open", about[0])
        elif event in OPERATIONS and not (event == "os.mkdir" and _is_there(about[0])):
            folder = about[OPERATIONS[event]]
            self._happens(event, about[0] if folder < 0 else f"{_path(folder)}/{os.fsdecode(about[0])}")

    def _synced(self, descriptor: Any) -> None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        # Heard and not done: what a process wrote outlives it without, and the tests are short.
        self._happens("os.fsync", _path(number))

    def _connected(self, place: Any, **settings: Any) -> Any:
        """SQLite is heard at every few steps of its own machine, for it works on files out of Python's sight."""
        connection = self._connect(place, **settings)
        connection.set_progress_handler(lambda: self._happens("sqlite", str(place)), SQLITE_STEPS)
        return connection

    def _happens(self, event: str, path: "str | bytes | int") -> None:
        name = _path(path) if isinstance(path, int) else Path(os.fsdecode(path)).absolute()
        if not name.is_relative_to(self.below):
            return
        with self._lock:
            self.seen.append(event)
            if self.how in ("kill", "tear"):
                if len(self.seen) == self.at:
                    if self.how == "tear" and name.is_file():
                        os.truncate(name, name.stat().st_size // 2)
                    os.kill(os.getpid(), signal.SIGKILL)
            elif self.how and 0 < self.at <= len(self.seen) and (self.how != errno.ENOSPC or event in NEED_ROOM):
                raise OSError(int(self.how), os.strerror(int(self.how)))


def _path(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink()


def _is_there(path: "str | bytes") -> bool:
    return os.path.lexists(path)


def can(folder: Path) -> None:
    """Put canned decoders, clocks and recordings in place of those that take time; each fit and test leaves a line."""
    from harness import evaluate, plan, registry, work
    from harness.data.prepare import prepare
    from harness.judge import artifact, cell, notes
    from harness.judge.finding import Finding
    from harness.judge.passes import Passes
    from harness.judge.replies import Description
    from harness.judge.turn import Turn
    from harness.results import scored

    kept: dict[Any, Any] = {}

    def prepared(suite: Any, session: Any, path: Path, *, streams: Any, fold: int) -> Any:
        known = (session.id, str(path), tuple(streams), fold)
        if known not in kept:
            kept[known] = prepare(suite, session, path, streams=streams, fold=fold)
        return kept[known]

    def note(what: str, ref: Any, session: Any) -> None:
        with (folder / "trace").open("a") as file:
            file.write(f"{what} {ref.name} {session.id}\n")

    def learn(candidate: Any, lesson: Any, *, after: Any = None, notes: Any) -> Any:
        time.sleep(FIT_S)
        note("fit", candidate.ref, lesson.sessions[0])
        os.pwrite(notes.descriptors[0], b"a note", 0)
        learned = np.full(300, crc32(candidate.ref.name.encode()), np.float32)
        return cell.Fitted("ok", None, artifact.pack({"learned_": learned}), 0.5, lesson.sessions)

    def test(candidate: Any, fitted: Any, part: Any, asked: Any, *, turn: Any) -> Any:
        with turn.alone():
            note("test", candidate.ref, part.session)
        rng = np.random.default_rng(crc32(candidate.ref.name.encode()))
        outputs = (part.targets + rng.normal(size=part.targets.shape)).astype(np.float32)
        took_ns = np.full(len(part), 50_000, np.int64)
        fast = Passes((None,), took_ns, {"p50": (0.05, 0.05), "p99": (0.05, 0.05)}, {"gemv_before": 0.004}, False, "")
        findings = {"future_has_no_effect": Finding(True, "", 0.0)}
        return cell.Tested("ok", None, np.nan_to_num(outputs), "process", findings, fast, fast if asked.paced else None)

    cell.learn, cell.test = learn, test  # type: ignore[assignment]
    plan.prepare, work.look_ahead = prepared, lambda *_: ""  # type: ignore[assignment]
    evaluate.describe = lambda *_: Description(("spikes",), True, True, {})  # type: ignore[assignment]
    evaluate.source_sha256 = functools.cache(evaluate.source_sha256)
    registry.known = functools.cache(registry.known)
    notes.Notes._spent_s = lambda _: 0.0  # type: ignore[method-assign]
    work.machine = lambda: Turn(folder / "turn.lock")  # type: ignore[assignment]
    work.time = SimpleNamespace(perf_counter=lambda: 0.0)  # type: ignore[assignment]
    scored.datetime = SimpleNamespace(now=lambda _: datetime(2026, 1, 1, tzinfo=UTC))  # type: ignore[assignment,misc]


def without_locks(number: int) -> None:
    """Make this process see a disk on which files cannot be locked."""
    import fcntl

    def flock(descriptor: Any, how: int) -> None:
        raise OSError(number, os.strerror(number))

    fcntl.flock = flock  # type: ignore[assignment]


def publish(root: str, n_records: str) -> None:
    """Add made-up records with their predictions, and a receipt of each, to a published folder."""
    from harness.results.published import Published
    from tests.test_published import make_receipt

    store = Published(Path(root))
    for i in range(int(n_records)):
        record, predictions = published_record(i)
        document = record.model_dump_json(by_alias=True).encode()
        path = store.record_path(record)
        store.add("record", record.id, {path: document, store.predictions(record): predictions})
        receipt = make_receipt(record.id)
        content = receipt.model_dump_json(by_alias=True).encode()
        store.add("receipt", receipt.id, {store.receipts(record) / f"{receipt.id}.json": content})


def published_record(i: int) -> Any:
    """The i-th made-up record and its predictions."""
    from harness.results.cells import arrays_to_npz
    from harness.results.records import sha256
    from tests.records_factory import make_record

    predictions = arrays_to_npz({"made-up-1/outputs": np.full((50, 2), i, np.float32)})
    return make_record(f"decoder-{i}", predictions_sha256=sha256(predictions)), predictions


def list_rows(root: str) -> None:
    """Print how many records the index of a store lists."""
    from harness.results.index import rows
    from harness.results.store import Store

    print(len(rows(Store(Path(root)))))


def save(root: str, seed: str) -> None:
    """Save a made-up record."""
    from harness.results.store import Store
    from tests.records_factory import make_record

    Store(Path(root)).save(make_record(seed=int(seed)))


def write_file(root: str) -> None:
    """Write a file anew."""
    from harness.results.store import write_whole

    write_whole(Path(root) / "file", b"new" * 1000)


def write_folder(root: str) -> None:
    """Write a folder anew."""
    from harness.results.cells import write_folder

    write_folder(Path(root) / "folder", {"one": b"new" * 1000, "two": b"new"})


def take_in(root: str) -> None:
    """Take a downloaded file into a cache."""
    from harness.data.cache import Cache
    from harness.data.pins import Pin

    content = b"spikes" * 1000
    cache, pin = Cache(Path(root)), Pin("one.nwb", {"sha256": sha256(content).hexdigest()}, len(content))
    with cache.lock("one"):
        if cache.find_pin(pin) is None:
            cache.part(pin).write_bytes(content)
            cache.accept(cache.part(pin), pin)
    print(cache.find_pin(pin))


def mount(*arguments: str) -> None:
    """Mount something, for this server and its children alone."""
    subprocess.run(["mount", *arguments], check=True)


CALLS = {"publish": publish, "list_rows": list_rows, "take_in": take_in, "mount": mount}
CALLS |= {"save": save, "write_file": write_file, "write_folder": write_folder}
"""What is no command of its own, by name."""


def child(ask: dict[str, Any], argv: list[str]) -> None:
    """Run one command to its end, whichever that is."""
    from harness.cli import main

    for name, descriptor in ("out", 1), ("err", 2):
        os.dup2(os.open(f"{ask['said']}.{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    if ask["data"]:
        os.environ["NEURAL_DECODER_DATA"] = ask["data"]
    if ask["no_locks"]:
        without_locks(ask["no_locks"])
    broken = Breakdown(ask["below"], ask["at"], ask["how"])
    sys.argv = ["harness", *argv]
    code = 1
    try:
        CALLS[argv[0]](*argv[1:]) if argv[0] in CALLS else main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        Path(f"{ask['said']}.seen").write_text(json.dumps(broken.seen))
        os._exit(code)


def warm_up(folder: Path) -> None:
    """Evaluate once in this process, so that children need not import what that takes."""
    from harness.cli import main
    from tests.faults import eval_arguments

    sys.argv = ["harness", *eval_arguments(folder, folder / "warm-up")]
    with redirect_stdout(io.StringIO()), suppress(SystemExit):
        main()
    (folder / "trace").unlink()


def serve() -> None:
    """Answer requests until there are no more."""
    folder = Path(sys.argv[1])
    can(folder)
    for name in ("harness.cli.verify", "harness.results.index", "harness.submit", "tests.test_published"):
        importlib.import_module(name)
    from harness.judge.sandbox import why_no_sandbox

    why_no_sandbox()
    warm_up(folder)
    for line in sys.stdin:
        ask = json.loads(line)
        numbers = []
        for argv in ask["commands"]:
            number = os.fork()
            if not number:
                child(ask, argv)
            numbers.append(number)
        codes = [os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) for number in numbers]
        print(json.dumps(codes), flush=True)


if __name__ == "__main__":
    serve()
