"""Learning the Kalman filter's linear dynamical system from labelled counts, in closed form."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harness import HarnessError, Recording

SHRINKAGE = 0.01
RIDGE = 1e-6
MAX_RADIUS = 0.9999


@dataclass(frozen=True)
class Shape:
    """What the state holds: outputs up to `lead_bins` ahead, leaky means of them, hidden slow dimensions."""

    lead_bins: int
    n_hidden: int
    noise: float
    decays: tuple[float, ...]

    def but(self, name: str, value: Any) -> "Shape":
        return dataclasses.replace(self, **{name: value})


@dataclass(frozen=True)
class Model:
    """x_t = transition x_{t-1} + w, y_t = loadings x_t + q; prior is the covariance of x without observations.

    transition, process_noise, prior: (n_states, n_states). loadings: (n_units, n_states). noise: (n_units, n_units).
    """

    transition: np.ndarray
    process_noise: np.ndarray
    loadings: np.ndarray
    noise: np.ndarray
    prior: np.ndarray

    def evidence(self, factor: float) -> tuple[np.ndarray, np.ndarray]:
        """C'Q^-1, (n_states, n_units), and C'Q^-1 C, (n_states, n_states), for Q = factor * noise."""
        projection = np.linalg.solve(factor * self.noise, self.loadings).T
        return projection, projection @ self.loadings

    def settled(self, information: np.ndarray) -> np.ndarray:
        """Covariance of the state after an update, in the long run.

        Structured doubling (Chu et al. 2004, 10.1080/00207170410001714988): k rounds do the work of 2^k bins.
        """
        a, g, h = self.transition.T, information, self.process_noise
        for _ in range(30):
            inverse = np.linalg.inv(np.eye(len(g)) + g @ h)
            step = a.T @ h @ inverse @ a
            a, g, h = a @ inverse @ a, g + a @ inverse @ g @ a.T, h + step
            if np.abs(step).max() < 1e-12 * np.abs(h).max():
                break
        return posterior(h, information)


def posterior(predicted: np.ndarray, information: np.ndarray) -> np.ndarray:
    """(predicted^-1 + information)^-1, also for a singular `predicted`."""
    after = np.linalg.solve(np.eye(len(predicted)) + predicted @ information, predicted)
    return (after + after.T) / 2


def learn(
    recordings: Sequence[Recording], rows: Sequence[np.ndarray], targets: Sequence[np.ndarray], *, shape: Shape
) -> Model:
    """Fit the model to the unbroken scored stretches of recordings.

    Args:
        recordings: Where stretches begin and end.
        rows: Per recording, (n_bins, n_units) standardised counts.
        targets: Per recording, (n_bins, n_outputs) standardised targets.
        shape: What the state holds.

    Raises:
        HarnessError: If no stretch is long enough to see one transition.
    """
    states, counts = [], []
    for recording, row, target in zip(recordings, rows, targets, strict=True):
        for stretch in stretches(recording, at_least=shape.lead_bins + 2):
            state = states_of(target[stretch].astype(np.float64), shape)
            states.append(state)
            counts.append(row[stretch][: len(state)].astype(np.float64))
    if not states:
        raise HarnessError(
            f"a Kalman filter with a lead of {shape.lead_bins} bins needs {shape.lead_bins + 2} scored bins in a row; "
            f"the training recordings have no such stretch, so give a shorter lead_s or another decoder"
        )
    visible = _visible(states, counts, n_outputs=targets[0].shape[1], shape=shape)
    residuals = [y - x @ visible.loadings.T for x, y in zip(states, counts, strict=True)]
    return _with_hidden(visible, residuals, shape.n_hidden) if shape.n_hidden else visible


def stretches(recording: Recording, *, at_least: int) -> Iterator[slice]:
    """Unbroken runs of scored bins within a segment."""
    for segment in recording.inputs.segments():
        scored = np.concatenate([[False], recording.scored[segment], [False]])
        edges = np.flatnonzero(scored[1:] != scored[:-1]) + segment.start
        for start, stop in edges.reshape(-1, 2).tolist():
            if stop - start >= at_least:
                yield slice(start, stop)


def states_of(targets: np.ndarray, shape: Shape) -> np.ndarray:
    """(n_bins, n_outputs) targets of one stretch -> (n_bins - lead_bins, n_states), newest outputs first."""
    n_bins, lead = len(targets) - shape.lead_bins, shape.lead_bins
    ahead = [targets[i : i + n_bins] for i in range(lead, -1, -1)]
    return np.concatenate([*ahead, leaky_means(ahead[0], np.array(shape.decays))], axis=1)


def leaky_means(values: np.ndarray, decays: np.ndarray) -> np.ndarray:
    """(n_bins, n_decays * n_outputs) running means up to the bin before, so that the last state determines them."""
    means = np.zeros((len(values), len(decays), values.shape[1]))
    means[1:] = (1 - decays[:, None]) * values[:-1, None]
    reach = 1
    while reach < len(values):  # After each round a mean holds twice as many bins.
        means[reach:] += decays[:, None] ** reach * means[:-reach]
        reach *= 2
    return means.reshape(len(values), -1)


def _visible(states: Sequence[np.ndarray], counts: Sequence[np.ndarray], *, n_outputs: int, shape: Shape) -> Model:
    """The model of the states that training sees: least squares throughout."""
    before = np.concatenate([x[:-1] for x in states])
    newest = np.concatenate([x[1:, :n_outputs] for x in states])
    x, y = np.concatenate(states), np.concatenate(counts)
    transition = _mechanics(x.shape[1], n_outputs, shape)
    transition[:n_outputs] = _least_squares(before, newest)
    # Few bins can give a mode that grows without end, for which there is no long run.
    transition *= min(1.0, MAX_RADIUS / max(np.abs(np.linalg.eigvals(transition)).max(), MAX_RADIUS))
    surprise = newest - before @ transition[:n_outputs].T
    process_noise = np.zeros_like(transition)
    process_noise[:n_outputs, :n_outputs] = surprise.T @ surprise / len(surprise)
    loadings = _least_squares(x, y)
    return Model(transition, process_noise, loadings, _shrunk(_covariance(y - x @ loadings.T)), _covariance(x))


def _mechanics(n_states: int, n_outputs: int, shape: Shape) -> np.ndarray:
    """The rows of the transition that need no data: outputs move on by one bin, leaky means decay."""
    transition = np.zeros((n_states, n_states))
    n_ahead = n_outputs * (shape.lead_bins + 1)
    transition[n_outputs:n_ahead, : n_ahead - n_outputs] = np.eye(n_ahead - n_outputs)
    for i, decay in enumerate(shape.decays):
        mean = slice(n_ahead + i * n_outputs, n_ahead + (i + 1) * n_outputs)
        transition[mean, mean] = decay * np.eye(n_outputs)
        transition[mean, :n_outputs] = (1 - decay) * np.eye(n_outputs)
    return transition


def _with_hidden(model: Model, residuals: Sequence[np.ndarray], n_hidden: int) -> Model:
    """Add slow dimensions of the counts' residuals to the state.

    White noise has no covariance across bins, so the leading eigenvectors of the lag-1 covariance are what lasts;
    its ratio to lag 2 says how long.
    """
    scale = np.sqrt(np.diag(model.noise))
    white = [r / scale for r in residuals]
    values, vectors = np.linalg.eigh(_lagged(white, 1))
    n_hidden = min(n_hidden, int((values > 1e-6).sum()))
    if not n_hidden:
        return model
    values, vectors = values[-n_hidden:], vectors[:, -n_hidden:]
    decays = np.clip(np.diag(vectors.T @ _lagged(white, 2) @ vectors) / values, 0.1, 0.995)
    variances = values / decays
    noise = model.noise / np.outer(scale, scale) - (vectors * variances) @ vectors.T
    values, axes = np.linalg.eigh(noise)
    noise = (axes * np.maximum(values, 0.05)) @ axes.T * np.outer(scale, scale)
    return Model(
        _block(model.transition, np.diag(decays)),
        _block(model.process_noise, np.diag(variances * (1 - decays**2))),
        np.concatenate([model.loadings, scale[:, None] * vectors], axis=1),
        _shrunk(noise),
        _block(model.prior, np.diag(variances)),
    )


def _lagged(residuals: Sequence[np.ndarray], lag: int) -> np.ndarray:
    """Symmetric part of the covariance between bins `lag` apart, within stretches."""
    total = np.zeros((residuals[0].shape[1],) * 2)
    for r in residuals:
        total += r[lag:].T @ r[:-lag]
    n = max(1, sum(max(0, len(r) - lag) for r in residuals))
    return (total + total.T) / (2 * n)


def _least_squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(n_outputs, n_features) such that y = x @ result.T, with a touch of ridge for collinear columns."""
    gram = x.T @ x
    gram.flat[:: len(gram) + 1] += RIDGE * np.trace(gram) / len(gram) + 1e-12
    return np.linalg.solve(gram, x.T @ y).T


def _covariance(x: np.ndarray) -> np.ndarray:
    return x.T @ x / len(x)


def _shrunk(noise: np.ndarray) -> np.ndarray:
    """Towards the diagonal, and away from zero: silent units and few bins must not make it singular."""
    diagonal = np.diag(np.diag(noise))
    return (1 - SHRINKAGE) * noise + SHRINKAGE * diagonal + 1e-3 * np.eye(len(noise))


def _block(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.block([[a, np.zeros((len(a), len(b)))], [np.zeros((len(b), len(a))), b]])
