"""MINT: which of the trajectories seen in training is being followed, told by the spikes of one bin after the other."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from baselines.choose import mean_r2
from baselines.features import Standard, in_bins, scored_targets
from baselines.kalman_model import stretches
from baselines.parts import learned_and_held_out
from harness import Bin, Decoder, HarnessError, Recording, SessionInfo

TEMPERATURES = (6.0, 4.0, 9.0, 13.0)
JUMPS = (0.2, 0.05, 0.1, 0.4)
CHUNK_BINS = 512
BLOCK_BINS = 100


@dataclass
class Mint(Decoder):
    """Bayesian decoding along a library of trajectories (after MINT, Perkins et al. 2025, 10.7554/eLife.89421).

    A state is a bin of training. Its behaviour is the target there; its rates are the mean counts of the bins with the
    most similar behaviour around them, so that no trials or conditions need to be known. From one bin to the next a
    trajectory moves on to its next state, or, with probability `jump`, any state follows. Spikes are Poisson, and the
    answer is the posterior mean of the behaviour: the forward recursion of a hidden Markov model. MINT itself keeps a
    fixed stretch of past spikes instead and interpolates between its two best states. None: chosen on validation.

    window_s: Behaviour before and after a bin that is compared.
    n_similar: Bins that rates are averaged over.
    temperature: Divides the log-likelihood, as counts vary more than the model knows.
    jump: Probability per bin to leave a trajectory.
    max_states: Size of the library; of more bins, evenly spread blocks are taken. Rates use all of them.
    refit: Make the library once more of train and validation after choosing.
    """

    inputs = ("spikes",)
    deterministic = True
    seed: int = 0
    window_s: float = 0.5
    n_similar: int = 20
    temperature: float | None = None
    jump: float | None = None
    max_states: int = 20_000
    refit: bool = True

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        if self.jump is not None and not 0 < self.jump <= 1:
            raise HarnessError(f"jump is {self.jump}; give a probability above 0 and up to 1, such as {JUMPS[0]}")
        scored_targets(train)
        Standard.of([r.inputs.streams[self.inputs[0]] for r in train], "none")  # refuses channels that differ
        self._make_library(train)
        self._choose([r for r in validation if r.scored.any()])
        if self.refit:
            self._make_library([*train, *validation])

    def adapt(self, recording: Recording) -> None:
        """Fit on the minutes given alone: what a lab without earlier sessions would do."""
        learned, held_out = learned_and_held_out(recording)
        self.fit([learned], [held_out])

    def _choose(self, validation: Sequence[Recording]) -> None:
        temperatures = TEMPERATURES if self.temperature is None else (self.temperature,)
        options = list(itertools.product(temperatures, JUMPS if self.jump is None else (self.jump,)))
        i_best = 0
        if validation and len(options) > 1:
            targets = np.concatenate([r.targets[r.scored] for r in validation])
            answers = np.concatenate([self._answers(r, np.array(options)) for r in validation])
            i_best = max(range(len(options)), key=lambda i: mean_r2(targets, answers[:, i]))
        self.temperature_, self.jump_ = map(np.float64, options[i_best])

    def _answers(self, recording: Recording, options: np.ndarray) -> np.ndarray:
        """(n_options, 2) temperatures and jumps -> (n_scored, n_options, n_outputs).

        All options go through a bin together, so that no more is held than the evidence of `BLOCK_BINS`.
        """
        temperatures, jumps = options.T[..., None]
        counts, answers = recording.inputs.streams[self.inputs[0]], []
        for k in range(len(recording)):
            if k % BLOCK_BINS == 0:
                evidence = self._evidence(counts[k : k + BLOCK_BINS])
            if recording.inputs.starts[k]:
                prior = np.full((len(options), evidence.shape[1]), 1 / evidence.shape[1])
            belief = updated(prior, evidence[k % BLOCK_BINS], temperatures)
            prior = self._moved(belief, jumps)
            if recording.scored[k]:
                answers.append(belief @ self.behaviour_)
        return np.stack(answers)

    def _make_library(self, recordings: Sequence[Recording]) -> None:
        parts = [(r, s) for r in recordings for s in stretches(r, at_least=1)]
        counts = np.concatenate([np.maximum(r.inputs.streams[self.inputs[0]][s], 0) for r, s in parts])
        targets = [r.targets[s].astype(np.float64) for r, s in parts]
        kept = evenly_spread([len(t) for t in targets], self.max_states)
        behaviour = np.concatenate(targets)
        mean, sd = behaviour.mean(axis=0), behaviour.std(axis=0)
        half = in_bins(self.window_s, recordings[0].session.bin_s)
        windows = np.concatenate([around((t - mean) / np.where(sd > 0, sd, 1), half) for t in targets])
        usual = counts.mean(axis=0, dtype=np.float64)
        n_similar = min(self.n_similar, len(windows))
        # As if one more bin with the usual counts had been seen, so that no unit that ever fires has a rate of zero.
        rates = (n_similar * similar_means(windows, counts, kept, n_similar=n_similar) + usual) / (n_similar + 1)
        self.behaviour_, self.expected_ = behaviour[kept], rates.sum(axis=1)
        self.log_ratios_ = np.log(np.maximum(rates, 1e-6) / np.maximum(usual, 1e-6)).astype(np.float32)
        first = np.cumsum([0, *(len(t) for t in targets)])
        self.follows_ = np.diff(kept, prepend=-1) == 1
        self.follows_[np.isin(kept, first)] = False

    def _evidence(self, counts: np.ndarray) -> np.ndarray:
        """Poisson log-likelihood of each state, (..., n_states), less what all states share."""
        return np.maximum(counts, 0) @ self.log_ratios_.T - self.expected_

    def reset(self, session: SessionInfo) -> None:
        n_units, n_outputs = self.log_ratios_.shape[1], self.behaviour_.shape[1]
        given = session.streams[self.inputs[0]].n_channels, len(session.outputs)
        if given != (n_units, n_outputs):
            raise HarnessError(
                f"session {session.id} has {given[0]} channels and {given[1]} outputs, but the library was made of "
                f"{n_units} channels and {n_outputs} outputs; fit the session, or adapt to labelled minutes of it"
            )
        self._prior = np.full(len(self.expected_), 1 / len(self.expected_))

    def step(self, bin: Bin) -> np.ndarray:
        belief = updated(self._prior, self._evidence(bin[self.inputs[0]]), self.temperature_)
        self._prior = self._moved(belief, self.jump_)
        return belief @ self.behaviour_

    def _moved(self, belief: np.ndarray, jump: np.ndarray) -> np.ndarray:
        """The prior of the next bin, (..., n_states); what does not move on is spread over all states."""
        moved = np.zeros_like(belief)
        np.multiply(belief[..., :-1], (1 - jump) * self.follows_[1:], out=moved[..., 1:])
        return moved + (1 - moved.sum(axis=-1, keepdims=True)) / belief.shape[-1]


def updated(prior: np.ndarray, evidence: np.ndarray, temperature: np.ndarray) -> np.ndarray:
    """The posterior of a bin, (..., n_states), from its prior of that shape and its evidence (n_states,)."""
    belief = prior * np.exp((evidence - evidence.max()) / temperature)
    belief /= belief.sum(axis=-1, keepdims=True)
    return belief


def around(values: np.ndarray, half: int) -> np.ndarray:
    """(n_bins, n_outputs) -> (n_bins, (2 half + 1) n_outputs) float32: each bin and its neighbours, ends repeated."""
    padded = np.pad(values, ((half, half), (0, 0)), mode="edge")
    return np.concatenate([padded[i : i + len(values)] for i in range(2 * half + 1)], axis=1).astype(np.float32)


def evenly_spread(lengths: Sequence[int], most: int) -> np.ndarray:
    """Up to `most` bins of stretches of these lengths, as indices: all of them, or blocks of `BLOCK_BINS`."""
    total = sum(lengths)
    if total <= most:
        return np.arange(total)
    n_blocks = max(1, most // BLOCK_BINS)
    starts = np.linspace(0, total - min(BLOCK_BINS, most), n_blocks).astype(int)
    return np.concatenate([np.arange(start, start + min(BLOCK_BINS, most)) for start in starts])


def similar_means(windows: np.ndarray, counts: np.ndarray, kept: np.ndarray, *, n_similar: int) -> np.ndarray:
    """Mean counts of the `n_similar` bins whose windows are nearest to those of the `kept` bins, itself among them.

    windows: (n_bins, n_features). counts: (n_bins, n_units). Returns (n_kept, n_units) float64.
    """
    squares, means = (windows**2).sum(axis=1), []
    for i in range(0, len(kept), CHUNK_BINS):
        distances = squares - 2 * windows[kept[i : i + CHUNK_BINS]] @ windows.T
        nearest = np.argpartition(distances, n_similar - 1, axis=1)[:, :n_similar]
        means.append(counts[nearest].mean(axis=1, dtype=np.float64))
    return np.concatenate(means)
