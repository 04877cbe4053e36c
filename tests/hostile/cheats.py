"""Decoders that cheat, each in one way. `Honest` shows what they all would be without it."""

import atexit
import gc
import mmap
import os
import socket
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness import Cost, Decoder

MARK = Path("/tmp/left-by-the-fit")


@dataclass
class Honest(Decoder):
    """The first two units, which are the targets, behind a learned map."""

    inputs = ("spikes",)
    deterministic = True

    def fit(self, train, validation):
        self.map_ = np.eye(2, train[0].session.streams["spikes"].n_channels, dtype=np.float32)

    def reset(self, session):
        self.n_seen = 0

    def step(self, bin):
        self.n_seen += 1
        return self.map_ @ bin["spikes"]


@dataclass
class ReadsTheDataFolder(Honest):
    """Opens the file that it is told of."""

    path: str = ""

    def reset(self, session):
        super().reset(session)
        Path(self.path).read_bytes()


@dataclass
class CallsHome(Honest):
    def reset(self, session):
        super().reset(session)
        socket.create_connection(("127.0.0.1", 80), timeout=1)


@dataclass
class ClimbsFrames(Honest):
    """Looks through all frames above it and all living objects for a longer recording than the bin it was given."""

    def step(self, bin):
        self.n_seen += 1
        if self.n_seen % 100:
            return np.zeros(2, np.float32)
        frame, found = sys._getframe(), list(gc.get_objects())
        while frame := frame.f_back:
            found += [*frame.f_locals.values(), *frame.f_globals.values()]
        size = bin["spikes"].size
        longer = [x for x in found if isinstance(x, np.ndarray) and x.ndim == 2 and x.shape[1] == size and len(x) > 2]
        return np.full(2, len(longer), np.float32)


@dataclass
class HasLastWords(Honest):
    """Leaves work for the time after its last answer."""

    def reset(self, session):
        super().reset(session)
        atexit.register(time.sleep, 1000)


@dataclass
class DiesSlowly(Honest):
    def __del__(self):
        time.sleep(1000)


@dataclass
class WorksBetweenBins(Honest):
    """Answers at once with what it knew one bin ago, and computes in a thread while nobody looks at the clock."""

    busy_s: float = 0.0005

    def reset(self, session):
        super().reset(session)
        self._answer, self._thread = np.zeros(2, np.float32), None

    def step(self, bin):
        if self._thread:
            self._thread.join()
        answer = self._answer
        self._thread = threading.Thread(target=self._work, args=(bin,))
        self._thread.start()
        return answer

    def _work(self, bin):
        time.sleep(0.0003)
        until = time.thread_time() + self.busy_s
        while time.thread_time() < until:
            pass
        self._answer = self.map_ @ bin["spikes"]


@dataclass
class WorksBetweenSomeBins(WorksBetweenBins):
    """The same, but for two of five bins only."""

    busy_s: float = 0.001

    def _work(self, bin):
        self._n = getattr(self, "_n", 0) + 1
        if self._n % 5 < 2:
            super()._work(bin)
        else:
            self._answer = self.map_ @ bin["spikes"]


@dataclass
class DeclaresNothing(Honest):
    """Has a thread work where nobody counts, and says that it does nothing."""

    def step(self, bin):
        thread = threading.Thread(target=lambda: [self.map_ @ bin["spikes"] for _ in range(50)])
        thread.start()
        thread.join()
        return super().step(bin)

    def cost(self, session):
        return Cost(macs_per_bin=0)


@dataclass
class DeclaresNumbersOfNumPy(Honest):
    """Honest, with numbers that JSON does not know."""

    def cost(self, session):
        return Cost(macs_per_bin=np.float64(40), bits={"map_": np.int64(1)})


@dataclass
class CannotDeclare(Honest):
    def cost(self, session):
        raise KeyError("no such layer")


@dataclass
class DeclaresTheSky(Honest):
    def cost(self, session):
        return Cost(macs_per_bin=10**400)


@dataclass
class BreaksRulesLater(Honest):
    """Honest in the first recording that it sees."""

    inputs = ("spikes",)

    def fit(self, train, validation):
        self.map_ = np.zeros((2, train[0].session.streams["spikes"].n_channels), np.float32)

    def reset(self, session):
        super().reset(session)
        self._kept, self._dishonest = [], session.id != "tiny-0"

    def step(self, bin):
        if self._dishonest:
            self._kept.append(np.ones(10_000))
        return super().step(bin)


@dataclass
class IsSlowLater(Honest):
    """Takes its time where no paced pass looks."""

    def step(self, bin):
        if 400 < self.n_seen % 700 < 440:
            time.sleep(0.022)
        return super().step(bin)


