"""Networks that learn from several sessions at once: a linear read-in for each session, one core for all of them.

Sessions differ in their units, and so in what a column of counts means; how the population's activity unfolds in a
movement they share. A session's own part is its standardisation and read-in, together its `Port`. A subclass says what
the core is, in PyTorch (`core`) and as a streaming step in NumPy (`stream`).
"""

import abc
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from baselines.count_networks import Corruption
from baselines.features import Standard, scored_targets
from baselines.network import CountsNetwork
from baselines.parts import learned_and_held_out, part
from harness import Bin, Decoder, HarnessError, Inputs, Recording, SessionInfo
from harness.torch_decoder import PREFIX, Schedule, Segment, mean_r2, repeatable, run, train

MOST_EPOCHS = 150
"""Passes over the training material: a few minutes of it need fewer updates than an hour."""


class Stream(Protocol):
    """A core for one bin at a time; a fresh one has forgotten everything. `baselines.recurrent.Cell` is one."""

    def advance(self, row: np.ndarray) -> np.ndarray:
        """(width,) -> (width,)."""


class Port(torch.nn.Linear):
    """What is a session's own: mean and gain of its counts, offset and scale of its targets, and the read-in."""

    def __init__(self, n_units: int, width: int, n_outputs: int):
        super().__init__(n_units, width)
        for name, array in (("mean", torch.zeros(n_units)), ("gain", torch.ones(n_units))):
            self.register_buffer(name, array)
        for name, array in (("offset", torch.zeros(n_outputs)), ("sd", torch.ones(n_outputs))):
            self.register_buffer(name, array)

    def measure(self, recordings: Sequence[Recording], stream: str) -> None:
        """Take the standardisation from these recordings of the session."""
        targets = scored_targets(recordings)
        sd = targets.std(axis=0)
        counts = Standard.of([r.inputs.streams[stream] for r in recordings], "sqrt")
        measured = counts.mean, counts.gain, targets.mean(axis=0), np.where(sd > 0, sd, 1)
        for buffer, array in zip((self.mean, self.gain, self.offset, self.sd), measured, strict=True):
            buffer.copy_(torch.from_numpy(array))

    @property
    def standard(self) -> Standard:
        """The features of one bin or of many."""
        return Standard(self.mean.numpy(), self.gain.numpy(), "sqrt")


class SessionsNetwork(torch.nn.Module):
    """Standardised counts of any held session -> its read-in -> the core -> the head of its outputs.

    Features are (batch, n_bins, most units + 1): narrower sessions are padded, and the last column says by its
    position whose they are, so that one batch can mix sessions. Answers are padded to the most outputs.

    width: Of the core. port: (n_units, n_outputs) -> what is a session's own; a `Port` into the core if None.
    """

    def __init__(
        self,
        sessions: Sequence[SessionInfo],
        core: Any,
        *,
        width: int,
        corruption: Corruption,
        stream: str,
        port: Callable[[int, int], Any] | None = None,
    ):
        super().__init__()
        port = port or (lambda n_units, n_outputs: Port(n_units, width, n_outputs))
        self.corruption, self.core = corruption, core
        self.ports, self.heads = torch.nn.ModuleDict(), torch.nn.ModuleDict()
        self.head_of = [outputs_key(s) for s in sessions]
        for s in sessions:
            self.ports[session_key(s)] = port(s.streams[stream].n_channels, len(s.outputs))
            if outputs_key(s) not in self.heads:
                self.heads[outputs_key(s)] = torch.nn.Linear(width, len(s.outputs))

    @property
    def n_features(self) -> int:
        """Columns of the features: the most units, and one that says whose they are."""
        return 1 + max(port.in_features for port in self.ports.values())

    @property
    def n_outputs(self) -> int:
        """Columns of the answers."""
        return max(head.out_features for head in self.heads.values())

    def forward(self, x: Any) -> Any:
        who = x[:, 0, -1].long()
        row = self.core(_linear(self.corruption(x[..., :-1]), list(self.ports.values()), who, self.n_features - 1))
        return _linear(row, [self.heads[key] for key in self.head_of], who, row.shape[-1], self.n_outputs)

    def pack(self, features: np.ndarray, key: str) -> np.ndarray:
        """(n_bins, n_units) of a session -> (n_bins, n_features), as `forward` wants them."""
        packed = np.zeros((len(features), self.n_features), np.float32)
        packed[:, : features.shape[1]] = features
        packed[:, -1] = list(self.ports).index(key)
        return packed


