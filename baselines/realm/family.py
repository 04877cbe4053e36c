"""What all decoders of this family share: one encoder, a linear read-out of it, the same answers batch and stream."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch

from baselines.features import History, Standard
from baselines.mamba_backend import backend_note
from baselines.parts import part
from baselines.pretraining import device_to_train_on
from baselines.readout import Embedded, fit_readout, readout_answers
from baselines.realm.encoder import Encoder
from baselines.realm.shape import EncoderShape, Preset, preset_of
from baselines.realm.streaming import EncoderStream
from baselines.realm.windows import padded, voltages
from baselines.ridge import Linear
from harness import Bin, Decoder, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import PREFIX, TorchDecoder, repeatable

READOUT_FRAMES = 11
PENALTIES = tuple(10.0**k for k in range(7))


@dataclass
class RealmFamily(TorchDecoder):
    """An encoder of LFP and a linear read-out; the read-out is a ridge regression unless a subclass says otherwise.

    Mean and gain of a session come from its train part; channels that are constant there are masked. Where a suite has
    no pretraining, `fit` does all earlier stages on the session's own train part. A second `fit` begins where the first
    did, at what the stages before it left.

    preset: "paper", "small" or "tiny", see `baselines.realm.shape.PRESETS`.
    """

    inputs = ("lfp",)
    role: ClassVar[str] = "student"
    preset: str = "small"

    def __post_init__(self) -> None:
        self.network = torch.nn.ModuleDict()
        self._pretrained = self._fitted = self.network

    @property
    def sizes(self) -> Preset:
        """What the preset says."""
        return preset_of(self.preset)

    def shape_of(self, role: str) -> EncoderShape:
        """Sizes of the encoder in this role."""
        return self.sizes.teacher if role == "teacher" else self.sizes.student

    def build(self, session: SessionInfo) -> Any:
        """A new encoder, for as many channels as the preset has, or the session if it has more."""
        return torch.nn.ModuleDict({self.role: self.encoder(self.role, session.streams[self.inputs[0]].n_channels)})

    def encoder(self, role: str, n_channels: int) -> Encoder:
        """A new encoder from torch's generator."""
        shape = self.shape_of(role)
        return Encoder(replace(shape, n_channels=max(shape.n_channels, n_channels))).eval()

    def most_channels(self, recordings: Sequence[Recording]) -> int:
        """Of the sessions of these recordings."""
        return max((r.session.streams[self.inputs[0]].n_channels for r in recordings), default=0)

    def note_scan(self) -> None:
        """Keep what runs the scan of the stage that is learned here; a later stage replaces the note.

        scan_backend_: (n_bytes,) uint8, UTF-8 text of `baselines.mamba_backend.backend_name`.
        """
        self.scan_backend_ = backend_note(device_to_train_on())

    def learn_alone(self, recordings: Sequence[Recording]) -> None:
        """All stages before `fit`, on these recordings alone."""
        parent = self.pretrained_by()
        if parent is not None:
            parent.learn_alone(recordings)
            self.network = parent.network
            self.scan_backend_ = parent.scan_backend_
        self.pretrain(recordings)

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        standard = Standard.of([voltages(r, self.inputs[0]) for r in train], "none")
        self.mean_, self.gain_ = standard.mean, standard.gain
        if self.network is not self._fitted:
            self._pretrained = self.network
        # Fine-tuning trains in place; what it began with must stay.
        self.network = copy.deepcopy(self._pretrained)
        if self.role not in self.network:
            self.learn_alone(train)
        repeatable(self.seed)
        self.network = self._fitted = torch.nn.ModuleDict({self.role: self.network[self.role]}).eval()
        linear = self.learn_answers(train, validation)
        self.readout_, self.intercept_ = linear.weights.astype(np.float32), linear.intercept.astype(np.float32)

    def learn_answers(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Linear:
        """From embeddings to targets; the encoder stays as it is."""
        parts = [[Embedded(self.embed(r.inputs), r) for r in part] for part in (train, validation)]
        return fit_readout(parts[0], parts[1], n_frames=READOUT_FRAMES, penalties=PENALTIES)

    def embed(self, inputs: Inputs) -> np.ndarray:
        """(n_bins, width) float32, each segment on its own."""
        rows, encoder, present = self.rows(inputs), self.network[self.role], torch.from_numpy(self.present)
        with torch.inference_mode():
            found = [encoder(torch.from_numpy(rows[s])[None], present)[0].numpy() for s in inputs.segments()]
        return np.concatenate(found)

    def rows(self, inputs: Inputs) -> np.ndarray:
        """(n_bins, n_channels of the encoder) standardised voltages."""
        values = inputs.streams[self.inputs[0]][:, -1]
        return padded(self.standard(values), self.network[self.role].shape.n_channels)

    @property
    def standard(self) -> Standard:
        """Voltages -> zero mean and unit variance."""
        return Standard(self.mean_, self.gain_, "none")

    @property
    def present(self) -> np.ndarray:
        """(n_channels of the encoder,) float32, 0 where the session has no channel or a constant one."""
        return padded((self.gain_ > 0)[None], self.network[self.role].shape.n_channels)[0]

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        embedding = self.embed(inputs)
        n_frames = self.readout_.shape[1] // embedding.shape[1]
        return readout_answers(Linear(self.readout_, self.intercept_), embedding, inputs.starts, n_frames)

    def reset(self, session: SessionInfo) -> None:
        encoder = self.network[self.role]
        if encoder.shape.both_ways:
            raise HarnessError(f"{type(self).__name__} looks ahead and answers whole recordings only; use predict")
        self._stream = EncoderStream(part(self.weights(), f"{self.role}."), encoder.shape, self.present)
        self._row = np.zeros(encoder.shape.n_channels, np.float32)
        width = encoder.shape.width
        self._history = History(self.readout_.shape[1] // width, width)

    def step(self, bin: Bin) -> np.ndarray:
        row = self.standard(bin[self.inputs[0]][-1])
        self._row[: len(row)] = row
        return self.readout_ @ self._history.push(self._stream.advance(self._row)) + self.intercept_

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        Decoder.restore(self, {k: v for k, v in state.items() if not k.startswith(PREFIX)}, sessions)
        weights = {k: torch.from_numpy(np.array(v)) for k, v in part(state, PREFIX).items()}
        repeatable(self.seed)
        self.network = torch.nn.ModuleDict()
        for role in sorted({key.split(".")[0] for key in weights}):
            merged = weights[f"{role}.tokenizer.merge.weight"].shape[1]
            self.network[role] = self.encoder(role, merged // self.shape_of(role).channel_features)
        self.network.load_state_dict(weights)
        self.network.eval()
