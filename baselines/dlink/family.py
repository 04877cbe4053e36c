"""What teacher and students share: windows, stages, fine-tuning on the session's labels, and how they are kept."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from baselines.dlink.shape import Clock, Preset, preset_of
from baselines.dlink.tuning import learn_labels
from baselines.dlink.windows import Pool, pool_of
from baselines.parts import learned_and_held_out, part
from baselines.pretraining import Recipe
from harness import Decoder, HarnessError, Recording, SessionInfo
from harness.torch_decoder import PREFIX, TorchDecoder, repeatable

ALONE_SHARE = 0.3
"""Of updates and epochs where the stages before `fit` are done in it, for want of pretraining."""


@dataclass
class DlinkFamily(TorchDecoder):
    """A network that is pretrained on other subjects and fine-tuned on the session's labels.

    Where a suite has no pretraining, `fit` does all earlier stages on its own train part, shortened. A second `fit`
    begins where the first did, at what the stages before it left.

    preset: "paper", "small" or "tiny", see `baselines.dlink.shape.PRESETS`.
    """

    inputs = ("eeg",)
    role: ClassVar[str] = "student"
    preset: str = "small"

    def __post_init__(self) -> None:
        self.network = torch.nn.ModuleDict()
        self._pretrained = self._fitted = self.network
        self._shortened = 1.0

    @property
    def sizes(self) -> Preset:
        """What the preset says."""
        return preset_of(self.preset)

    def recipe(self, whole: Recipe) -> Recipe:
        """A stage's recipe, shortened where it is done inside `fit`."""
        updates, epochs = (max(1, round(self._shortened * n)) for n in (whole.updates, whole.most_epochs))
        return replace(whole, updates=updates, most_epochs=epochs)

    def build(self, session: SessionInfo) -> Any:
        """A new network in the decoder's role, with a head for the session's classes."""
        raise NotImplementedError

    def answering(self, network: Any) -> Any:
        """The module that gives scores, (batch, n_samples, n_channels) windows -> (batch, n_classes)."""
        raise NotImplementedError

    def learn_alone(self, recordings: Sequence[Recording]) -> None:
        """All stages before `fit`, on these recordings alone and shortened."""
        self._shortened = ALONE_SHARE
        parent = self.pretrained_by()
        if isinstance(parent, DlinkFamily):
            parent.learn_alone(recordings)
            self.network = parent.network
        self.pretrain(recordings)
        self._shortened = 1.0

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        if self.network is not self._fitted:
            self._pretrained = self.network
        # Fine-tuning trains in place; what it began with must stay.
        self.network = copy.deepcopy(self._pretrained)
        clock, session = Clock.of(train[0].session, self.sizes), train[0].session
        pool = self.labelled(train, validation, clock)
        if not len(pool.learned):
            raise HarnessError(f"no bin of the {len(train)} training recordings is labelled; DLink fits classes")
        if not self.is_whole(self.network):
            self.learn_alone(train)
        repeatable(self.seed)
        if not self.is_whole(self.network):
            self.complete(session)
        self._check_channels(session)
        self.tune(pool, self.sizes.fitting)
        self.network = self._fitted = self.network.eval()

    def adapt(self, recording: Recording) -> None:
        """A few small updates on the labelled trials of a new subject; what was there stays if they do not help."""
        learned, held_out = learned_and_held_out(recording)
        clock = Clock.of(recording.session, self.sizes)
        pool = self.labelled([learned], [held_out] if len(held_out) else [], clock)
        self._check_channels(recording.session)
        if len(pool.learned):
            repeatable(self.seed)
            self.tune(pool, self.sizes.adapting)

    def labelled(self, learned: Sequence[Recording], held_out: Sequence[Recording] | None, clock: Clock) -> Pool:
        """Windows of labelled trials."""
        return pool_of(learned, held_out, clock, stride_s=self.sizes.stride_s, labelled=True)

    def tune(self, pool: Pool, recipe: Recipe) -> None:
        """Train the whole network on labels, in place."""
        learn_labels(self.answering(self.network), pool, recipe, seed=self.seed, checkpoint=Decoder.checkpoint)

    def is_whole(self, network: Any) -> bool:
        """Whether the network can give scores."""
        return self.role in network

    def complete(self, session: SessionInfo) -> None:
        """Add new parts where the stages before `fit` made none."""
        self.network = self.build(session)

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        Decoder.restore(self, {k: v for k, v in state.items() if not k.startswith(PREFIX)}, sessions)
        weights = {k: torch.from_numpy(np.array(v)) for k, v in part(state, PREFIX).items()}
        self.network = torch.nn.ModuleDict()
        for role in sorted({key.split(".")[0] for key in weights}):
            repeatable(self.seed)
            self.network[role] = self.module(role, sessions[0])
        self.network.load_state_dict(weights)
        self.network.eval()

    def module(self, role: str, session: SessionInfo) -> Any:
        """A new part of the network, by its role."""
        raise NotImplementedError

    def channels_of(self, network: Any) -> int:
        """Channels that the network was built for."""
        raise NotImplementedError

    def _check_channels(self, session: SessionInfo) -> None:
        given, wanted = session.streams["eeg"].n_channels, self.channels_of(self.network)
        if given != wanted:
            raise HarnessError(
                f"session {session.id} has {given} channels of EEG and the network was pretrained with {wanted}; "
                f"give sessions of one montage, or fit without pretraining"
            )