def _linear(x: Any, layers: Sequence[Any], who: Any, n_inputs: int, n_outputs: int | None = None) -> Any:
    """Each row of the batch through the layer of its session, all padded to one shape."""
    if len(layers) == 1:
        return layers[0](x)
    n_outputs = n_outputs or layers[0].out_features
    pads = [(0, n_inputs - layer.in_features, 0, n_outputs - layer.out_features) for layer in layers]
    weights = [torch.nn.functional.pad(layer.weight, pad) for layer, pad in zip(layers, pads, strict=True)]
    biases = [torch.nn.functional.pad(layer.bias, pad[2:]) for layer, pad in zip(layers, pads, strict=True)]
    return torch.baddbmm(torch.stack(biases)[who][:, None], x, torch.stack(weights)[who].transpose(1, 2))


@dataclass
class MultiSession(CountsNetwork):
    """A core over one session or many. Subclasses write `core` and `stream`.

    hidden: Width of the core.
    pretrain_updates: Length of `pretrain`.
    read_in_updates: Updates of a new session's read-in, with everything that was learned before held still.
    fine_tuning: Learning rate over `learning_rate` for a core that was pretrained.
    """

    hidden: int = 64
    pretrain_updates: int = 600
    read_in_updates: int = 100
    fine_tuning: float = 0.3

    def windows(self, bin_s: float) -> tuple[int, int]:
        """Bins of a training window, and windows of a batch."""
        return self.window_bins, self.batch_size

    @abc.abstractmethod
    def core(self, bin_s: float) -> Any:
        """A new module: (batch, n_bins, hidden) -> (batch, n_bins, hidden), causal."""

    @abc.abstractmethod
    def stream(self, weights: Mapping[str, np.ndarray], bin_s: float) -> Stream:
        """The same core from its weights, one bin at a time."""

    def build(self, session: SessionInfo) -> SessionsNetwork:
        return self._build([session])

    def pretrain(self, recordings: Sequence[Recording]) -> None:
        """Train one network on all sessions that have labels; without labels there is nothing to learn here."""
        parts = [learned_and_held_out(r) for r in recordings if r.scored.any()]
        self.pretrained_ = np.array(bool(parts))
        if parts:
            self._renew([a for a, _ in parts], heritage={})
            self._learn([a for a, _ in parts], [b for _, b in parts], self.pretrain_updates, self.learning_rate)

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        if unknown := sorted({r.session.id for r in validation} - {r.session.id for r in train}):
            raise HarnessError(
                f"session {', '.join(unknown)} has validation and no training, where its read-in is learned; give both"
            )
        pretrained = bool(vars(self).pop("pretrained_", False))
        self._fit(train, validation, self.network.state_dict() if pretrained else {})

    def adapt(self, recording: Recording) -> None:
        learned, held_out = learned_and_held_out(recording)
        self._fit([learned], [held_out], self.network.state_dict())

    def state(self) -> dict[str, np.ndarray]:
        return super().state() if hasattr(self, "network") else Decoder.state(self)

    def restore(self, state: Mapping[str, np.ndarray], sessions: Sequence[SessionInfo]) -> None:
        if "pretrained_" in state:
            self.pretrained_ = state["pretrained_"]
        weights = {k: torch.from_numpy(np.array(v)) for k, v in part(state, PREFIX).items()}
        held = {key.split(".")[1] for key in weights if key.startswith("ports.")}
        if held:
            self._build_for([s for s in sessions if session_key(s) in held])
            self.network.load_state_dict(weights)

    def predict(self, inputs: Inputs, session: SessionInfo) -> np.ndarray:
        key = self._key_of(session)
        port = self.network.ports[key]
        features = self.network.pack(port.standard(inputs.streams[self.inputs[0]]), key)
        answers = np.concatenate([run(self.network, features[s]) for s in inputs.segments()])
        return answers[:, : len(session.outputs)] * port.sd.numpy() + port.offset.numpy()

    def reset(self, session: SessionInfo) -> None:
        key, weights = self._key_of(session), self.weights()
        self._port, self._head = part(weights, f"ports.{key}."), part(weights, f"heads.{outputs_key(session)}.")
        self._standard = self.network.ports[key].standard
        self._stream = self.stream(part(weights, "core."), session.bin_s)

    def step(self, bin: Bin) -> np.ndarray:
        row = self._port["weight"] @ self._standard(bin[self.inputs[0]]) + self._port["bias"]
        answer = self._head["weight"] @ self._stream.advance(row) + self._head["bias"]
        return answer * self._port["sd"] + self._port["offset"]

    def _fit(self, train: Sequence[Recording], validation: Sequence[Recording], heritage: Mapping[str, Any]) -> None:
        """First what is new, then everything; the second only if it is better on validation."""
        score = self._settle(train, validation, heritage)
        before = {name: array.clone() for name, array in self.network.state_dict().items()}
        rate = self.learning_rate * (self.fine_tuning if heritage else 1)
        if self._learn(train, validation, self.updates, rate) < score:
            self.network.load_state_dict(before)

    def _settle(
        self, train: Sequence[Recording], validation: Sequence[Recording], heritage: Mapping[str, Any]
    ) -> float:
        """A network for these sessions with what is known already; what is not known is learned first, alone.

        Returns:
            Mean R2 on validation; -inf if nothing was known, or nothing can be scored.
        """
        new = self._renew(train, heritage)
        if not heritage:
            return -np.inf
        for name, weight in self.network.named_parameters():
            weight.requires_grad_(name in new)
        if new:
            self._learn(train, validation, self.read_in_updates, self.learning_rate)
        for weight in self.network.parameters():
            weight.requires_grad_(True)
        return mean_r2(self.network, self._packed(validation))

    def _renew(self, recordings: Sequence[Recording], heritage: Mapping[str, Any]) -> set[str]:
        """Start a network for the sessions of these recordings; names of the weights that were not inherited."""
        heritage = {k: v.clone() for k, v in heritage.items()}
        self._build_for([r.session for r in recordings])
        state = self.network.state_dict()
        kept = {k: v for k, v in heritage.items() if k in state and v.shape == state[k].shape}
        self.network.load_state_dict(state | kept)
        for key, port in self.network.ports.items():
            port.measure([r for r in recordings if session_key(r.session) == key], self.inputs[0])
        return set(state) - set(kept)

    def _build_for(self, sessions: Sequence[SessionInfo]) -> None:
        repeatable(self.seed)
        self.network = self._build(list({session_key(s): s for s in sessions}.values())).eval()

    def _build(self, sessions: Sequence[SessionInfo]) -> SessionsNetwork:
        corruption, core = Corruption(self.input_dropout, self.noise), self.core(sessions[0].bin_s)
        return SessionsNetwork(sessions, core, width=self.hidden, corruption=corruption, stream=self.inputs[0])

    def _learn(
        self, recordings: Sequence[Recording], validation: Sequence[Recording], updates: int, rate: float
    ) -> float:
        segments, bin_s = self._packed(recordings), recordings[0].session.bin_s
        window_bins, batch_size = self.windows(bin_s)
        n_windows = sum(len(segment.scored) for segment in segments) / window_bins
        schedule = Schedule(
            updates=min(updates, MOST_EPOCHS * math.ceil(n_windows / batch_size)),
            learning_rate=rate,
            batch_size=batch_size,
            window_bins=window_bins,
            warm_up_bins=self.warm_up_bins(bin_s),
        )
        return train(self.network, segments, self._packed(validation), schedule=schedule, seed=self.seed)

    def _packed(self, recordings: Sequence[Recording]) -> list[Segment]:
        return [segment for r in recordings for segment in self._segments(r)]

    def _segments(self, recording: Recording) -> list[Segment]:
        key = session_key(recording.session)
        port = self.network.ports[key]
        features = self.network.pack(port.standard(recording.inputs.streams[self.inputs[0]]), key)
        targets = np.zeros((len(recording), self.network.n_outputs), np.float32)
        standard = (recording.targets - port.offset.numpy()) / port.sd.numpy()
        targets[:, : standard.shape[1]] = np.nan_to_num(standard)
        return [Segment(features[s], targets[s], recording.scored[s]) for s in recording.inputs.segments()]

    def _key_of(self, session: SessionInfo) -> str:
        """The port to read this session through: its own, or the only one, of as many channels and the same outputs."""
        n_units = session.streams[self.inputs[0]].n_channels
        widths = [port.in_features for port in self.network.ports.values()]
        held = list(zip(self.network.ports, widths, self.network.head_of, strict=True))
        fitting = [key for key, n, head in held if (n, head) == (n_units, outputs_key(session))]
        if session_key(session) in fitting:
            return session_key(session)
        if len(held) == 1 and fitting:
            return fitting[0]
        raise HarnessError(
            f"session {session.id} of {n_units} channels and {outputs_key(session)} was neither fitted nor adapted to; "
            f"this network knows {', '.join(f'{key} ({n} channels, {head})' for key, n, head in held)}: "
            f"give it labelled minutes of the session (calibration_s)"
        )


def session_key(session: SessionInfo) -> str:
    """A session's name among a module's parts, where no dot may be."""
    return "session-" + session.id.replace("%", "%25").replace(".", "%2E")


def outputs_key(session: SessionInfo) -> str:
    """Sessions with the same outputs share a head."""
    return "outputs-" + ",".join(session.outputs).replace("%", "%25").replace(".", "%2E")
