"""What these decoders share: EEG through a causal front, a network that sees the last two seconds at every bin."""

import abc
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from baselines.eeg_networks.front import STREAM, Band, Front, usual_power
from baselines.eeg_networks.trials import Reach, Trials, cut
from harness import Bin, HarnessError, Recording, SessionInfo
from harness.torch_decoder import TorchDecoder

if TYPE_CHECKING:
    from baselines.eeg_networks.training import Recipe

SHARE_TO_TUNE_ON = 0.75
"""Of the trials that `adapt` is given; the rest decide whether what was learned is kept."""
TUNING_UPDATES, TUNING_RATE = 40, 0.1
"""How `adapt` learns; the rate is a share of the learning rate."""


class Stream(Protocol):
    """A network for one run, in NumPy."""

    def advance(self, samples: np.ndarray) -> np.ndarray:
        """(n_new, n_channels) -> (n_classes,) logarithms of probabilities."""


@dataclass
class WindowNetwork(TorchDecoder):
    """A network of windows. Subclasses write `build` and `stream`.

    The module that `build` makes has, beside `forward`, `measure(trials)`, called before training, and `constrain()`,
    called after every update. Answers are logarithms of the classes' probabilities given the window that ends with
    the bin; before a run there are zeros.

    window_s: What the network sees.
    low_hz, high_hz: Pass band of the causal filter before it.
    dropout: As published for the network.
    updates, epochs: Training ends with whichever comes first.
    batch_size: Windows in an update.
    learning_rate: Peak of one cycle.
    """

    inputs = (STREAM,)
    steps_in_numpy = True
    window_s: float = 2.0
    low_hz: float = 4.0
    high_hz: float = 38.0
    dropout: float = 0.5
    updates: int = 500
    epochs: int = 120
    batch_size: int = 32
    learning_rate: float = 3e-3

    @abc.abstractmethod
    def stream(self, session: SessionInfo) -> Stream:
        """The fitted network for one run."""

    def sizes(self, session: SessionInfo) -> tuple[int, int, float]:
        """Channels, samples in a window, and the rate in Hz."""
        band = self.band(session)
        return session.streams[STREAM].n_channels, round(self.window_s * band.rate_hz), band.rate_hz

    def band(self, session: SessionInfo) -> Band:
        """The pass band at this session's rate."""
        return Band.of(session, self.low_hz, self.high_hz)

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        from baselines.eeg_networks.training import learn

        session = self._fitted_for = train[0].session
        self.power_ = usual_power(train, self.band(session))
        self.start(session)
        trials, held_out = self.trials(train), self.trials(validation)
        self.network.measure(trials)
        learn(self.network, trials, held_out, recipe=self._recipe(), seed=self.seed)

    def adapt(self, recording: Recording) -> None:
        """Tune on most of the trials, and keep that if the last ones are then told apart no worse than before.

        What batches were normalised by stays as it is: a few trials could not measure it.
        """
        from baselines.eeg_networks.training import held_out_loss, learn

        self._refuse_other(recording.session)
        trials = self.trials([recording])
        n_learned = int(SHARE_TO_TUNE_ON * len(trials))
        if not 0 < n_learned < len(trials):
            return
        recipe = replace(
            self._recipe(), updates=TUNING_UPDATES, learning_rate=TUNING_RATE * self.learning_rate, frozen=True
        )
        before = copy.deepcopy(self.network.state_dict())
        loss_before = held_out_loss(self.network, trials[n_learned:])
        if not learn(self.network, trials[:n_learned], trials[n_learned:], recipe=recipe, seed=self.seed) < loss_before:
            self.network.load_state_dict(before)

    def reset(self, session: SessionInfo) -> None:
        self._refuse_other(session)
        self._front, self._stream = Front(self.band(session), np.asarray(self.power_)), self.stream(session)

    def step(self, bin: Bin) -> np.ndarray:
        return self._stream.advance(self._front.advance(bin[STREAM]))

    def trials(self, recordings: Sequence[Recording]) -> Trials:
        """What can be learned from, filtered and scaled as in `step`."""
        like = recordings[0].session if recordings else self._fitted_for
        reach = Reach.of(self.sizes(like)[1], like.bin_s)
        return cut(recordings, self.band(like), self.power_, reach)

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore(state, sessions)
        self._fitted_for = sessions[0]

    def _recipe(self) -> "Recipe":
        from baselines.eeg_networks.training import Recipe

        return Recipe(self.updates, self.epochs, self.batch_size, self.learning_rate)

    def _refuse_other(self, session: SessionInfo) -> None:
        n_given, n_fitted, outputs = session.streams[STREAM].n_channels, len(self.power_), self._fitted_for.outputs
        if n_given != n_fitted or len(session.outputs) != len(outputs):
            raise HarnessError(
                f"session {session.id} has {n_given} channels and classes {', '.join(session.outputs)}, but this "
                f"network was fitted for {n_fitted} channels and classes {', '.join(outputs)}; fit the session"
            )
