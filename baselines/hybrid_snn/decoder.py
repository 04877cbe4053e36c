"""A decoder around a network of keypoints: training on one session or on many, and streaming."""

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from baselines.count_networks import Corruption
from baselines.features import scored_targets
from baselines.hybrid_snn.network import Front, KeypointNetwork, Readout
from baselines.hybrid_snn.quantise import BUFFERS, WEIGHTS, refuse_inexact_sums
from baselines.hybrid_snn.shape import Shape
from baselines.hybrid_snn.streaming import Answers, FrontBuffer, ReadoutSums, Stream, Units
from baselines.hybrid_snn.training import Terms, put_on_grid, scale_to, train
from baselines.parts import learned_and_held_out, part
from harness import Bin, Cost, Delay, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import PREFIX, Schedule, Segment, TorchDecoder, mean_r2, run

Coding = Literal["binary", "levels", "counts"]
LEVELS = {"binary": (1,), "levels": (1, 2, 3, 4)}
PRETRAINED = "pretrained:"
SCALED_ON_BINS = 5000


@dataclass
class KeypointDecoder(TorchDecoder):
    """Convolutions and poolings, a recurrence at keypoints, answers for every bin.

    Subclasses write `shape`, `recurrence` and its twin `units`; those that wait for later bins set `ahead` to False,
    and `interpolated` says whether an answer lies on the line to the next keypoint, or repeats the last one.

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
    interpolated = False

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

    def delay(self) -> Delay:
        if self.ahead:
            return Delay()
        shape = self.shape(1.0)  # those that wait count kernels in bins, of whatever length
        return Delay(look_ahead_bins=shape.last_bin, interpolation_bins=self.interpolated * (shape.step_bins - 1))

    def build(self, session: SessionInfo) -> KeypointNetwork:
        shape = self.shape(session.bin_s)
        if self.terms().quantised:
            refuse_inexact_sums(shape, _width(session) * self._n_levels, self.n_channels)
        recurrence = self.recurrence(session.bin_s * shape.step_bins)
        n_rows = len(session.outputs) * (shape.step_bins if self.ahead else 1)
        return KeypointNetwork(
            Front(shape, _width(session) * self._n_levels, self.n_channels, dropout=self.dropout),
            recurrence,
            Readout(recurrence.n_hidden, n_rows, leaky=self.leaky),
            corruption=Corruption(self.input_dropout, 0.0),
            ahead=self.ahead,
            interpolated=self.interpolated,
        )

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        """One network for each subject, number of channels and number of outputs; without labels there is none."""
        labelled = [r for r in recordings if r.scored.any()]
        for key in dict.fromkeys(_key(r.session) for r in labelled):
            alike = [r for r in labelled if _key(r.session) == key]
            parts = self._parts_alike(alike)
            self._start_scaled(alike[0].session, parts[0])
            schedule = self._schedule(alike[0].session, updates=self.pretrain_updates)
            train(self.network, parts, schedule=schedule, terms=self.terms().unrounded(), seed=self.seed)
            self._pretrained[key] = self._kept_weights()
        vars(self).pop("network", None)

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        sizes = sorted({_size(r.session) for r in (*train, *validation)})
        if len(sizes) > 1:
            raise HarnessError(
                f"recordings of {'; '.join(map(_told, sizes))} cannot be fitted together by this decoder; "
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
        """Train on; what that gives is kept only where it does better on the last fifth of the labels.

        Targets' scale is measured anew on what is learned from, and it too is kept only if it does better there.
        """
        self._refuse_other_sizes(recording.session)
        learned, held_out = learned_and_held_out(recording)
        given, anew = Scale(self.offset_, self.sd_), Scale.of([learned])
        unmoved, weights = max((given, anew), key=lambda scale: self._score(held_out, scale)), self._kept_weights()
        before = self._score(held_out, unmoved)
        parts = [self._segments(r, anew) for r in (learned, held_out)]
        schedule = self._schedule(recording.session, updates=self.adapt_updates, share=self.fine_tuning)
        if not self._train(parts, anew, schedule, self.terms().rounded_at_once()) > before:
            self._load(weights)
            self.offset_, self.sd_ = unmoved.offset, unmoved.sd

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        # A sum in another order can turn a spike on or off. On the grids sums are exact; elsewhere `step` decides.
        if not self.terms().quantised:
            return super().predict(inputs, session)
        self._refuse_other_sizes(session)
        rows = self.coded(inputs.streams[self.inputs[0]])
        return np.concatenate([run(self.network, rows[s]) for s in inputs.segments()]) * self.sd_ + self.offset_

    def reset(self, session: SessionInfo) -> None:
        self._refuse_other_sizes(session)
        self._stream = self.stream(session, self.weights())

    def stream(self, session: SessionInfo, weights: Mapping[str, np.ndarray]) -> Stream:
        """The network with these weights for one bin at a time, and in their dtype."""
        shape, on_grid = self.shape(session.bin_s), BUFFERS.rounded if self.terms().quantised else None
        return Stream(
            FrontBuffer(part(weights, "front.convolutions."), shape, on_grid),
            self.units(part(weights, "recurrence.")),
            ReadoutSums(part(weights, "readout.")),
            Answers(shape.step_bins, len(session.outputs), ahead=self.ahead, interpolated=self.interpolated),
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

    def _refuse_other_sizes(self, session: SessionInfo) -> None:
        known = self.network.front.convolutions[0].in_channels // self._n_levels, len(self.offset_)
        if _size(session) != known:
            raise HarnessError(
                f"session {session.id} has {_told(_size(session))}, and this network was fitted to {_told(known)}, "
                f"which adapting does not change; fit it on labelled recordings of this session, or choose a decoder "
                f"that adapts to other channels, such as possm or mamba2"
            )

    def _train(self, parts: Sequence[Sequence[Segment]], scale: "Scale", schedule: Schedule, terms: Terms) -> float:
        self.offset_, self.sd_ = scale.offset, scale.sd
        self._pretrained = {}
        return train(self.network, parts, schedule=schedule, terms=terms, seed=self.seed)

    def _score(self, recording: Recording, scale: "Scale") -> float:
        """Mean R2 of the network as it is, in whatever scale: -inf if nothing can be scored."""
        return mean_r2(self.network, self._segments(recording, scale))

    def _parts_alike(self, recordings: Sequence[Recording]) -> list[list[Segment]]:
        """What to learn from and what to hold out, each recording in one scale of its own."""
        cut = [(learned_and_held_out(r), Scale.of([r])) for r in recordings]
        return [[s for halves, scale in cut for s in self._segments(halves[i], scale)] for i in (0, 1)]

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

    def _kept_weights(self) -> dict[str, np.ndarray]:
        return {k: v.copy() for k, v in self.weights().items()}

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


def _size(session: SessionInfo) -> tuple[int, int]:
    return _width(session), len(session.outputs)


def _told(size: tuple[int, int]) -> str:
    return f"{size[0]} channels and {size[1]} outputs"


def _key(session: SessionInfo) -> str:
    return f"{session.subject}:{_width(session)}:{len(session.outputs)}"
