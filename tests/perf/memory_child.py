"""Does one thing in a process of its own and says what memory it took, as JSON: see test_memory.py.

python tests/perf/memory_child.py pack|prepare|stream FOLDER
"""

import importlib
import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from harness.data.broadband_pack import Job, make_pack
from harness.data.cache import Cache
from harness.data.prepared import prepare_once
from harness.data.suites import load_suite
from harness.judge.artifact import pack
from harness.judge.host import Worker
from harness.judge.profiles import load_profile
from harness.judge.stream import stream
from harness.registry import find

DECODER = f"{Path(__file__).with_name('last_sample.py')}:LastSample"


def status_mb(name: str) -> float:
    """A field of /proc/self/status in MB."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024 / 1e6


class Watched:
    """The most memory of this process that no file can give back, looked at every few milliseconds."""

    def __enter__(self) -> "Watched":
        self.largest_mb, self._stop = 0.0, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            self.largest_mb = max(self.largest_mb, status_mb("RssAnon"))

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def pack_broadband(folder: Path) -> None:
    make_pack(Job(folder / "labels.mat", folder / "raw.nwb", folder / "small.nwb", session_id="s"))


def prepare_session(folder: Path) -> None:
    suite = load_suite(str(folder / "suite.yaml"))
    prepare_once(suite, suite.sessions[0], folder / "session.nwb", cache=Cache(folder / "data"))


def stream_session(folder: Path) -> None:
    suite = load_suite(str(folder / "suite.yaml"))
    parts = prepare_once(suite, suite.sessions[0], folder / "session.nwb", cache=Cache(folder / "data"))
    n_channels = parts.test.session.streams["wide"].n_channels
    with Worker(find(DECODER), {}, load_profile("cpu-1")) as worker:
        worker.restore(pack({"map_": np.ones((n_channels, 2), np.float32)}), [parts.test.session])
        streamed = stream(worker, parts.test.inputs, parts.test.session)
    assert len(streamed.outputs) == len(parts.test)


WORK = {"pack": pack_broadband, "prepare": prepare_session, "stream": stream_session}


def main(what: str, folder: str) -> None:
    for late in ("pyarrow", "pynwb", "scipy.signal"):
        importlib.import_module(late)  # no memory of the session's
    idle = {name: status_mb(name) for name in ("VmHWM", "RssAnon")}
    start = time.perf_counter()
    with Watched() as watched:
        WORK[what](Path(folder))
    seconds = time.perf_counter() - start
    peak = {"VmHWM": status_mb("VmHWM") - idle["VmHWM"], "RssAnon": watched.largest_mb - idle["RssAnon"]}
    print(json.dumps(peak | {"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
