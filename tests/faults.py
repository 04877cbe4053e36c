"""Commands that break down where a test says, and what must hold of the folders that they leave."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from harness.results.cells import npz_to_arrays
from harness.results.integrity import all_problems
from harness.results.store import PART, Store
from tests.conftest import ROOT

OWN_MOUNTS = ("unshare", "--mount", "--map-root-user", "--")
DECODERS = ("train-mean", "wiener", "kalman")


@dataclass(frozen=True)
class Ask:
    """What a child process is to do, and where it breaks down; see `fault_server.Breakdown`.

    commands: Arguments of `harness`, of each process that runs at the same time.
    no_locks: Error number with which every lock fails; 0: locks work.
    data: Folder of recordings; the server's if empty.
    """

    commands: list[list[str]]
    below: str = "/nowhere"
    at: int = 0
    how: str | int = ""
    no_locks: int = 0
    data: str = ""
    said: str = ""


@dataclass(frozen=True)
class Ended:
    """How processes ended, what they said, and which operations on files the last of them made or began."""

    codes: list[int]
    out: str
    err: str
    operations: list[str] = field(default_factory=list)


class Server:
    """Forks a child for every request.

    folder: Holds the tiny suite, the quick profile and the data, and what the children say.
    why_no_mounts: Why it cannot have mounts of its own; empty if it has.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        tried = subprocess.run([*OWN_MOUNTS, "mount", "-t", "tmpfs", "none", str(folder)], capture_output=True)
        self.why_no_mounts = tried.stderr.decode(errors="replace").strip() if tried.returncode else ""
        self._process = subprocess.Popen(
            [*([] if self.why_no_mounts else OWN_MOUNTS), sys.executable, "-m", "tests.fault_server", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={
                **os.environ,
                "NEURAL_DECODER_DATA": str(folder / "data"),
                "PYTHONPATH": str(ROOT),
                "OPENBLAS_NUM_THREADS": "1",
            },
        )

    def do(self, ask: Ask) -> Ended:
        """Run the commands of a request."""
        said = self.folder / "said"
        for old in self.folder.glob("said.*"):
            old.unlink()
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(asdict(ask) | {"said": str(said)}) + "\n")
        self._process.stdin.flush()
        codes = json.loads(self._process.stdout.readline())
        out, err, seen = (said.with_suffix(f".{name}") for name in ("out", "err", "seen"))
        operations = json.loads(seen.read_text()) if seen.exists() else []
        return Ended(codes, out.read_text(), err.read_text(), operations)

    def seen_from_here(self, path: Path) -> Path:
        """A path below one of the server's own mounts, for this process."""
        return Path(f"/proc/{self._process.pid}/root{path}")

    def mount(self, *arguments: str) -> None:
        """Mount something for the server alone."""
        ended = self.do(Ask([["mount", *arguments]]))
        assert ended.codes == [0], ended.err

    def trace(self) -> list[str]:
        """What was fitted and tested so far, a line each."""
        path = self.folder / "trace"
        return path.read_text().splitlines() if path.exists() else []

    def end(self) -> None:
        self._process.communicate(timeout=60)


def moments(operations: list[str]) -> list[tuple[int, str]]:
    """Every moment at which a process can be killed: before each operation, and in the middle of each write."""
    before = [(i, "kill") for i, _ in enumerate(operations, 1)]
    return before + [(i, "tear") for i, name in enumerate(operations, 1) if name == "os.fsync"]


def environment(folder: Path) -> dict[str, str]:
    """Where commands find the data of the tiny suite in a folder."""
    return {"NEURAL_DECODER_DATA": str(folder / "data"), "OPENBLAS_NUM_THREADS": "1"}


def eval_command(server: Server, store: Path, *decoders: str) -> list[str]:
    """Arguments that evaluate decoders on a server's suite."""
    return eval_arguments(server.folder, store, *decoders)


def eval_arguments(folder: Path, store: Path, *decoders: str) -> list[str]:
    """Arguments that evaluate decoders on the tiny suite in a folder."""
    named = [word for name in decoders or DECODERS for word in ("--decoder", name)]
    fixed = ["--suite", str(folder / "tiny.yaml"), "--profile", str(folder / "quick.yaml"), "--workers", "1", "--json"]
    return ["eval", *fixed, "--store", str(store), *named]


def whole(root: Path) -> int:
    """Hold everything in a store to its promises: whole or absent; returns the number of records.

    A record has its predictions and artefact, a finished fit or cell all its files.
    """
    n_records, problems = all_problems(root)
    assert problems == []
    store = Store(root)
    for record in store.records():
        assert store.predictions(record).is_file() and store.artifact(record).is_file()
    for kind, names in ("fits", ("fit.json", "artifact.safetensors")), ("cells", ("cell.json", "predictions.npz")):
        for folder in (root / kind).glob("*/[!.]*"):
            assert sorted(path.name for path in folder.iterdir()) == sorted(names)
            assert json.loads((folder / names[0]).read_bytes())["status"] == "ok"
    for path in [*root.glob("runs/[!.]*"), *root.glob("descriptions/[!.]*"), *root.glob("preparations/[!.]*")]:
        json.loads(path.read_bytes())
    for path in [*root.glob("predictions/[!.]*"), *root.glob("recordings/*/[!.]*")]:
        assert npz_to_arrays(path)
    return n_records


def contents(root: Path) -> dict[str, bytes]:
    """All files of a store with their content, but for locks and the index."""
    files = [path for path in root.rglob("*") if path.is_file()]
    named = {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
    return {name: content for name, content in named.items() if not name.startswith(("locks/", "index."))}


def parts(root: Path) -> list[Path]:
    """What is half written."""
    return [path for path in root.rglob(".*") if path.name.endswith(PART)]
