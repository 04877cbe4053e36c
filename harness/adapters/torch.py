"""`from_torch`: a PyTorch module of windows, as braindecode has them, trained here and made into a decoder."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from harness.adapters.windows import Band, Window, cut, stream_of
from harness.optimiser import AdamW, descend
from harness.torch_decoder import Schedule, TorchDecoder, one_cycle
from harness.types import Bin, Recording, SessionInfo

MakeModule = Callable[[int, int, int], Any]
Batch = tuple[Any, Any]
"""Standardised windows (batch, n_channels, n_samples) and their targets (batch, n_outputs)."""
BLOCK = 256
"""Windows that are looked at together when nothing is learned from them."""


def from_torch(
    make_module: MakeModule,
    window_bins: int,
    *,
    stream: str = "eeg",
    band_hz: Band | None = None,
    name: str | None = None,
) -> "type[WindowNetwork]":
    """A decoder class around a PyTorch module, which sees the last `window_bins` bins at every bin.

    The module takes (batch, n_channels, n_samples) and gives (batch, n_outputs), or (batch, n_outputs, n_times, ...)
    of which the last time counts: logits or logarithms of probabilities in classification, standardised targets in
    regression. Channels are standardised before it. What lies before the first bin is the first sample, or zeros of a
    stream of counts.

    Args:
        make_module: n_channels, n_samples, n_outputs -> a new module.
        window_bins: Length of a window.
        stream: Which stream.
        band_hz: Low and high edge of a causal band-pass before the windows are cut; None for none.
        name: Of the class.

    Returns:
        A dataclass with the fields of `WindowNetwork`.
    """
    fields: list[Any] = [("window_bins", int, window_bins), ("band_hz", Band | None, band_hz)]
    body = {"inputs": (stream,), "make_module": staticmethod(make_module), "__doc__": WindowNetwork.__doc__}
    made = dataclasses.make_dataclass(name or "Module", fields, bases=(WindowNetwork,), namespace=body)
    made.__module__ = make_module.__module__
    return made


@dataclass
class WindowNetwork(TorchDecoder):
    """A PyTorch module on the last bins of one stream.

    Training: AdamW on cross-entropy, or on the mean squared error of standardised targets; one cycle of learning
    rates; the weights that did best on validation are kept, or the last ones if nothing there is scored.

    window_bins: Length of the window.
    band_hz: Edges of the causal band-pass in front of it, or None.
    around_s: Training windows end at scored bins, and at labelled ones at most so far from one of them.
    updates, learning_rate, weight_decay, batch_size: See `harness.torch_decoder.Schedule`.
    most_windows: Training uses at most so many windows, evenly spread.
    """

    make_module: ClassVar[MakeModule]
    window_bins: ClassVar[int]
    band_hz: ClassVar[Band | None]
    around_s: float = 0.5
    updates: int = 200
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    batch_size: int = 32
    most_windows: int = 5000

    def build(self, session: SessionInfo) -> Any:
        n_channels, n_samples = stream_of(session, self.inputs[0]).n_channels, self._window(session).n_samples
        return type(self).make_module(n_channels, n_samples, len(session.outputs))

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        session = train[0].session
        x, y = self._cut(train, lambda r: near_scored(r, self.around_s))
        self._note_scale(x, y, regression=session.kind == "regression")
        held_out = None
        if any(r.scored.any() for r in validation):
            held_out = self._batch(*self._cut(validation, lambda r: r.scored))
        self.start(session)
        loss = torch.nn.functional.cross_entropy if session.kind == "classification" else torch.nn.functional.mse_loss
        schedule = Schedule(
            batch_size=self.batch_size,
            updates=self.updates,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            check_every=20,
        )
        learn(self.network, self._batch(x, y), held_out, loss=loss, schedule=schedule, seed=self.seed)

    def reset(self, session: SessionInfo) -> None:
        self.window = self._window(session)

    def step(self, bin: Bin) -> np.ndarray:
        window = (self.window.push(bin[self.inputs[0]]) - self.centre_) * self.gain_
        with torch.inference_mode():
            answer = last(self.network(torch.from_numpy(window.astype(np.float32))[None]))[0].numpy()
        return np.asarray(answer * self.target_sd_ + self.target_mean_)

    def _window(self, session: SessionInfo) -> Window:
        return Window(stream_of(session, self.inputs[0]), self.window_bins, self.band_hz)

    def _cut(self, parts: Sequence[Recording], ends: Callable[[Recording], np.ndarray]) -> tuple[np.ndarray, ...]:
        return cut(parts, self.inputs[0], self._window, ends=ends, most=self.most_windows)

    def _note_scale(self, x: np.ndarray, y: np.ndarray, *, regression: bool) -> None:
        """Means and standard deviations of training; a channel that was silent there gets the others' gain."""
        self.centre_ = x.mean(axis=(0, 2))[:, None]
        sd = x.std(axis=(0, 2))[:, None]
        usual = np.median(sd[sd > 0]) if (sd > 0).any() else 1.0
        self.gain_ = 1 / np.where(sd > 0, sd, usual)
        target_sd = y.std(axis=0) if regression else np.ones(y.shape[1])
        self.target_mean_ = (y.mean(axis=0) if regression else np.zeros(y.shape[1])).astype(np.float32)
        self.target_sd_ = np.where(target_sd > 0, target_sd, 1).astype(np.float32)

    def _batch(self, x: np.ndarray, y: np.ndarray) -> Batch:
        standard = ((x - self.centre_) * self.gain_).astype(np.float32)
        return torch.from_numpy(standard), torch.from_numpy((y - self.target_mean_) / self.target_sd_)


