"""Jobs that are quickly done, or go wrong in one way: what tests of the engines run."""

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BadData


@dataclass(frozen=True)
class Notes:
    """Leaves one file for each time that it is done."""

    root: Path
    key: str

    @property
    def name(self) -> str:
        return f"job {self.key}"

    @property
    def folder(self) -> Path:
        return self.root / self.key

    def do(self):
        self.folder.mkdir(exist_ok=True)
        (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    @property
    def n_times(self) -> int:
        return len(list(self.folder.glob("*-*")))


@dataclass(frozen=True)
class DiesAtFirst(Notes):
    """Is killed as often as `deaths` says, and then does what it should."""

    deaths: int = 1

    def do(self):
        super().do()
        if self.n_times <= self.deaths:
            os.kill(os.getpid(), signal.SIGKILL)


class Raises(Notes):
    def do(self):
        raise ZeroDivisionError("a mistake of ours")


class FindsBadData(Notes):
    def do(self):
        raise BadData("the recording is damaged; fetch it again")


class FindsNoSpace(Notes):
    def do(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class StepsTheClock(Notes):
    """The wall clock goes a day back, then two forwards, whenever it is asked: from now on, in this process."""

    def do(self):
        real, steps = time.time, iter([-86_400, 86_400] * 10_000)
        time.time = lambda: real() + next(steps)
        super().do()


class Sleeps(Notes):
    def do(self):
        super().do()
        time.sleep(1000)
