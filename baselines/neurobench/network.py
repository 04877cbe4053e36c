"""What these decoders share: counts as they are, standardised targets, one network per subject to start from."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias
from urllib.parse import quote, unquote

import numpy as np
import torch

from baselines.choose import mean_r2
from baselines.features import in_bins, scored_targets
from baselines.parts import learned_and_held_out
from harness import Decoder, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import PREFIX, Schedule, Segment, TorchDecoder, run, train

Key: TypeAlias = tuple[str, int, tuple[str, ...]]
"""Subject, number of units, and outputs: sessions that can share a network."""
PRETRAINED = "pretrained/"
FINE_TUNING = 0.3
"""Of the learning rate, where a network has been trained before."""
MOST_EPOCHS = 150
"""Passes of `adapt` over its minutes, which else would be gone through far more often than a recording is."""


@dataclass(frozen=True)
class Look:
    """What a decoder knows at one time, and how it does with it.

    score: Mean R2 over outputs on held-out bins; -inf if nothing there can be scored.
    scale: (2, n_outputs) offset and standard deviation of the targets.
    weights: Those of the network.
    """

    score: float
    scale: np.ndarray
    weights: Mapping[str, np.ndarray]


@dataclass
class CountsDecoder(TorchDecoder):
    """A network on counts as they come. Subclasses write `build`, `reset` and a `step` in NumPy.

    updates, learning_rate, batch_size: See `harness.torch_decoder.Schedule`.
    excerpt_s: Length of the training excerpts.
    """

    inputs = ("spikes",)
    updates: int = 400
    learning_rate: float = 6e-3
    batch_size: int = 16
    excerpt_s: float = 2.0

    def __post_init__(self) -> None:
        self._pretrained: dict[Key, dict[str, np.ndarray]] = {}

    def warm_up_bins(self, bin_s: float) -> int:
        """Bins before an excerpt that the network sees and the loss does not."""
        return 0

    def begin(self, counts: Sequence[np.ndarray]) -> None:
        """Fit a new network to the size of its inputs, (n_bins, n_units) each; nothing by default."""

    def learn(self, segments: list[Segment], validation: list[Segment], schedule: Schedule) -> None:
        """Train `self.network` in place."""
        train(self.network, segments, validation, schedule=schedule, seed=self.seed)

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        keys = {key_of(r.session): None for r in recordings if r.scored.any()}
        for key in keys:
            self._fit_new([r for r in recordings if key_of(r.session) == key and r.scored.any()], [])
            self._pretrained[key] = {name: array.copy() for name, array in self.weights().items()}

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        widths = sorted({n_units(r.session) for r in train})
        outputs = sorted({", ".join(r.session.outputs) for r in train})
        if len(widths) > 1 or len(outputs) > 1:
            raise HarnessError(
                f"recordings of {widths} channels and outputs {outputs} cannot be fitted together by this decoder; "
                f"fit each session on its own (fit: each)"
            )
        known = self._pretrained.get(key_of(train[0].session))
        if known is None:
            self._fit_new(train, validation)
        else:
            self._fit_further(known, train, validation)
        self._pretrained = {}

    def adapt(self, recording: Recording) -> None:
        """Learn on from what was fitted, and keep what does best on the last fifth of the minutes.

        There are three to choose from: what was fitted; the same with the targets' scale measured anew; trained on.
        """
        self.reset(recording.session)  # refuses sessions that the network does not fit
        learned, held_out = learned_and_held_out(recording)
        self._start_from(self._look(recording, len(learned)).weights, recording.session)
        looks = [self._look(recording, len(learned))]
        self._measure([learned])
        looks.append(self._look(recording, len(learned)))
        self.learn(self._segments([learned]), self._segments([held_out]), self._short_schedule(learned))
        looks.append(self._look(recording, len(learned)))
        best = max(looks, key=lambda look: look.score)
        self.offset_, self.sd_ = best.scale
        self._load(best.weights)

    def reset(self, session: SessionInfo) -> None:
        fitted = self._fitted_for
        if (n_units(session), session.outputs) != (n_units(fitted), fitted.outputs):
            raise HarnessError(
                f"session {session.id} has {n_units(session)} channels and outputs {', '.join(session.outputs)}, but "
                f"this network was fitted for {n_units(fitted)} channels and outputs {', '.join(fitted.outputs)}; "
                f"fit the session, or choose a decoder that adapts to other channels, such as mamba2"
            )

    def start(self, session: SessionInfo) -> None:
        super().start(session)
        self._fitted_for = session

    def _fit_new(self, recordings: Sequence[Recording], validation: Sequence[Recording]) -> None:
        self._measure(recordings)
        self.start(recordings[0].session)
        self.begin([r.inputs.streams[self.inputs[0]] for r in recordings])
        schedule = self._schedule(recordings[0].session, 1.0)
        self.learn(self._segments(recordings), self._segments(validation), schedule)

    def _fit_further(
        self, known: Mapping[str, np.ndarray], recordings: Sequence[Recording], validation: Sequence[Recording]
    ) -> None:
        self._measure(recordings)
        self._start_from(known, recordings[0].session)
        schedule = self._schedule(recordings[0].session, FINE_TUNING)
        self.learn(self._segments(recordings), self._segments(validation), schedule)

    def _start_from(self, weights: Mapping[str, np.ndarray], session: SessionInfo) -> None:
        self.start(session)
        self._load(weights)

    def _load(self, weights: Mapping[str, np.ndarray]) -> None:
        self.network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})

    def _look(self, recording: Recording, first: int) -> Look:
        """At this moment, judged by the bins from `first` on."""
        late = recording.scored & (np.arange(len(recording)) >= first)
        answers = CountsDecoder.predict(self, recording.inputs, recording.session)
        score = mean_r2(recording.targets[late], answers[late]) if late.any() else -math.inf
        weights = {name: array.copy() for name, array in self.weights().items()}
        return Look(score, np.stack([self.offset_, self.sd_]), weights)

    def _measure(self, recordings: Sequence[Recording]) -> None:
        targets = scored_targets(recordings)
        sd = targets.std(axis=0)
        self.offset_ = targets.mean(axis=0).astype(np.float32)
        self.sd_ = np.where(sd > 0, sd, 1).astype(np.float32)

    def _schedule(self, session: SessionInfo, rate: float) -> Schedule:
        return Schedule(
            updates=self.updates,
            learning_rate=rate * self.learning_rate,
            batch_size=self.batch_size,
            window_bins=in_bins(self.excerpt_s, session.bin_s),
            warm_up_bins=self.warm_up_bins(session.bin_s),
        )

    def _short_schedule(self, recording: Recording) -> Schedule:
        schedule = self._schedule(recording.session, FINE_TUNING)
        n_batches = math.ceil(len(recording) / (schedule.window_bins * schedule.batch_size))
        return replace(schedule, updates=min(schedule.updates, MOST_EPOCHS * n_batches))

    def _segments(self, recordings: Sequence[Recording]) -> list[Segment]:
        return list(itertools.chain.from_iterable(map(self._segments_of, recordings)))

    def _segments_of(self, recording: Recording) -> Iterator[Segment]:
        counts = recording.inputs.streams[self.inputs[0]].astype(np.float32)
        targets = np.nan_to_num((recording.targets - self.offset_) / self.sd_).astype(np.float32)
        return (Segment(counts[s], targets[s], recording.scored[s]) for s in recording.inputs.segments())

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        counts = inputs.streams[self.inputs[0]].astype(np.float32)
        CountsDecoder.reset(self, session)
        return np.concatenate([run(self.network, counts[s]) for s in inputs.segments()]) * self.sd_ + self.offset_

    def state(self) -> dict[str, np.ndarray]:
        if not self._pretrained:
            return super().state() if hasattr(self, "network") else Decoder.state(self)
        return {PRETRAINED + packed(key, k): v for key, weights in self._pretrained.items() for k, v in weights.items()}

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        learned = {name: array for name, array in state.items() if name.startswith(PRETRAINED)}
        if any(name.startswith(PREFIX) for name in state):
            super().restore(state, sessions)
        for name, array in learned.items():
            key, weight = unpacked(name.removeprefix(PRETRAINED))
            self._pretrained.setdefault(key, {})[weight] = np.array(array)


def n_units(session: SessionInfo) -> int:
    """Channels of the spikes."""
    return session.streams["spikes"].n_channels


def key_of(session: SessionInfo) -> Key:
    """Whose sessions may share a network."""
    return session.subject, n_units(session), session.outputs


def packed(key: Key, name: str) -> str:
    """A weight and whose it is, as one name; what is between slashes holds none itself."""
    subject, n, outputs = key
    return "/".join([str(n), quote(subject, safe=""), ",".join(quote(o, safe="") for o in outputs), name])


def unpacked(name: str) -> tuple[Key, str]:
    """Undo `packed`."""
    n, subject, outputs, weight = name.split("/")
    return (unquote(subject), int(n), tuple(map(unquote, outputs.split(",")))), weight
