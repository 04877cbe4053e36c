"""An environment of its own for each peer, made by pip; made again only where its list below has changed."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TORCH = "torch>=2.4,<2.14"
STAMP = "made.json"


@dataclass(frozen=True)
class Peer:
    """What pip is told.

    requires: Installed together with what they need.
    alone: Installed after that without what they ask for.
    why: Where that differs from a plain `pip install` of the peer.
    """

    requires: tuple[str, ...]
    alone: tuple[str, ...] = ()
    why: str = ""


PEERS = {
    "nlb_tools": Peer(
        ("pandas==1.5.3", "numpy<2", "scipy", "scikit-learn", "h5py>=2.9,<4", "pynwb"),
        ("nlb_tools==0.0.4",),
        "It asks for pandas<=1.3.4, of which there is no wheel for Python 3.11: a plain `pip install nlb_tools` fails "
        "(`ModuleNotFoundError: No module named 'pkg_resources'`). Here it runs with pandas 1.5.3 and NumPy 1.26.",
    ),
    "falcon-challenge": Peer(("falcon-challenge==1.0.2", TORCH)),
    "neurobench": Peer(("neurobench==2.3.0", TORCH)),
    "moabb": Peer(("moabb==1.7.2",)),
}


class CannotInstall(Exception):
    """What pip said last."""


def python_of(name: str, folder: Path) -> Path:
    """The Python of a peer's environment, which is made first where it is missing or was made from another list.

    Raises:
        CannotInstall: If pip fails; the environment is then tried again next time.
    """
    peer, home = PEERS[name], folder / name
    wanted = {"requires": list(peer.requires), "alone": list(peer.alone)}
    python = home / "bin" / "python"
    if _made_from(home) == wanted and python.exists():
        return python
    print(f"Installing {name} into {home.relative_to(folder.parent)}", flush=True)
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    _pip(python, peer.requires)
    if peer.alone:
        _pip(python, ("--no-deps", *peer.alone))
    (home / STAMP).write_text(json.dumps(wanted))
    return python


def _made_from(home: Path) -> dict[str, object] | None:
    stamp = home / STAMP
    return json.loads(stamp.read_text()) if stamp.is_file() else None


def _pip(python: Path, arguments: tuple[str, ...]) -> None:
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotInstall(said_last(done.stderr))


def said_last(text: str) -> str:
    """The last line that names an error, without the paths and addresses of this machine."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    errors = [line for line in lines if re.match(r"(ERROR|[A-Za-z_.]*(Error|Exception)\b)", line)]
    last = (errors or lines or ["no message"])[-1]
    return re.sub(r"(\w+://|(?<![\w.])~?/)[^\s'\"),;:]*", "...", last)