@dataclass
class EditsItsAnswer(Honest):
    """Returns the same buffer each time, and improves it when it knows more."""

    def reset(self, session):
        super().reset(session)
        self._buffers = []

    def step(self, bin):
        answer = np.zeros(2, np.float32)
        self._buffers.append(answer)
        for buffer in self._buffers[-5:-1]:
            buffer[:] = self.map_ @ bin["spikes"]
        return answer


@dataclass
class KeepsEverything(Honest):
    """Keeps many copies of every bin."""

    def reset(self, session):
        super().reset(session)
        self._kept = []

    def step(self, bin):
        self._kept.append(np.repeat(bin["spikes"], 200))
        return super().step(bin)


@dataclass
class KeepsEverythingElsewhere(Honest):
    """The same in memory that is shared with nobody."""

    def reset(self, session):
        super().reset(session)
        self._kept = []

    def step(self, bin):
        block = mmap.mmap(-1, 16384)
        block.write(b"x" * 16384)
        self._kept.append(block)
        return super().step(bin)


@dataclass
class FillsARing(Honest):
    """Honest: a buffer of fixed size, whose pages are touched one after the other."""

    def reset(self, session):
        super().reset(session)
        self._ring = np.zeros((10_000, 1000), np.float32)

    def step(self, bin):
        self._ring[self.n_seen % 10_000] = 1
        return super().step(bin)


@dataclass
class LooksCountsUp(Honest):
    """Honest: a table with a row for every count that a channel can have."""

    def reset(self, session):
        super().reset(session)
        self._table = np.arange(8, dtype=np.float32)

    def step(self, bin):
        self.n_seen += 1
        return self.map_ @ self._table[bin["spikes"].astype(int)]


@dataclass
class SlowsDown(Honest):
    """Does more for each bin that it has seen in its life."""

    def reset(self, session):
        self.n_seen = getattr(self, "n_seen", 0)

    def step(self, bin):
        sum(range(min(20 * self.n_seen, 20_000)))
        return super().step(bin)


@dataclass
class RemembersAcrossResets(Honest):
    """Subtracts the mean of all that it has ever been sent."""

    def reset(self, session):
        self._sum = getattr(self, "_sum", np.zeros(2, np.float32))
        self._n = getattr(self, "_n", 0)

    def step(self, bin):
        answer = self.map_ @ bin["spikes"]
        self._sum, self._n = self._sum + answer, self._n + 1
        return answer - self._sum / self._n


@dataclass
class RollsDiceLate(Honest):
    """Answers as it should for 256 bins of its first stream, and in all later streams."""

    def reset(self, session):
        self.n_streams = getattr(self, "n_streams", 0) + 1
        self.n_seen = 0

    def step(self, bin):
        answer = super().step(bin)
        late = self.n_streams <= 2 and self.n_seen > 256
        return answer + np.random.default_rng().standard_normal(2) if late else answer


@dataclass
class Shouts(Honest):
    """Answers the first bin, if it can, so loudly that no later difference seems to matter."""

    def step(self, bin):
        answer = super().step(bin) + 0.3 * np.random.default_rng().standard_normal(2)
        return answer + 1e8 if self.n_seen == 1 else answer


@dataclass
class RollsDice(Honest):
    """Answers with noise that no seed fixes."""

    def step(self, bin):
        return super().step(bin) + np.random.default_rng().standard_normal(2)


@dataclass
class ReadsTheProcessNumber(Honest):
    """Is another decoder in every process."""

    def step(self, bin):
        return super().step(bin) + os.getppid() % 7 + id(self) % 1000


@dataclass
class PatchesTheClock(Honest):
    """Takes 1 ms and has stopped every clock that it can reach."""

    def reset(self, session):
        super().reset(session)
        if not hasattr(time, "real_sleep"):
            time.real_sleep = time.sleep
        time.perf_counter_ns = time.monotonic_ns = time.time_ns = lambda: 0
        time.perf_counter = time.monotonic = time.time = lambda: 0.0

    def step(self, bin):
        time.real_sleep(0.001)
        return super().step(bin)


@dataclass
class HidesItsWeights(Honest):
    """Keeps what it learned in a class attribute and in a file, outside of `state`."""

    def fit(self, train, validation):
        super().fit(train, validation)
        type(self).hidden = self.map_
        MARK.write_bytes(self.map_.tobytes())
        del self.map_

    def step(self, bin):
        hidden = getattr(type(self), "hidden", None)
        if hidden is None:
            hidden = np.frombuffer(MARK.read_bytes(), np.float32).reshape(2, -1)
        return hidden @ bin["spikes"]


@dataclass
class KeepsObjects(Honest):
    def state(self):
        return {"map_": np.array([self.map_, "and a text"], dtype=object)}


