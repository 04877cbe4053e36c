"""Command lines that start a worker: inside bubblewrap where it works, else as a plain process.

Inside: no network, the system read-only, private /tmp, no home, no data folder, a clean environment, and no
privileges. Only the interpreter with what is installed there, the harness and the decoder's own hashed files can be
read. Inside and outside, a worker then lays a filter of system calls over itself (`seccomp.py`); without that it is no
sandbox either.
"""

import contextlib
import functools
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import harness
from harness.judge import seccomp
from harness.source import Source

Isolation = Literal["sandbox", "process"]

HARNESS = Path(harness.__file__).parent
N_PROCESSES = 64
REAP_S = 2.0
PACKAGES = ("site-packages", "dist-packages")
UIDS = range(100_000, 1_000_000_000)
TMP_BYTES = str(256 << 20)
SHARED_MEMORY_BYTES = str(16 << 20)
BOOT = "import sys; sys.path[:0] = sys.argv[2].split(':'); from harness.judge.worker import main; main()"


def isolation() -> Isolation:
    """`sandbox` if bubblewrap and the filter of system calls work on this machine."""
    return "process" if why_no_sandbox() else "sandbox"


@functools.cache
def why_no_sandbox() -> str:
    """What keeps workers from being sandboxed here, for the user; empty if nothing does."""
    if why := seccomp.why_unavailable():
        return why
    if not shutil.which("bwrap"):
        return "bubblewrap is not installed (Debian, Ubuntu: apt install bubblewrap)"
    probe = subprocess.run([*_bwrap([]), sys.executable, "-I", "-c", "pass"], capture_output=True, check=False)
    return f"bubblewrap cannot start here: {probe.stderr.decode(errors='replace').strip()}" if probe.returncode else ""


def worker_command(descriptor: int, *, readable: Sequence[Source], limits: str, level: Isolation) -> list[str]:
    """The command that starts a worker on an inherited socket.

    Args:
        descriptor: The worker's end of the socket.
        readable: What of decoders can be read, beside the harness itself.
        limits: JSON of `worker.Limits`.
        level: How to isolate it.
    """
    roots = [HARNESS, *(source.root for source in readable)]
    import_path = ":".join(dict.fromkeys(str(root.parent) for root in roots))
    # Not -I, which would ignore the environment that we set: a fixed hash seed is part of repeating a row.
    python = [sys.executable, "-s", "-P", "-c", BOOT, str(descriptor), import_path, limits]
    return [*_bwrap(readable), *python] if level == "sandbox" else python


def worker_environment(threads: int) -> dict[str, str]:
    """The whole environment of a worker."""
    numbers = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
    fixed: Mapping[str, str] = {
        "HOME": "/tmp",
        "PATH": "/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**fixed, **dict.fromkeys(numbers, str(threads))}


def process_limit(level: Isolation) -> int | None:
    """How many threads a worker's user may have, beside its one process; None where a limit would hit others.

    A sandboxed worker of root has a user of its own. Elsewhere it shares its user with everything else of that user.
    """
    if level == "process":
        return None
    return N_PROCESSES if os.geteuid() == 0 else N_PROCESSES + _n_tasks(os.getuid())


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker and wait until nothing of it is left.

    Inside first: bubblewrap then sees it end and clears it away. Ended together, the inner process would be left to
    process 1, which in a container may be one that never looks.
    """
    if process.poll() is not None:
        return  # Its number may be another process's by now.
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        inside = [int(number) for number in children.read_text().split()]
        for number in inside:
            os.kill(number, signal.SIGKILL)
        process.wait(REAP_S if inside else 0)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _n_tasks(uid: int) -> int:
    """Threads of a user, now."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            count += len(list((process / "task").iterdir())) if process.stat().st_uid == uid else 0
    return count


def _bwrap(readable: Sequence[Source]) -> list[str]:
    root_user = os.geteuid() == 0
    args = [shutil.which("bwrap") or "bwrap", "--die-with-parent", "--new-session"]
    if root_user:
        args += ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
    else:
        args += ["--unshare-all", "--unshare-user", "--disable-userns", "--cap-drop", "ALL", "--uid", "65534"]
    args += ["--proc", "/proc", "--dev", "/dev", "--size", TMP_BYTES, "--perms", "1777", "--tmpfs", "/tmp"]
    visible = list(dict.fromkeys([*_system(), *_interpreter()]))
    args += _folders([*visible, HARNESS, *(source.root for source in readable)]) + _bound(visible)
    for source in readable:
        args += _only(source)
    args += _bound([HARNESS])
    for link in (Path("/lib"), Path("/lib64"), Path("/bin")):
        if link.is_symlink():
            args += ["--symlink", str(link.readlink()), str(link)]
    # Semaphores of libraries live in /dev/shm. What else bubblewrap made in memory has no size: nobody writes there.
    args += ["--size", SHARED_MEMORY_BYTES, "--perms", "1777", "--tmpfs", "/dev/shm"]
    args += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp"]
    # The uid is dropped inside: dropped outside, bubblewrap could not read an interpreter below a closed home.
    return [*args, shutil.which("setpriv") or "setpriv", *_without_privileges()] if root_user else args


def _only(source: Source) -> list[str]:
    """The files of a source, and nothing else of its folder, even where that is installed beside the interpreter."""
    root = str(source.root)
    if source.files == (source.root,):
        return _bound(source.files)
    inner = [parent for path in source.files for parent in path.parents if source.root in parent.parents]
    folders = [part for folder in sorted(set(inner)) for part in ("--perms", "0755", "--dir", str(folder))]
    return ["--perms", "0755", "--tmpfs", root, *folders, *_bound(source.files), "--remount-ro", root]


def _folders(paths: Sequence[Path]) -> list[str]:
    # Folders that bubblewrap makes on its own account can be entered but not listed, and imports list them.
    outer = sorted({parent for path in paths for parent in path.parents} - {Path("/"), Path("/tmp")})
    return [part for folder in outer for part in ("--perms", "0755", "--dir", str(folder))]


def _bound(paths: Sequence[Path]) -> list[str]:
    return [part for path in paths for part in ("--ro-bind", str(path), str(path))]


def _system() -> list[Path]:
    candidates = (Path("/usr"), Path("/lib"), Path("/lib64"), Path("/bin"))
    return [path for path in candidates if path.is_dir() and not path.is_symlink()]


def _interpreter() -> list[Path]:
    named = [Path(sys.base_prefix), Path(sys.prefix), Path(sys.executable).resolve().parents[1]]
    # Packages of another environment that a .pth file adds; other folders on the path may hold anything.
    named += [path for path in map(Path, sys.path) if path.name in PACKAGES and path.is_dir()]
    both = {path for name in named for path in (name.absolute(), name.resolve())}
    return sorted(path for path in both if not path.is_relative_to("/usr"))


def _without_privileges() -> list[str]:
    # Each worker is a user of its own: process limits and kernel keyrings are shared within a user.
    uid = str(secrets.choice(UIDS))
    return [
        "--reuid",
        uid,
        "--regid",
        uid,
        "--clear-groups",
        "--no-new-privs",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]
