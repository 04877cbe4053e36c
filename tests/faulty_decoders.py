"""A decoder that keeps every rule of the contract, and for each rule one that breaks it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from harness import Bin, Decoder, Delay, Inputs, Recording, SessionInfo

LEAK = 0.8


@dataclass
class Good(Decoder):
    """Ridge regression on leaky counts, with a `predict` of its own."""

    inputs = ("spikes",)
    penalty: float = 1.0
    seed: int = 0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        x = np.concatenate([self.features(r.inputs)[r.scored] for r in train])
        y = np.concatenate([r.targets[r.scored] for r in train])
        self.weights_ = np.linalg.solve(x.T @ x + self.penalty * np.eye(x.shape[1]), x.T @ y)

    def features(self, inputs: Inputs) -> np.ndarray:
        leaky = np.zeros_like(inputs.streams["spikes"])
        for segment in inputs.segments():
            held = np.zeros(leaky.shape[1], np.float32)
            for k in range(segment.start, segment.stop):
                held = leaky[k] = LEAK * held + inputs.streams["spikes"][k]
        return leaky

    def reset(self, session: SessionInfo) -> None:
        self.held = np.zeros(session.streams["spikes"].n_channels, np.float32)

    def step(self, bin: Bin) -> np.ndarray:
        self.held = LEAK * self.held + bin["spikes"]
        return self.held @ self.weights_

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        return (self.features(inputs) @ self.weights_).astype(np.float32)


@dataclass
class GoodOffline(Good):
    """Looks at the future, and says so."""

    causal = False

    def step(self, bin: Bin) -> np.ndarray:
        raise NotImplementedError("offline only")

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        x = self.features(inputs)
        return ((x + np.roll(x, -1, axis=0)) @ self.weights_).astype(np.float32)


@dataclass
class GoodOnSignals(Decoder):
    """Means of every signal and of the cue, whatever the streams are called."""

    inputs = ("lfp", "cue")
    deterministic = True
    seed: int = 0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        assert all(r.privileged["spikes"].ndim == 2 for r in train)
        self.mean_ = np.concatenate([r.targets[r.scored] for r in train]).mean(axis=0)

    def reset(self, session: SessionInfo) -> None:
        self.session = session

    def step(self, bin: Bin) -> np.ndarray:
        given = {name: values.shape for name, values in bin.items()}
        assert given == {name: info.shape for name, info in self.session.streams.items()}
        return self.mean_ + sum(float(values.mean()) for values in bin.values())


@dataclass
class NoSeed(Decoder):
    """Has no field `seed`."""

    inputs = ("spikes",)

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self.mean_ = np.zeros(2)

    def reset(self, session: SessionInfo) -> None:
        pass

    def step(self, bin: Bin) -> np.ndarray:
        return self.mean_.copy()


@dataclass
class ArrayParameter(Good):
    penalties: object = field(default_factory=lambda: np.ones(3))


@dataclass
class FailsToFit(Good):
    def fit(self, train, validation):
        raise RuntimeError("singular matrix")


@dataclass
class ChangesItsParameter(Good):
    def fit(self, train, validation):
        self.penalty = 10.0
        super().fit(train, validation)


@dataclass
class LearnsFromUnscored(Good):
    """Takes every target, measured or not."""

    def fit(self, train, validation):
        x = np.concatenate([self.features(r.inputs) for r in train])
        y = np.concatenate([r.targets for r in train])
        self.weights_ = np.linalg.solve(x.T @ x + self.penalty * np.eye(x.shape[1]), x.T @ y)


@dataclass
class DividesBySilence(Good):
    """Divides by the deviation of each unit, which is 0 for a silent one."""

    def fit(self, train, validation):
        super().fit(train, validation)
        with np.errstate(all="ignore"):
            self.weights_ = self.weights_ / train[0].inputs.streams["spikes"].std(axis=0)[:, None]


@dataclass
class WrongWidth(Good):
    def step(self, bin):
        return np.append(super().step(bin), 0.0)


@dataclass
class ObjectAnswer(Good):
    def step(self, bin):
        return super().step(bin).astype(object)


@dataclass
class ListAnswer(Good):
    def step(self, bin):
        return super().step(bin).tolist()


@dataclass
class NotFinite(Good):
    """Gives up on busy bins."""

    def step(self, bin):
        answer = super().step(bin)
        return answer if bin["spikes"].sum() < 25 else answer * np.nan


@dataclass
class ChangesItsInput(Good):
    def step(self, bin):
        answer = super().step(bin)
        np.sqrt(bin["spikes"], out=bin["spikes"])
        return answer


@dataclass
class KeepsItsInput(Good):
    """Answers from the bin before, of which it holds the caller's array."""

    def reset(self, session):
        super().reset(session)
        self.last = np.zeros_like(self.held)

    def step(self, bin):
        answer = super().step({"spikes": self.last})
        self.last = bin["spikes"]
        return answer

    predict = Decoder.predict


@dataclass
class ReusesItsAnswer(Good):
    """Returns one buffer again and again."""

    def reset(self, session):
        super().reset(session)
        self.answer = np.zeros(2)

    def step(self, bin):
        self.answer[:] = super().step(bin)
        return self.answer