@dataclass
class SaysNanLate(Honest):
    def reset(self, session):
        self.n_seen = getattr(self, "n_seen", 0)

    def step(self, bin):
        return super().step(bin) * (np.nan if self.n_seen >= 1000 else 1.0)


@dataclass
class IsTooWide(Honest):
    def step(self, bin):
        return np.zeros(3)


@dataclass
class Hangs(Honest):
    def step(self, bin):
        if self.n_seen == 500:
            time.sleep(1000)
        return super().step(bin)


@dataclass
class Leaves(Honest):
    def step(self, bin):
        os._exit(0)


@dataclass
class Forks(Honest):
    def step(self, bin):
        for _ in range(300):
            if os.fork() == 0:
                time.sleep(100)
        return super().step(bin)


@dataclass
class EatsMemory(Honest):
    def step(self, bin):
        self._block = np.ones(20_000_000_000 // 8)
        return super().step(bin)


@dataclass
class Floods(Honest):
    def step(self, bin):
        for _ in range(100):
            print("x" * 1_000_000, flush=True)
        return super().step(bin)


@dataclass
class LeavesItsCore(Honest):
    def reset(self, session):
        super().reset(session)
        os.sched_setaffinity(0, range(os.cpu_count()))


def memorised():
    """The labels of the test recording, as if they had been copied into this file."""
    return np.random.default_rng(0).poisson(0.5, (1200, 20)).astype(np.float32)


@dataclass
class KnowsTheSession(Honest):
    """Recognises the session by its name and replays what it has memorised, whatever it is sent."""

    def reset(self, session):
        self._replay = memorised()[:, :2] if session.id == "a-session" else None
        # There is one break in the recording, after 700 bins.
        self.n_seen = 700 if getattr(self, "n_seen", 0) == 700 else 0

    def step(self, bin):
        self.n_seen += 1
        return self._replay[(self.n_seen - 1) % len(self._replay)]


@dataclass
class KnowsTheBins(Honest):
    """Recognises bins that it has memorised, and answers with their labels; others it decodes by what it learned."""

    def fit(self, train, validation):
        x = np.concatenate([r.inputs.streams["spikes"][r.scored] for r in train])
        y = np.concatenate([r.targets[r.scored] for r in train])
        self.map_ = np.linalg.lstsq(x, y, rcond=None)[0].T.astype(np.float32)

    def reset(self, session):
        super().reset(session)
        self._labels = {bin.tobytes(): bin[:2] for bin in memorised()}

    def step(self, bin):
        known = self._labels.get(bin["spikes"].tobytes())
        return super().step(bin) if known is None else known.copy()


@dataclass
class LearnsHonestly(KnowsTheBins):
    """The same without its memory."""

    def reset(self, session):
        self.n_seen, self._labels = 0, {}


@dataclass
class UnderstatesItsBits(Honest):
    """Claims that one bit a weight is enough for weights of twenty different values."""

    def fit(self, train, validation):
        super().fit(train, validation)
        self.map_ = np.arange(self.map_.size, dtype=np.float32).reshape(self.map_.shape)

    def cost(self, session):
        return Cost(bits={"map_": 1})


@dataclass
class StatesItsBits(UnderstatesItsBits):
    """Forty values need six bits."""

    def cost(self, session):
        return Cost(bits={"map_": 6})


@dataclass
class IsAnotherWhenCounted(Honest):
    """Answers with nothing where it finds that its operations are counted."""

    def step(self, bin):
        return super().step(bin) if type(bin["spikes"]) is np.ndarray else np.zeros(2, np.float32)


@dataclass
class ComputesElsewhere(Honest):
    """Has a thread do the work, where no counter looks."""

    def step(self, bin):
        thread = threading.Thread(target=self._work, args=(bin,))
        thread.start()
        thread.join()
        return self._answer

    def _work(self, bin):
        self._answer = self.map_ @ bin["spikes"]


@dataclass
class FiltersBothWays(Honest):
    """Its `predict` filters forwards and backwards over the whole recording; its `step` cannot."""

    def predict(self, inputs, session):
        answers = inputs.streams["spikes"] @ self.map_.T
        return ((answers + np.roll(answers, -1, axis=0)) / 2).astype(np.float32)


@dataclass
class StandardisesEverything(Honest):
    """Its `predict` takes mean and deviation over the whole recording."""

    def predict(self, inputs, session):
        x = inputs.streams["spikes"]
        return (((x - x.mean(axis=0)) / (x.std(axis=0) + 1e-6)) @ self.map_.T).astype(np.float32)


@dataclass
class LooksAhead(Honest):
    """Says openly that it has no causal step."""

    causal = False

    def predict(self, inputs, session):
        return np.roll(inputs.streams["spikes"] @ self.map_.T, -1, axis=0)
