"""Measure this project beside its peers at the same work: `PYTHONPATH=. python tools/bench_peers.py OUT.json`.

    --only NAME ...       some of the works of tools/peers/works.py
    --rounds 3            how often each side does each work, one after the other and in turning order
    --environments DIR    where the peers are installed, .peers by default

Every round is a process of its own, on one core, with one thread. What came out on both sides is compared. Results
are written to OUT.json, from which tools/performance_page.py writes docs/performance.md.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from harness.judge.hardware import calibrate, fingerprint
from tools.peers.environments import PEERS, CannotInstall, python_of, said_last
from tools.peers.inputs import write
from tools.peers.works import OURS, WORKS, Side, Work

ROOT = Path(__file__).parent.parent
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
AT_MOST_S = 1800
COMMAND = "make bench-peers"
SIDE_FACTS = ("per", "result", "versions")


class Failed(Exception):
    """A side did not do its work."""


def main() -> None:
    """Install, measure, compare, write."""
    asked = _arguments()
    pythons, refused = _environments(asked.environments)
    machine = fingerprint()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    started, start_s, before = datetime.now(UTC), time.perf_counter(), calibrate()
    works = [work for work in WORKS if not asked.only or work.name in asked.only]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        measured = {work.name: _measure(work, pythons, Path(folder), asked.rounds) for work in works}
    found = {
        "schema": 1,
        "command": COMMAND,
        "started_utc": started.isoformat(timespec="seconds"),
        "seconds": round(time.perf_counter() - start_s),
        "rounds": asked.rounds,
        "machine": machine,
        "calibration": {"before": before, "after": calibrate()},
        "peers": {name: {"why": PEERS[name].why, "error": refused.get(name, "")} for name in PEERS},
        "works": measured,
    }
    asked.out.write_text(json.dumps(found, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure this project beside its peers at the same work.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", nargs="+", choices=[work.name for work in WORKS], default=())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--environments", type=Path, default=ROOT / ".peers")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error(f"--rounds {asked.rounds}: give 1 or more")
    return asked


def _environments(folder: Path) -> tuple[dict[str, Path], dict[str, str]]:
    """Name -> Python of those that could be installed, and why the others could not."""
    pythons, refused = {OURS: Path(sys.executable)}, {}
    for name in PEERS:
        try:
            pythons[name] = python_of(name, folder.resolve())
        except CannotInstall as error:
            refused[name] = str(error)
            print(f"{name} cannot be installed: {error}", flush=True)
    return pythons, refused


def _measure(work: Work, pythons: dict[str, Path], inputs: Path, rounds: int) -> dict[str, Any]:
    """All sides in turn, whoever began last time coming last; then what came out side by side."""
    sides, outs = [side for side in work.sides if side.who in pythons], inputs / work.name
    outs.mkdir()
    found: dict[str, dict[str, Any]] = {side.label: _empty(side) for side in sides}
    rounds = min(rounds, work.rounds or rounds)
    # Byte code and the system's file cache are there for everybody alike.
    whole = [side for side in sides if side.whole]
    for i in range(-1 if whole else 0, rounds):
        turned = sides[i % len(sides) :] + sides[: i % len(sides)] if i >= 0 else whole
        for side in turned:
            print(f"{work.name}, round {i + 1} of {rounds}: {side.label}", flush=True)
            try:
                _add(found[side.label], _once(side, pythons[side.who], inputs, outs), keep=i >= 0)
            except Failed as error:
                found[side.label]["error"] = str(error)
    return {"sides": found, "pairs": work.pairs, "agreement": _agreement(work, outs)}


def _empty(side: Side) -> dict[str, Any]:
    return {"who": side.who, "seconds": [], "cpu_s": [], "peak_mb": [], "start_mb": [], "error": ""}


def _once(side: Side, python: Path, inputs: Path, outs: Path) -> dict[str, Any]:
    """One process; what it said of itself, or how long all of it took.

    Raises:
        Failed: With the last error that it printed.
    """
    out = outs / f"{side.label}.json"
    command = [str(python), *side.arguments, *(() if side.whole else (str(inputs), str(out)))]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    cpu, start = _children_s(), time.perf_counter()
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=AT_MOST_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {AT_MOST_S} s") from None
    seconds = time.perf_counter() - start
    if done.returncode:
        raise Failed(said_last(done.stderr))
    if side.whole:
        return {"seconds": [seconds], "cpu_s": [_children_s() - cpu]}
    said: dict[str, Any] = json.loads(out.read_text())
    return said


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _add(found: dict[str, Any], said: dict[str, Any], *, keep: bool) -> None:
    if not keep:
        return
    found["seconds"] += said["seconds"]
    found["cpu_s"] += said["cpu_s"]
    for name in ("peak_mb", "start_mb"):
        found[name] += [said[name]] if name in said else []
    found |= {name: said[name] for name in SIDE_FACTS if name in said}


def _agreement(work: Work, outs: Path) -> dict[str, dict[str, Any]]:
    """Pair -> array -> in how many of its values the two sides are equal, and how far they are apart."""
    found = {}
    for peer, ours in work.pairs:
        files = [outs / f"{label}.npz" for label in (peer, ours)]
        if all(file.is_file() for file in files):
            with np.load(files[0]) as theirs, np.load(files[1]) as own:
                both = [name for name in theirs.files if name in own.files]
                compared = {name: _compared(theirs[name], own[name]) for name in both}
            if compared:
                found[f"{peer} | {ours}"] = compared
    return found


def _compared(theirs: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    if theirs.shape != own.shape:
        return {"shapes": [theirs.shape, own.shape], "equal": 0.0, "difference": None}
    known = np.isfinite(theirs) & np.isfinite(own)
    apart, size = np.abs(theirs - own)[known], np.abs(own[known])
    return {
        "shapes": [theirs.shape, own.shape],
        "equal": float(np.mean((theirs == own) | ~known)),
        "difference": float(apart.max() / size.max()) if size.size and size.max() else float(apart.max(initial=0)),
    }


if __name__ == "__main__":
    main()
