"""What all decoders of this family are: a frozen encoder of one signal, and a linear read-out of its latents."""

import abc
import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from baselines.crossmodal.encoder import Encoder
from baselines.crossmodal.masking import Predictor
from baselines.crossmodal.shape import Preset, Shape, Signal, preset_named
from baselines.crossmodal.stages import embedded
from baselines.crossmodal.tokens import ConvOver
from baselines.features import in_bins
from baselines.parts import part
from baselines.readout import Embedded, fit_readout, readout_answers
from baselines.ridge import Linear
from baselines.sessions import session_key
from harness import Bin, Decoder, Delay, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import PREFIX, repeatable

PENALTIES = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
"""For sums over bins of squares of latents, which are about 1 each."""
SIGNAL_OF: Mapping[str, Signal] = {"teacher": "spikes", "student": "lfp"}


@dataclass
class Latent(Decoder):
    """A transformer's latents, read out linearly.

    With full attention (`causal = False`) an answer speaks of a bin inside of a window of `window_s` and comes when
    the window is over: that is its latency.

    preset: Sizes and training lengths: paper, small or tiny; see `baselines.crossmodal.shape`.
    window_s: None: the preset's.
    conv_over: How tokens of LFP look back: "time" or "flat"; see `baselines.crossmodal.tokens.LfpTokens`.
    """

    causal: ClassVar[bool] = False
    answering: ClassVar[str] = "student"
    preset: str = "small"
    window_s: float | None = None
    conv_over: ConvOver = "time"
    seed: int = 0

    def delay(self) -> Delay:
        return Delay() if self.causal else Delay(window_s=self.settings.window_s)

    @abc.abstractmethod
    def learn_session(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Encoder:
        """The encoder of this session, from what `pretrain` left and the session's own recordings."""

    @abc.abstractmethod
    def values(self, inputs: Inputs) -> np.ndarray:
        """What the encoder reads: (n_bins, n_channels) float32."""

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        sessions = {r.session.id for r in (*train, *validation)}
        if len(sessions) != 1:
            raise HarnessError(
                f"{type(self).__name__} was given sessions {', '.join(sorted(sessions))} to fit together, and has one "
                f"encoder for one session; fit each session on its own (fit: each)"
            )
        repeatable(self.seed)
        self.network = self._as_pretrained()
        encoder = self.learn_session(train, validation)
        self.network = self._fitted = torch.nn.ModuleDict({self.answering: encoder}).eval()
        parts = [[Embedded(self.embedding(r.inputs), r) for r in part] for part in (train, validation)]
        linear = fit_readout(parts[0], parts[1], n_frames=1, penalties=PENALTIES)
        self.readout_, self.intercept_ = linear.weights.astype(np.float32), linear.intercept.astype(np.float32)

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        linear = Linear(self.readout_, self.intercept_)
        return readout_answers(linear, self.embedding(inputs), inputs.starts, 1).astype(np.float32)

    def reset(self, session: SessionInfo) -> None:
        raise HarnessError(f"{type(self).__name__} sees whole windows and has no steps; use predict (offline track)")

    def step(self, bin: Bin) -> np.ndarray:
        raise HarnessError(f"{type(self).__name__} sees whole windows and has no steps; use predict (offline track)")

    def embedding(self, inputs: Inputs) -> np.ndarray:
        """Latents of a recording of the fitted session, (n_bins, width)."""
        encoder = self.network[self.answering]
        (key,) = encoder.places
        window_bins = in_bins(self.settings.window_s, inputs.bin_s)
        return embedded(encoder, self.values(inputs), inputs.segments(), key=key, window_bins=window_bins)

    @property
    def settings(self) -> Preset:
        """The preset, with the window that was asked for."""
        preset = preset_named(self.preset)
        return preset if self.window_s is None else dataclasses.replace(preset, window_s=self.window_s)

    def encoder(self, signal: Signal, n_patches: Mapping[str, int], bin_s: float) -> Encoder:
        """A new encoder; of LFP a causal one if this decoder is causal."""
        causal = self.causal and signal == "lfp"
        context_bins = in_bins(self.settings.context_s, bin_s) if causal else None
        return Encoder(self.settings.shape, signal, n_patches, context_bins=context_bins, over=self.conv_over)

    def _as_pretrained(self) -> Any:
        """A copy of what the stages before `fit` left, so that a second `fit` begins where the first one did."""
        network = getattr(self, "network", torch.nn.ModuleDict())
        if network is not getattr(self, "_fitted", None):
            self._pretrained = network
        return copy.deepcopy(self._pretrained)

    def part(self, name: str) -> Any:
        """A network that an earlier stage left, or None."""
        return dict(getattr(self, "network", {}).items()).get(name)

    def elders(self, session: SessionInfo) -> list[str]:
        """Keys of the pretraining sessions of this subject, the nearest last.

        That is the last one before the session by name, and the first one after it where none comes before.
        """
        own = session_key(session)
        known = sorted(key for key, subject in getattr(self, "subjects", {}).items() if subject == session.subject)
        before, after = [key for key in known if key < own], [key for key in known if key >= own]
        return [*reversed(after), *before]

    def remember(self, sessions: Sequence[SessionInfo]) -> None:
        """Note whose sessions these are."""
        self.subjects = {session_key(s): s.subject for s in sessions}

    def state(self) -> dict[str, np.ndarray]:
        network = getattr(self, "network", torch.nn.ModuleDict())
        weights = {PREFIX + k: v.detach().cpu().numpy() for k, v in network.state_dict().items()}
        return super().state() | weights

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        super().restore({k: v for k, v in state.items() if not k.startswith(PREFIX)}, sessions)
        repeatable(self.seed)
        self.remember(sessions)
        weights = part(state, PREFIX)
        names = sorted({name.partition(".")[0] for name in weights})
        built = {name: self._built(name, part(weights, f"{name}."), sessions[0].bin_s) for name in names}
        self.network = torch.nn.ModuleDict(built).eval()

    def _built(self, name: str, weights: Mapping[str, np.ndarray], bin_s: float) -> Any:
        """A network from its weights: what a session's shapes do not tell, the tables of places do."""
        role, _, use = name.partition("_")
        signal = SIGNAL_OF[role]
        tables = {key: len(table) for key, table in part(weights, "places.").items()}
        made = Predictor(self.shape, signal) if use else self.encoder(signal, tables, bin_s)
        made.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        return made

    @property
    def shape(self) -> Shape:
        return self.settings.shape
