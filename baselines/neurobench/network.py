"""What these decoders share: counts as they are, standardised targets, one network per subject to start from."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from baselines.features import in_bins, scored_targets
from harness import HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import Schedule, Segment, TorchDecoder, run, train

Key: TypeAlias = tuple[str, int]
"""Subject and number of units: sessions that can share a network."""
PRETRAINED = "pretrained/"
FINE_TUNING = 0.3
"""Of the learning rate, where a network has been trained before."""


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
        if len(widths) > 1:
            raise HarnessError(
                f"recordings of {widths} channels cannot be fitted together by this decoder; "
                f"fit each session on its own (fit: each)"
            )
        known = self._pretrained.get(key_of(train[0].session))
        if known is None:
            self._fit_new(train, validation)
        else:
            self._fit_further(known, train, validation)
        self._pretrained = {}

    def adapt(self, recording: Recording) -> None:
        fitted = {name: array.copy() for name, array in self.weights().items()}
        self._start_from(fitted, recording.session)
        self.learn(self._segments([recording]), [], self._schedule(recording.session, FINE_TUNING))

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
        shapes = {name: array.shape for name, array in self.weights().items()}
        for name, array in weights.items():
            if array.shape != shapes[name]:
                raise HarnessError(
                    f"session {session.id} has {n_units(session)} channels, for which {name} would be {shapes[name]}, "
                    f"but the fitted one is {array.shape}; adapt to sessions of as many channels, or fit anew"
                )
        self.network.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in weights.items()})

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

    def _segments(self, recordings: Sequence[Recording]) -> list[Segment]:
        return list(itertools.chain.from_iterable(map(self._segments_of, recordings)))

    def _segments_of(self, recording: Recording) -> Iterator[Segment]:
        counts = recording.inputs.streams[self.inputs[0]].astype(np.float32)
        targets = np.nan_to_num((recording.targets - self.offset_) / self.sd_).astype(np.float32)
        return (Segment(counts[s], targets[s], recording.scored[s]) for s in recording.inputs.segments())

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        counts = inputs.streams[self.inputs[0]].astype(np.float32)
        return np.concatenate([run(self.network, counts[s]) for s in inputs.segments()]) * self.sd_ + self.offset_

    def state(self) -> dict[str, np.ndarray]:
        if not self._pretrained:
            return super().state()
        return {
            f"{PRETRAINED}{n}/{subject}/{name}": array
            for (subject, n), weights in self._pretrained.items()
            for name, array in weights.items()
        }

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        learned = {name: array for name, array in state.items() if name.startswith(PRETRAINED)}
        if not learned:
            super().restore(state, sessions)
        for name, array in learned.items():
            n, _, rest = name.removeprefix(PRETRAINED).partition("/")
            subject, _, weight = rest.rpartition("/")
            self._pretrained.setdefault((subject, int(n)), {})[weight] = np.array(array)


def n_units(session: SessionInfo) -> int:
    """Channels of the spikes."""
    return session.streams["spikes"].n_channels


def key_of(session: SessionInfo) -> Key:
    """Whose sessions may share a network."""
    return session.subject, n_units(session)


def footprint_bytes(network: Any) -> int:
    """Bytes of all parameters and buffers, as NeuroBench 2.3 counts them (Yik et al. 2025)."""
    return sum(array.numel() * array.element_size() for array in (*network.parameters(), *network.buffers()))
