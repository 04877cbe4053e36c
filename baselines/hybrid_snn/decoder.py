"""A decoder around a network of keypoints: training on one session or on many, and streaming."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from baselines.features import scored_targets
from baselines.hybrid_snn.network import Front, KeypointNetwork, Readout
from baselines.hybrid_snn.quantise import BUFFERS, WEIGHTS
from baselines.hybrid_snn.shape import Shape
from baselines.hybrid_snn.streaming import Answers, FrontBuffer, ReadoutSums, Stream, Units, part
from baselines.hybrid_snn.training import Terms, put_on_grid, scale_to, train
from baselines.network import Corruption
from harness import Bin, Cost, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import PREFIX, Schedule, Segment, TorchDecoder, run

Coding = Literal["binary", "levels", "counts"]
LEVELS = {"binary": (1,), "levels": (1, 2, 3, 4)}
PRETRAINED = "pretrained:"
SCALED_ON_BINS = 5000


@dataclass
class KeypointDecoder(TorchDecoder):
    """Convolutions and poolings, a recurrence at keypoints, answers for every bin.

    Subclasses write `shape`, `recurrence` and its twin `units`; those that wait for later bins
    also `ahead` and `delay`.

    coding: What the first convolution sees of a unit: whether it fired in the bin (1 or 0); for each of the levels 1 to
        4 whether it fired so often, which costs accumulates only, as the first; or how often it fired.
    n_channels: Columns' width behind each convolution.
    leaky: Whether the read-out sums with a leak, rather than answer from one keypoint alone; in float32 always.
    input_dropout, dropout: Share of inputs, and of later columns, that is hidden in training.
    updates, pretrain_updates, adapt_updates: Steps of training on one session, on all of a subject, on a few minutes.
    learning_rate, fine_tuning: Its peak, and the share of it where the network has been trained before.
    window_keypoints, batch_size: Length of a training window, and how many make a step.
    """

    inputs = ("spikes",)
    coding: Coding = "binary"
    n_channels: int = 40
    leaky: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.2
    updates: int = 300
    pretrain_updates: int = 400
    adapt_updates: int = 60
    learning_rate: float = 6e-3
    fine_tuning: float = 0.3
    window_keypoints: int = 100
    batch_size: int = 16

    ahead = True

    def __post_init__(self) -> None:
        self._pretrained: dict[str, dict[str, np.ndarray]] = {}

    @abc.abstractmethod
    def shape(self, bin_s: float) -> Shape:
        """The blocks for bins of this length."""

    @abc.abstractmethod
    def recurrence(self, keypoint_s: float) -> Any:
        """A new module for keypoints so many seconds apart: (batch, n_keypoints, n_channels) -> (..., n_hidden).

        Its `n_hidden` is a number, and `n_spikes` after a pass the spikes of a keypoint, 0 if there are no such things.
        """

    @abc.abstractmethod
    def units(self, weights: Mapping[str, np.ndarray]) -> Units:
        """The same for one keypoint at a time, with these weights."""

    def terms(self) -> Terms:
        """What the loss holds beside the error."""
        return Terms()

    def build(self, session: SessionInfo) -> KeypointNetwork:
        shape = self.shape(session.bin_s)
        recurrence = self.recurrence(session.bin_s * shape.step_bins)
        n_rows = len(session.outputs) * (shape.step_bins if self.ahead else 1)
        return KeypointNetwork(
            Front(shape, _width(session) * self._n_levels, self.n_channels, dropout=self.dropout),
            recurrence,
            Readout(recurrence.n_hidden, n_rows, leaky=self.leaky),
            corruption=Corruption(self.input_dropout, 0.0),
            ahead=self.ahead,
        )

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        """One network for each subject, number of channels and number of outputs."""
        for key in dict.fromkeys(_key(r.session) for r in recordings):
            parts = zip(*(_split(r, 0.9) for r in recordings if _key(r.session) == key), strict=True)
            first, later = ([s for r in part for s in self._segments(r, Scale.of([r]))] for part in parts)
            session = next(r.session for r in recordings if _key(r.session) == key)
            self._start_scaled(session, first)
            schedule = self._schedule(session, updates=self.pretrain_updates)
            train(self.network, [first, later], schedule=schedule, terms=self.terms().unrounded(), seed=self.seed)
            self._pretrained[key] = {k: v.copy() for k, v in self.weights().items()}
        del self.network

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        widths = sorted({_width(r.session) for r in train})
        if len(widths) > 1:
            raise HarnessError(
                f"recordings of {widths} channels cannot be fitted together by this decoder; "
                f"fit each session on its own (fit: each)"
            )
        session, scale = train[0].session, Scale.of(train)
        parts = [[s for r in part for s in self._segments(r, scale)] for part in (train, validation)]
        pretrained = self._pretrained.get(_key(session))
        self._start_scaled(session, parts[0])
        if pretrained:
            self._load(pretrained)
        schedule = self._schedule(session, updates=self.updates, share=self.fine_tuning if pretrained else 1.0)
        self._train(parts, scale, schedule, self.terms())

    def adapt(self, recording: Recording) -> None:
        """Train on; the last fifth of the minutes decides when it was best."""
        width, now = self.network.front.convolutions[0].in_channels // self._n_levels, _width(recording.session)
        if now != width:
            raise HarnessError(
                f"session {recording.session.id} has {now} channels and the fitted one {width}; this decoder adapts to "
                f"sessions of as many channels only, so give it labelled recordings of this session to fit"
            )
        scale = Scale.of([recording])
        parts = [self._segments(r, scale) for r in _split(recording, 0.8)]
        schedule = self._schedule(recording.session, updates=self.adapt_updates, share=self.fine_tuning)
        self._train(parts, scale, schedule, self.terms().rounded_at_once())

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        # A sum in another order can turn a spike on or off. On the grids sums are exact; elsewhere `step` decides.
        if not self.terms().quantised:
            return super().predict(inputs, session)
        rows = self.coded(inputs.streams[self.inputs[0]])
        return np.concatenate([run(self.network, rows[s]) for s in inputs.segments()]) * self.sd_ + self.offset_

    def reset(self, session: SessionInfo) -> None:
        self._stream = self.stream(session, self.weights())

    def stream(self, session: SessionInfo, weights: Mapping[str, np.ndarray]) -> Stream:
        """The network with these weights for one bin at a time, and in their dtype."""
        shape, on_grid = self.shape(session.bin_s), BUFFERS.rounded if self.terms().quantised else None
        return Stream(
            FrontBuffer(part(weights, "front.convolutions."), shape, on_grid),
            self.units(part(weights, "recurrence.")),
            ReadoutSums(part(weights, "readout.")),
            Answers(shape.step_bins, len(session.outputs), self.ahead),
        )

    def step(self, bin: Bin) -> np.ndarray:
        return self._stream.advance(self.coded(bin[self.inputs[0]])) * self.sd_ + self.offset_

    def coded(self, counts: np.ndarray) -> np.ndarray:
        """What the first convolution sees of counts (..., n_units): (..., n_levels * n_units) float32."""
        if self.coding == "counts":
            return counts.astype(np.float32)
        return np.concatenate([counts >= level for level in LEVELS[self.coding]], axis=-1).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        learned = super().state() if hasattr(self, "network") else {}
        if self.terms().quantised:
            learned |= {k: WEIGHTS.integers(v) for k, v in learned.items() if k.startswith(PREFIX)}
        kept = {f"{PRETRAINED}{key}:{k}": v for key, weights in self._pretrained.items() for k, v in weights.items()}
        return learned | kept

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        for name in [k for k in state if k.startswith(PRETRAINED)]:
            key, _, weight = name.removeprefix(PRETRAINED).rpartition(":")
            self._pretrained.setdefault(key, {})[weight] = state[name]
        learned = {k: v for k, v in state.items() if not k.startswith(PRETRAINED)}
        if not learned:
            return
        if self.terms().quantised:
            learned |= {k: WEIGHTS.values(v) for k, v in learned.items() if k.startswith(PREFIX)}
        super().restore(learned, sessions)
        if self.terms().quantised:
            put_on_grid(self.network)

    def cost(self, session: SessionInfo) -> Cost:
        """Operations are counted; what is quantised says how narrow its weights are."""
        quantised = self.terms().quantised
        return Cost(bits={PREFIX + name: WEIGHTS.bits for name in self.weights()} if quantised else {})

    @property
    def _n_levels(self) -> int:
        return len(LEVELS.get(self.coding, (1,)))

    def _train(self, parts: Sequence[Sequence[Segment]], scale: "Scale", schedule: Schedule, terms: Terms) -> None:
        self.offset_, self.sd_ = scale.offset, scale.sd
        train(self.network, parts, schedule=schedule, terms=terms, seed=self.seed)
        self._pretrained = {}

    def _schedule(self, session: SessionInfo, *, updates: int, share: float = 1.0) -> Schedule:
        shape = self.shape(session.bin_s)
        return Schedule(
            updates=updates,
            learning_rate=self.learning_rate * share,
            batch_size=self.batch_size,
            window_bins=self.window_keypoints * shape.step_bins,
            warm_up_bins=shape.receptive_bins,
        )

    def _segments(self, recording: Recording, scale: "Scale") -> list[Segment]:
        """Targets stand where they are answered; behind a segment, zeros until its last bin is."""
        rows, n_late = self.coded(recording.inputs.streams[self.inputs[0]]), self.delay().bins
        targets = np.nan_to_num((recording.targets - scale.offset) / scale.sd).astype(np.float32)
        behind, front = ((0, n_late), (0, 0)), ((n_late, 0), (0, 0))
        return [
            Segment(np.pad(rows[s], behind), np.pad(targets[s], front), np.pad(recording.scored[s], front[0]))
            for s in recording.inputs.segments()
        ]

    def _start_scaled(self, session: SessionInfo, segments: Sequence[Segment]) -> None:
        self.start(session)
        if segments:
            scale_to(self.network, max((s.features for s in segments), key=len)[:SCALED_ON_BINS])

    def _load(self, weights: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})


@dataclass(frozen=True)
class Scale:
    """Mean and standard deviation of targets, (n_outputs,) float32 each; 1 where nothing varies."""

    offset: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, recordings: Sequence[Recording]) -> "Scale":
        """Measured on the scored bins of recordings."""
        targets = scored_targets(recordings)
        sd = targets.std(axis=0)
        return cls(targets.mean(axis=0).astype(np.float32), np.where(sd > 0, sd, 1).astype(np.float32))


def _width(session: SessionInfo) -> int:
    return session.streams[KeypointDecoder.inputs[0]].n_channels


def _key(session: SessionInfo) -> str:
    return f"{session.subject}:{_width(session)}:{len(session.outputs)}"


def _split(recording: Recording, share: float) -> tuple[Recording, Recording]:
    """The first share of the bins, and the rest."""
    at = round(share * len(recording))
    first, later = (
        Recording(recording.session, recording.inputs[s], recording.targets[s], recording.scored[s])
        for s in (slice(0, at), slice(at, len(recording)))
    )
    return first, later
