"""Decoders that write down what each stage of learning gave them, and one that answers late."""

import os
from dataclasses import dataclass

import numpy as np

from harness import Cost, Decoder, Delay
from harness.errors import UsageError


def n_bins_and_labels(recordings):
    """(n_recordings, 2): bins, and how many of them have labels."""
    return np.array([(len(r), int(np.isfinite(r.targets).all(axis=1).sum())) for r in recordings])


@dataclass
class Diary(Decoder):
    """Answers nothing; its artefact says what it was given."""

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0

    def fit(self, train, validation):
        self.fitted_ = n_bins_and_labels([*train, *validation])

    def reset(self, session):
        self.n_outputs = len(session.outputs)

    def step(self, bin):
        return np.zeros(self.n_outputs)


@dataclass
class StagedDiary(Diary):
    """All three stages; `restored_` are the sessions that it was restored for before the stage."""

    def pretrain(self, recordings):
        self.pretrained_ = n_bins_and_labels(recordings)

    def restore(self, state, sessions):
        super().restore(state, sessions)
        self.restored_ = np.array([len(sessions), ord(sessions[0].id[-1])])

    def adapt(self, recording):
        self.adapted_ = n_bins_and_labels([recording])
        self.last_target_ = recording.targets[-1].copy()


@dataclass
class FailsToPretrain(StagedDiary):
    """Its first stage raises."""

    def pretrain(self, recordings):
        raise ValueError("no such luck")


@dataclass
class Late(Decoder):
    """Knows the answer (the first two counts), but gives it some bins later; says so if it is honest."""

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0
    n_bins: int = 3
    look_ahead_bins: int = 2
    interpolation_bins: int = 1

    def delay(self):
        return Delay(self.look_ahead_bins, self.interpolation_bins)

    def fit(self, train, validation):
        self.zeros_ = np.zeros(2, np.float32)

    def reset(self, session):
        self.waiting = [self.zeros_.copy() for _ in range(self.n_bins)]

    def step(self, bin):
        self.waiting.append(bin["spikes"][:2].copy())
        return self.waiting.pop(0)


@dataclass
class Narrow(Diary):
    """Keeps integers of nine bits, and says so."""

    def fit(self, train, validation):
        self.weights_ = np.random.default_rng(0).integers(-256, 256, 4000).astype(np.int16)

    def cost(self, session):
        return Cost(bits={"weights_": 9})


@dataclass
class HidesItsWait(Late):
    """Its parameters do not tell how long it waits."""

    wait: int = 0

    def delay(self):
        return Delay(self.wait)

    def parameters(self):
        return {"seed": self.seed}


@dataclass
class ByHeart(Late):
    """Keeps the labels of its training, and gives them from the first one on, late, whatever it sees."""

    wait: int = 0

    def delay(self):
        return Delay(self.wait)

    def fit(self, train, validation):
        self.labels_ = train[0].targets.copy()

    def reset(self, session):
        self.k = -self.wait

    def step(self, bin):
        self.k += 1
        return self.labels_[max(0, self.k - 1)].copy()


@dataclass
class Grandparent(Diary):
    """Its pretraining is begun with by two others."""

    def pretrain(self, recordings):
        self.first_ = np.array([len(recordings), self.seed])


@dataclass
class Middle(Diary):
    """Pretrains on top of what the one before it left."""

    def pretrained_by(self):
        return Grandparent(seed=99)

    def pretrain(self, recordings):
        self.second_ = self.first_ + 100


@dataclass
class Grandchild(Diary):
    """Has no pretraining of its own."""

    deterministic = False

    def pretrained_by(self):
        return Middle()


@dataclass
class OtherGrandchild(Grandchild):
    """Begins with the same."""


@dataclass
class Endless(Diary):
    """Begins with itself."""

    def pretrained_by(self):
        return Endless()


@dataclass
class Noting(Diary):
    """Its first attempt at pretraining dies half way; the next goes on from there."""

    def pretrain(self, recordings):
        noted = self.checkpoint.load()
        start = int(noted["k"]) if noted else 0
        self.began_at_ = np.array(start)
        for k in range(start, 10):
            if k == 5 and not noted:
                os._exit(3)
            self.checkpoint.save({"k": np.array(k + 1), "weights": np.full(1000, k)})
            self.checkpoint.report(k + 1, 10, 1 / (k + 1))


@dataclass
class Told(Diary):
    """Its pretraining, told of under another name or with other parameters."""

    seed: int = 0

    def __post_init__(self):
        if self.seed == 13:
            raise UsageError("no luck with 13")

    def pretrain(self, recordings):
        self.told_ = np.zeros(1)


def told(where: str, **lies) -> Decoder:
    """A decoder that says it is somewhere else."""
    kind = dataclass(type("Lying", (Told,), lies))
    kind.__module__, _, kind.__qualname__ = where.partition(":")
    return kind()


@dataclass
class BeginsElsewhere(Diary):
    """Names a module that brings no decoders; the worker would be given its files to read."""

    where: str = "os:getcwd"

    def pretrained_by(self):
        return told(self.where)


@dataclass
class BeginsWithOtherParameters(Diary):
    """What it begins with has no such parameters."""

    def pretrained_by(self):
        return told(f"{__name__}:Told", parameters=lambda _: {"seed": 0, "absent": 1})


@dataclass
class BeginsUnluckily(Diary):
    """What it begins with blames the user, once it is to learn."""

    def pretrained_by(self):
        return Told()


@dataclass
class WithBackend(Diary):
    """Notes what code ran."""

    def fit(self, train, validation):
        super().fit(train, validation)
        self.scan_backend_ = np.frombuffer(b"own scan, torch 9\n", np.uint8)


@dataclass
class InWindows(Diary):
    """Answers whole windows."""

    causal = False

    def delay(self):
        return Delay(window_s=2.0)
