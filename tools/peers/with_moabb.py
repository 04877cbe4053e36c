"""MOABB at work, in its own environment: `python -m tools.peers.with_moabb csp-lda INPUTS OUT.json`."""

import os
import tempfile
import warnings
from pathlib import Path
from typing import Any, ClassVar

import mne
import moabb
import numpy as np
from moabb.datasets.base import BaseDataset
from moabb.evaluations import CrossSessionEvaluation
from moabb.paradigms import LeftRightImagery
from pyriemann.estimation import Covariances
from pyriemann.spatialfilters import CSP
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.pipeline import make_pipeline

from tools.peers.timing import Done, serve, timed

RATE_HZ, MICROVOLT = 160.0, 1e-6
NAMES = ("left_hand", "right_hand")
ROUNDS = 2


class MadeUp(BaseDataset):
    """The made-up subjects, a session for each run."""

    folder: ClassVar[Path]

    def __init__(self) -> None:
        self.files = sorted(self.folder.glob("S*.npz"))
        events = {name: i + 1 for i, name in enumerate(NAMES)}
        of = {"code": "MadeUp", "interval": [0, 2], "paradigm": "imagery"}
        super().__init__(list(range(1, len(self.files) + 1)), 3, events, **of)

    def _get_single_subject_data(self, subject: int) -> dict[str, dict[str, mne.io.RawArray]]:
        with np.load(self.files[subject - 1]) as kept:
            parts = zip(kept["counts"], kept["sides"], strict=True)
            return {str(i): {"0": _raw(counts, kept["cues_s"], sides)} for i, (counts, sides) in enumerate(parts)}

    def data_path(self, subject: int, *args: Any, **kwargs: Any) -> list[str]:
        """Where a subject lies."""
        return [str(self.files[subject - 1])]


class BalancedAccuracy(LeftRightImagery):
    """Its two-class paradigm, scored as this project scores; by default it would be the area under the curve."""

    scoring = "balanced_accuracy"


def _raw(counts: np.ndarray, cues_s: np.ndarray, sides: np.ndarray) -> mne.io.RawArray:
    stim = np.zeros((len(counts), 1))
    stim[np.rint(cues_s * RATE_HZ).astype(int), 0] = sides + 1
    names = [f"EEG{i:03d}" for i in range(counts.shape[1])]
    info = mne.create_info([*names, "stim"], RATE_HZ, ["eeg"] * len(names) + ["stim"])
    return mne.io.RawArray(np.concatenate([counts * MICROVOLT, stim], axis=1).T, info, verbose=False)


def csp_lda(inputs: Path) -> Done:
    """Each session of each subject tested once on the others: filter, cut, fit, score, write results."""
    MadeUp.folder = inputs
    pipeline = make_pipeline(Covariances("oas"), CSP(nfilter=6), LinearDiscriminantAnalysis())

    def evaluate() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            paradigm = BalancedAccuracy(fmin=8, fmax=30)
            done = CrossSessionEvaluation(paradigm, [MadeUp()], overwrite=True, hdf5_path=folder, n_jobs=1)
            return done.process({"CSP+LDA": pipeline})

    rounds = timed(evaluate, rounds=ROUNDS)
    found = rounds.found
    scores = found.groupby("subject")["score"].mean().tolist()
    return Done(rounds, len(found), {"fits": len(found), "score": float(np.mean(scores)), "of_subject": scores})


if __name__ == "__main__":
    os.environ.setdefault("MOABB_RESULTS", tempfile.gettempdir())
    warnings.simplefilter("ignore")
    moabb.set_log_level("error")
    mne.set_log_level("error")
    serve({"csp-lda": csp_lda}, ("moabb", "mne", "pyriemann", "scikit-learn", "numpy", "scipy", "pandas"))
