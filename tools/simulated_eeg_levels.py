"""How well classical decoders tell simulated movements apart: the levels of docs/simulation.md.

    python tools/simulated_eeg_levels.py --subjects 24

Offline and within a subject: 8 to 30 Hz, forwards and backwards within each run, 0.5 to 3.5 s after the cue, each run
tested once by a decoder that learned from the others.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh
from scipy.signal import butter, sosfiltfilt

from harness.data.simulate_eeg import Parameters
from harness.data.simulate_eeg.noise import RATE_HZ
from harness.data.simulate_eeg.recording import simulate
from harness.data.simulate_eeg.subject import draw_subject
from harness.data.simulate_eeg.truth import Discriminant, balanced_accuracy, best_scores

BAND_HZ, WINDOW_S, N_FILTERS = (8.0, 30.0), (0.5, 3.5), 6
LEFT_OR_RIGHT, FISTS_OR_FEET = (4, 8, 12), (6, 10, 14)


@dataclass(frozen=True, eq=False)
class Trials:
    """Covariances (n_trials, n_channels, n_channels) of the band in the window, labels and runs (n_trials,)."""

    covariances: np.ndarray
    labels: np.ndarray
    runs: np.ndarray


def trials_of_run(
    values_uv: np.ndarray, cues_s: Sequence[float], labels: Sequence[str], number: int, *, window_s: Sequence[float]
) -> Trials:
    """The trials of one run, values_uv (n_samples, n_channels), after the band-pass of the whole run."""
    sos = butter(4, BAND_HZ, "band", fs=RATE_HZ, output="sos")
    filtered = sosfiltfilt(sos, values_uv, axis=0)
    spans = [[round((cue_s + edge_s) * RATE_HZ) for edge_s in window_s] for cue_s in cues_s]
    covariances = [filtered[a:b].T @ filtered[a:b] / (b - a) for a, b in spans]
    return Trials(np.array(covariances), np.array(labels), np.full(len(spans), number))


def joined(parts: Sequence[Trials]) -> Trials:
    """All trials of several runs."""
    return Trials(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("covariances", "labels", "runs")))


def simulated_trials(parameters: Parameters, *, window_s: Sequence[float] = WINDOW_S) -> Trials:
    """The trials of a simulated recording."""
    runs = simulate(parameters)
    return joined(
        [
            trials_of_run(
                run.counts.astype(float), run.plan.cues_s, run.plan.labels, run.plan.number, window_s=window_s
            )
            for run in runs
        ]
    )


def spatial_patterns(trials: Trials) -> float:
    """Balanced accuracy of common spatial patterns (the three of each end) and a linear discriminant."""
    answers = np.empty_like(trials.labels)
    for run in np.unique(trials.runs):
        test = trials.runs == run
        filters = _filters(trials.covariances[~test], trials.labels[~test])
        power = np.log(np.einsum("cf,ncd,df->nf", filters, trials.covariances, filters, optimize=True))
        answers[test] = Discriminant(power[~test], trials.labels[~test]).labels_of(power[test])
    return balanced_accuracy(trials.labels, answers)


def tangent_space(trials: Trials) -> float:
    """Balanced accuracy of a ridge on the logarithms of the covariances, whitened by the mean of the training part."""
    truth = trials.labels == trials.labels[0]
    answers = np.empty(len(truth))
    for run in np.unique(trials.runs):
        test = trials.runs == run
        rows = _tangents(trials.covariances, trials.covariances[~test].mean(axis=0))
        offset, sign = rows[~test].mean(axis=0), np.where(truth[~test], 1.0, -1.0)
        kernel = (rows - offset) @ (rows[~test] - offset).T
        penalty = np.trace(kernel[~test]) / len(sign) * np.eye(len(sign))
        answers[test] = kernel[test] @ np.linalg.solve(kernel[~test] + penalty, sign - sign.mean()) + sign.mean()
    return balanced_accuracy(truth, answers > 0)


def _filters(covariances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n_channels, N_FILTERS) directions whose power differs most between the two classes."""
    normed = covariances / np.trace(covariances, axis1=1, axis2=2)[:, None, None]
    first, both = normed[labels == labels[0]].mean(axis=0), normed.mean(axis=0)
    _, vectors = eigh(first, both + 1e-6 * np.trace(both) / len(both) * np.eye(len(both)))
    half = N_FILTERS // 2
    return np.asarray(np.hstack([vectors[:, :half], vectors[:, -half:]]))


def _tangents(covariances: np.ndarray, middle: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(middle)
    whitening = (vectors / np.sqrt(values)) @ vectors.T
    shrunk = 0.9 * covariances + 0.1 * middle
    values, vectors = np.linalg.eigh(whitening @ shrunk @ whitening)
    return np.asarray(np.einsum("nij,nj,nkj->nik", vectors, np.log(values), vectors).reshape(len(covariances), -1))


def levels(seed: int, *, runs: tuple[int, ...] = LEFT_OR_RIGHT, strength: float = 1.0) -> dict[str, float]:
    """Balanced accuracy by decoder for one simulated subject, and what is known of it."""
    parameters = Parameters(subject_seed=seed, runs=runs, strength=strength)
    trials, short = simulated_trials(parameters), simulated_trials(parameters, window_s=(0.0, 2.0))
    known = best_scores(parameters, draw_subject(parameters), simulate(parameters))
    return {
        "common spatial patterns": spatial_patterns(trials),
        "tangent space": tangent_space(trials),
        "common spatial patterns, 0 to 2 s": spatial_patterns(short),
        **known,
    }


def main() -> None:
    """Print the level of every subject, and their mean and spread."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=24, help="subjects 0, 1, ... up to so many")
    parser.add_argument("--first", type=int, default=0, help="begin with this one")
    options = parser.parse_args()
    for runs in (LEFT_OR_RIGHT, FISTS_OR_FEET):
        found = [levels(seed, runs=runs) for seed in range(options.first, options.first + options.subjects)]
        for name in found[0]:
            scores = np.array([of_subject[name] for of_subject in found])
            print(f"runs {runs}, {name}: mean {scores.mean():.3f}, SD {scores.std():.3f}, {np.sort(scores).round(2)}")


if __name__ == "__main__":
    main()