@dataclass
class SharesItsMemory(Good):
    """Smooths its answers in an array that the caller gets too."""

    def reset(self, session):
        super().reset(session)
        self.smooth = np.zeros(2)

    def step(self, bin):
        self.smooth = 0.5 * self.smooth + super().step(bin)
        return self.smooth

    predict = Decoder.predict


@dataclass
class NoisyFit(Good):
    """Draws from a generator that nothing seeds."""

    def fit(self, train, validation):
        super().fit(train, validation)
        self.weights_ = self.weights_ + np.random.default_rng().normal(size=self.weights_.shape)


@dataclass
class LuckySeed(Good):
    """Calls itself deterministic, and is not."""

    deterministic = True

    def fit(self, train, validation):
        super().fit(train, validation)
        self.weights_ = self.weights_ + np.random.default_rng(self.seed).normal(size=self.weights_.shape)


@dataclass
class RemembersAfterReset(Good):
    def reset(self, session):
        if not hasattr(self, "held"):
            super().reset(session)


@dataclass
class CountsForEver(Good):
    """Adds a drift by the number of steps since it was made."""

    n_steps = 0

    def step(self, bin):
        self.n_steps += 1
        return super().step(bin) + 1e-3 * self.n_steps


@dataclass
class PredictsOtherwise(Good):
    """Forgets in `predict` that segments are apart."""

    def predict(self, inputs, session):
        whole = Inputs(inputs.streams, np.arange(len(inputs)) == 0, inputs.bin_s)
        return super().predict(whole, session)


@dataclass
class LooksAhead(Good):
    """Shifts its features by one bin in `predict`."""

    def predict(self, inputs, session):
        return np.roll(super().predict(inputs, session), -1, axis=0)


@dataclass
class FiltersBothWays(Good):
    """Smooths in `predict` with a window centred on the bin."""

    def predict(self, inputs, session):
        causal = super().predict(inputs, session)
        padded = np.pad(causal, ((1, 1), (0, 0)), mode="edge")
        return 0.25 * padded[:-2] + 0.5 * causal + 0.25 * padded[2:]


@dataclass
class UsesWholeRecording(Good):
    """Subtracts in `predict` the mean of all outputs."""

    def predict(self, inputs, session):
        causal = super().predict(inputs, session)
        return causal - causal.mean(axis=0)


@dataclass
class ObjectState(Good):
    def fit(self, train, validation):
        super().fit(train, validation)
        self.names_ = np.array(["left", None], dtype=object)


@dataclass
class HidesWeights(Good):
    """Keeps half of what it learned in an attribute without an underscore."""

    def fit(self, train, validation):
        super().fit(train, validation)
        self.gain = np.float64(2.0)

    def step(self, bin):
        return self.gain * super().step(bin)

    predict = Decoder.predict


@dataclass
class LosesState(Good):
    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        self.weights_ = np.round(state["weights_"], 2)


@dataclass
class FailsOnEmptyBin(Good):
    """Divides by the number of spikes."""

    def step(self, bin):
        answer = super().step(bin)
        with np.errstate(all="ignore"):
            return answer * (bin["spikes"].sum() / bin["spikes"].sum())


@dataclass
class FailsLate(Good):
    """Has room for 10,000 bins."""

    def reset(self, session):
        super().reset(session)
        self.i_bin, self.room = 0, np.zeros(10_000)

    def step(self, bin):
        self.room[self.i_bin] = bin["spikes"].sum()
        self.i_bin += 1
        return super().step(bin)


@dataclass
class GrowsAList(Good):
    def reset(self, session):
        super().reset(session)
        self.seen = []

    def step(self, bin):
        self.seen.append(float(bin["spikes"].sum()))
        return super().step(bin)


SEEN_BY_ALL: list[float] = []


@dataclass
class GrowsAGlobal(Good):
    """Hides its growth in the module."""

    def step(self, bin):
        SEEN_BY_ALL.append(float(bin["spikes"].sum()))
        return super().step(bin)


@dataclass
class SlowsDown(Good):
    """Goes through its whole history, in memory that it took at once."""

    def reset(self, session):
        super().reset(session)
        self.n_seen, self.history = 0, np.zeros((20_000, 40), np.float32)

    def step(self, bin):
        self.history[self.n_seen] = bin["spikes"].sum()
        self.n_seen += 1
        self.activity = self.history[: self.n_seen].mean()
        return super().step(bin)


@dataclass
class FractionalDelay(Good):
    """Answers about two and a half bins ago."""

    def delay(self) -> Delay:
        return Delay(2.5)  # type: ignore[arg-type]


@dataclass
class ForgetsPretraining(Good):
    """Counts on an attribute that `state` does not have."""

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        self.core = np.ones(3)
        self.pretrained_ = self.core

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore(state, sessions)
        if "weights_" not in state:
            self.core.sum()


@dataclass
class ForgetsAdapting(Good):
    """Adapts an attribute that `state` does not have."""

    gain: float = 1.0

    def adapt(self, recording: Recording) -> None:
        self.factor = 2.0

    def step(self, bin: Bin) -> np.ndarray:
        return super().step(bin) * getattr(self, "factor", 1.0)


@dataclass
class NeedsLabelsToPretrain(Good):
    """Takes labels for granted where a suite need not give any."""

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        if not any(r.scored.any() for r in recordings):
            raise ValueError("nothing to learn from")
        self.pretrained_ = np.ones(1)