def near_scored(recording: Recording, around_s: float) -> np.ndarray:
    """(n_bins,) bool: scored bins, and labelled ones at most `around_s` from one of them in the same segment."""
    near = recording.scored.copy()
    reach = round(around_s / recording.inputs.bin_s)
    for segment in recording.inputs.segments():
        for k in np.flatnonzero(recording.scored[segment]) + segment.start:
            near[max(segment.start, k - reach) : min(segment.stop, k + reach + 1)] = True
    return np.asarray(near & np.isfinite(recording.targets).all(axis=1))


def last(answers: Any) -> Any:
    """(batch, n_outputs, n_times, ...) -> (batch, n_outputs), the last of each."""
    while answers.dim() > 2:
        answers = answers[..., -1]
    return answers


def learn(
    network: Any,
    given: Batch,
    held_out: Batch | None,
    *,
    loss: Callable[[Any, Any], Any],
    schedule: Schedule,
    seed: int,
) -> None:
    """Train a network in place, and leave the weights that did best on `held_out`.

    Raises:
        DecoderError: If the loss is not finite.
    """
    optimiser = AdamW(network.parameters(), weight_decay=schedule.weight_decay)
    order = batches(len(given[0]), schedule.batch_size, np.random.default_rng(seed))
    best, weights = math.inf, None
    for update in range(schedule.updates):
        for group in optimiser.param_groups:
            group["lr"] = schedule.learning_rate * one_cycle(update / schedule.updates)
        chosen = next(order)
        _update(network.train(), (given[0][chosen], given[1][chosen]), loss, optimiser)
        if held_out and not ((update + 1) % schedule.check_every and update + 1 < schedule.updates):
            found = loss_of(network, held_out, loss)
            if found < best:
                best, weights = found, copy.deepcopy(network.state_dict())
    if weights is not None:
        network.load_state_dict(weights)
    network.eval()


def batches(n: int, size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Shuffled places in 0 .. n - 1, epoch after epoch; a last batch of one is dropped, which no batch norm can use."""
    while True:
        order = rng.permutation(n)
        yield from (b for i in range(0, n, size) if len(b := order[i : i + size]) > 1 or min(n, size) == 1)


def loss_of(network: Any, given: Batch, loss: Callable[[Any, Any], Any]) -> float:
    """Mean loss over windows, without dropout."""
    network.eval()
    with torch.inference_mode():
        answers = [last(network(given[0][i : i + BLOCK])) for i in range(0, len(given[0]), BLOCK)]
    return float(loss(torch.cat(answers), given[1]))


def _update(network: Any, batch: Batch, loss: Callable[[Any, Any], Any], optimiser: Any) -> None:
    error = loss(last(network(batch[0])), batch[1])
    descend(error, network.parameters(), optimiser, 1.0)
