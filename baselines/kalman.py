"""Kalman filter: behaviour as the hidden state of a linear dynamical system that drives the counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from baselines.choose import best, validation_r2
from baselines.features import Standard, Transform, scored_targets
from baselines.kalman_model import Model, Shape, learn, posterior, stretches
from harness import Bin, Cost, Decoder, Recording, SessionInfo

LEADS_S = (0.0, 0.1, 0.2)
N_HIDDEN = (0, 10, 20)
NOISES = (1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass
class Kalman(Decoder):
    """Velocity Kalman filter (Wu et al. 2006, 10.1162/089976606774841585), with a longer state.

    x_t = A x_{t-1} + w, y_t = C x_t + q, with y the standardised square-root counts. Besides the outputs at t the
    state holds those up to `lead_s` later, since cortex leads the hand, running means of the past, which cover
    position, and directions in which the rest of the counts varies slowly, which are not behaviour. The
    observations enter as C'Q^-1 y, so that a bin costs one product with (n_states, n_units). None: chosen on
    validation, in this order, each with the later ones at their first value.

    lead_s: How long neural activity leads behaviour, at most.
    n_hidden: Slow dimensions of the population that are not behaviour.
    noise: Factor on the observation noise, whose autocorrelation the model ignores.
    memory_s: Time constants of the running means.
    steady_state: Use the final gain from the first bin on.
    refit: Fit once more on train and validation after choosing.
    """

    inputs = ("spikes",)
    deterministic = True
    noises: ClassVar[tuple[float, ...]] = NOISES
    seed: int = 0
    lead_s: float | None = None
    n_hidden: int | None = None
    noise: float | None = None
    memory_s: tuple[float, ...] = (0.3, 1.0, 3.0)
    steady_state: bool = False
    transform: Transform = "sqrt"
    refit: bool = True

    def fit(self, train: Sequence[Recording], validation: Sequence[Recording]) -> None:
        targets = scored_targets(train)
        standard = Standard.of([r.inputs.streams[self.inputs[0]] for r in train], self.transform)
        self.mean_, self.gain_ = standard.mean, standard.gain
        sd = targets.std(axis=0)
        self.offset_, self.sd_ = targets.mean(axis=0), np.where(sd > 0, sd, 1.0)
        chosen = self._choose(train, validation)
        self._learn([*train, *validation] if self.refit else train, chosen)

    def _choose(self, train: Sequence[Recording], validation: Sequence[Recording]) -> Shape:
        bin_s = train[0].session.bin_s
        leads = list(dict.fromkeys(round(s / bin_s) for s in _options(self.lead_s, LEADS_S)))
        longest = max((s.stop - s.start for r in train for s in stretches(r, at_least=2)), default=0)
        choices = {
            "lead_bins": tuple(b for b in leads if b <= longest - 2) or (leads[0],),
            "n_hidden": _options(self.n_hidden, N_HIDDEN),
            "noise": _options(self.noise, self.noises),
        }
        decays = tuple(float(np.exp(-bin_s / s)) for s in self.memory_s)
        shape = Shape(**{name: values[0] for name, values in choices.items()}, decays=decays)
        for name, values in choices.items():
            shape = best(
                [shape.but(name, v) for v in (values if validation else values[:1])],
                lambda s: self._score(s, train, validation),
            )
        return shape

    def _score(self, shape: Shape, train: Sequence[Recording], validation: Sequence[Recording]) -> float:
        self._learn(train, shape)
        return validation_r2(self, validation)

    def _learn(self, recordings: Sequence[Recording], shape: Shape) -> None:
        standard = Standard(self.mean_, self.gain_, self.transform)
        rows = [standard(r.inputs.streams[self.inputs[0]]) for r in recordings]
        targets = [(r.targets - self.offset_) / self.sd_ for r in recordings]
        self._keep(learn(recordings, rows, targets, shape=shape), shape)

    def _keep(self, model: Model, shape: Shape) -> None:
        n_outputs = len(self.offset_)
        self.transition_, self.process_noise_ = model.transition, model.process_noise
        self.projection_, self.information_ = model.evidence(shape.noise)
        self.prior_ = model.prior
        self.settled_ = model.settled(self.information_)
        self.readout_ = self.sd_[:, None] * np.eye(n_outputs, len(model.prior), shape.lead_bins * n_outputs)

    def reset(self, session: SessionInfo) -> None:
        self._standard = Standard(self.mean_, self.gain_, self.transform)
        self._state = np.zeros(len(self.prior_))
        self._predicted = self.prior_
        self._posterior = self.settled_
        self._settled = self.steady_state

    def step(self, bin: Bin) -> np.ndarray:
        evidence = self.projection_ @ self._standard(bin[self.inputs[0]])
        if not self._settled:
            self._narrow()
        state = self._state + self._posterior @ (evidence - self.information_ @ self._state)
        self._state = self.transition_ @ state
        return self.readout_ @ state + self.offset_

    def _narrow(self) -> None:
        """One step of the covariances, which depend on no data and soon stand still."""
        self._posterior = posterior(self._predicted, self.information_)
        self._predicted = self.transition_ @ self._posterior @ self.transition_.T + self.process_noise_
        self._settled = np.abs(self._posterior - self.settled_).max() < 1e-6 * self.settled_.max()

    def cost(self, session: SessionInfo) -> Cost:
        """Of a bin with the settled gain; until then `np.linalg.solve` is at work, which nobody counts."""
        n_states, n_outputs = len(self.prior_), len(self.offset_)
        contractions = self.projection_.size + n_states * (3 * n_states + n_outputs)
        return Cost(macs_per_bin=contractions, elementwise_per_bin=len(self.mean_))


def _options(given: float | None, choices: tuple[float, ...]) -> tuple[float, ...]:
    return choices if given is None else (given,)
