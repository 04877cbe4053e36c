"""How well a recording can be told apart by somebody who sees the motor sources themselves.

The rule: at 2 s after the cue, from the two seconds before. Seen are the true amplitudes of the six sources, without
the head in between; they are told apart by a linear discriminant that learned on many more trials than a file has.
"""

from collections.abc import Sequence

import numpy as np

from harness.data.simulate_eeg.noise import RATE_HZ
from harness.data.simulate_eeg.parameters import Parameters, random_stream
from harness.data.simulate_eeg.recording import SimulatedRun, drifted, motor_sources
from harness.data.simulate_eeg.schedule import Schedule, schedule
from harness.data.simulate_eeg.subject import Subject

WINDOW_S = 2.0
N_FRESH = 18
"""Fresh runs to learn from, in equal shares of the numbers in the file, and as many to test on."""


def best_scores(parameters: Parameters, subject: Subject, runs: Sequence[SimulatedRun]) -> dict[str, float]:
    """Balanced accuracy from the true source amplitudes: on this recording, and on many fresh trials.

    Every movement of the file is one class.
    """
    rng = random_stream(parameters, "truth", session=parameters.session)
    model = Discriminant(*_fresh(parameters, subject, rng))
    here = _joined([source_features(run.plan, run.sources) for run in runs])
    return {
        "source_amplitudes": balanced_accuracy(here[1], model.labels_of(here[0])),
        "source_amplitudes_expected": _expected(model, _fresh(parameters, subject, rng)),
    }


def source_features(plan: Schedule, sources: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log power of each source in the window that ends `WINDOW_S` after each cue, (n_trials, 6), and the labels."""
    first = np.round(plan.cues_s * RATE_HZ).astype(int)
    power = np.abs(sources) ** 2
    rows = [power[:, i : i + round(WINDOW_S * RATE_HZ)].mean(axis=1) for i in first]
    return np.log(rows), np.array(plan.labels)


def balanced_accuracy(truth: np.ndarray, answers: np.ndarray) -> float:
    """Mean over the classes of the share that was recognised; both (n_trials,) labels."""
    return float(np.mean([np.mean(answers[truth == label] == label) for label in np.unique(truth)]))


class Discriminant:
    """A linear discriminant with one covariance for all classes and equal priors.

    Fisher 1936, doi:10.1111/j.1469-1809.1936.tb02137.x.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray) -> None:
        """Learn from features (n_trials, n_features) and labels (n_trials,)."""
        self.labels = np.unique(labels)
        means = np.array([features[labels == label].mean(axis=0) for label in self.labels])
        within = features - means[np.searchsorted(self.labels, labels)]
        self.weights = np.linalg.solve(within.T @ within / len(within), means.T)
        self.offsets = -0.5 * np.sum(means.T * self.weights, axis=0)

    def labels_of(self, features: np.ndarray) -> np.ndarray:
        """(n_trials,) labels of features (n_trials, n_features)."""
        return np.asarray(self.labels[np.argmax(features @ self.weights + self.offsets, axis=1)])


def _expected(model: Discriminant, fresh: tuple[np.ndarray, np.ndarray]) -> float:
    return balanced_accuracy(fresh[1], model.labels_of(fresh[0]))


def _fresh(parameters: Parameters, subject: Subject, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels of trials that are in no file."""
    found = []
    for number in np.repeat(parameters.runs, N_FRESH // len(parameters.runs)):
        plan = schedule(int(number), rng)
        sources, _ = motor_sources(drifted(subject, parameters.drift, rng), plan, rng)
        found.append(source_features(plan, sources))
    return _joined(found)


def _joined(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([features for features, _ in parts]), np.concatenate([labels for _, labels in parts])
