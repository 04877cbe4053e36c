"""What the networks share: counts in, standardised targets out, the training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from baselines.features import Standard, Transform, scored_targets
from baselines.parts import learned_and_held_out
from harness import Inputs, Recording, SessionInfo
from harness.torch_decoder import TorchDecoder

if TYPE_CHECKING:
    from harness.torch_training import Segment


@dataclass
class CountsNetwork(TorchDecoder):
    """A network on standardised square-root counts. Subclasses write `build`, `reset` and a `step` in NumPy.

    transform: What is done to counts first; a subclass that reads something else says "none".

    hidden: Units of a hidden layer.
    input_dropout, noise: Share of counts hidden, and standard deviation of what is added to them, in training.
    dropout: Share of the last hidden layer that is hidden in training.
    updates, learning_rate, batch_size, window_bins: See `harness.torch_decoder.Schedule`.
    """

    inputs = ("spikes",)
    transform: ClassVar[Transform] = "sqrt"
    hidden: int = 128
    input_dropout: float = 0.4
    noise: float = 0.0
    dropout: float = 0.3
    updates: int = 300
    learning_rate: float = 6e-3
    batch_size: int = 16
    window_bins: int = 100

    def warm_up_bins(self, bin_s: float) -> int:
        """Bins before a training window that the network sees and the loss does not."""
        return 0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        targets = scored_targets(train)
        sd = targets.std(axis=0)
        self.offset_ = targets.mean(axis=0).astype(np.float32)
        self.sd_ = np.where(sd > 0, sd, 1).astype(np.float32)
        standard = Standard.of([r.inputs.streams[self.inputs[0]] for r in train], self.transform)
        self.mean_, self.gain_ = standard.mean, standard.gain
        self._train(train, validation)

    def adapt(self, recording: Recording) -> None:
        """Fit on the minutes given alone: what a lab without earlier sessions would do."""
        learned, held_out = learned_and_held_out(recording)
        self.fit([learned], [held_out])

    def _train(self, recordings: Sequence[Recording], validation: Sequence[Recording]) -> None:
        from harness.torch_training import Schedule, train

        session = recordings[0].session
        schedule = Schedule(
            updates=self.updates,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            window_bins=self.window_bins,
            warm_up_bins=self.warm_up_bins(session.bin_s),
        )
        self.start(session)
        parts = [[s for r in part for s in self._segments(r)] for part in (recordings, validation)]
        train(self.network, parts[0], parts[1], schedule=schedule, seed=self.seed)

    def _segments(self, recording: Recording) -> "list[Segment]":
        from harness.torch_training import Segment

        features = self.standard(recording.inputs.streams[self.inputs[0]])
        targets = np.nan_to_num((recording.targets - self.offset_) / self.sd_).astype(np.float32)
        return [Segment(features[s], targets[s], recording.scored[s]) for s in recording.inputs.segments()]

    @property
    def standard(self) -> Standard:
        """The features of one bin or of many."""
        return Standard(self.mean_, self.gain_, self.transform)

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        from harness.torch_training import run

        features = self.standard(inputs.streams[self.inputs[0]])
        answers = [run(self.network, features[s]) for s in inputs.segments()]
        return np.concatenate(answers) * self.sd_ + self.offset_
