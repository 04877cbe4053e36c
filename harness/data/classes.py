"""Trials of some classes on a grid of bins: labels, the bins in which cues appear, the bins that are scored."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.data.bins import Bins, to_ticks
from harness.data.protocol import ClassesAt
from harness.errors import BadData


@dataclass(frozen=True)
class Labels:
    """What is known of each bin.

    targets: (n_bins, n_classes) float64, one-hot within trials, else NaN.
    scored: (n_bins,) bool, one bin of each trial.
    cues: (n_trials,) int64 ticks, going up: the right edge of the bin in which each cue appears.
    """

    targets: np.ndarray
    scored: np.ndarray
    cues: np.ndarray


def labels_of(trials: Mapping[str, np.ndarray], at: ClassesAt, bins: Bins, *, bin_ticks: int, clock_hz: int) -> Labels:
    """Put trials on bins. A cue is in the bin (left, right] in which it appears; labels begin with the next one.

    A trial whose cue or decision lies in no bin is left out, with its cue.

    Raises:
        BadData: If trials overlap, a kept trial has no times, or no trial is left.
    """
    kept = _kept(trials, at)
    cue_s, stop_s = (np.asarray(trials[name], np.float64)[kept] for name in (at.cue, at.stop))
    chosen = np.asarray(trials[at.column])[kept].astype(str)
    order = np.argsort(cue_s, kind="stable")
    cue_s, stop_s, chosen = cue_s[order], stop_s[order], chosen[order]
    _check(cue_s, stop_s)
    targets = np.full((len(bins.ticks), len(at.classes)), np.nan)
    scored, cues = np.zeros(len(bins.ticks), bool), []
    i_class = {value: i for i, values in enumerate(at.classes.values()) for value in values}
    piece = np.cumsum(bins.starts)
    starts, stops = to_ticks(cue_s, clock_hz), to_ticks(np.minimum(stop_s, cue_s + at.until_s), clock_hz)
    for cue, stop, value in zip(starts, stops, chosen.tolist(), strict=True):
        k = int(np.searchsorted(bins.ticks, cue))
        decision = int(np.searchsorted(bins.ticks, cue + to_ticks(np.array(at.decision_s), clock_hz), "right")) - 1
        last = int(np.searchsorted(bins.ticks, stop, "right"))
        inside = k < len(piece) and bins.ticks[k] - cue < bin_ticks and k < decision < last
        if not inside or piece[decision] != piece[k]:
            continue
        of_piece = slice(k + 1, k + 1 + int(np.sum(piece[k + 1 : last] == piece[k])))
        targets[of_piece] = np.eye(len(at.classes))[i_class[value]]
        scored[decision] = True
        cues.append(bins.ticks[k])
    if not cues:
        names = ", ".join(value for values in at.classes.values() for value in values)
        raise BadData(f"no trial of {names} lies in its bins; take the file that the suite pins, or correct `classes`")
    return Labels(targets, scored, np.array(cues, np.int64))


def cue_stream(bins: Bins, cues: np.ndarray) -> np.ndarray:
    """(n_bins, 1) float32, 1 in the bins in which a cue appears."""
    return np.isin(bins.ticks, cues).astype(np.float32)[:, None]


def _kept(trials: Mapping[str, np.ndarray], at: ClassesAt) -> np.ndarray:
    """(n_trials,) bool: of one of the classes, and with the further values."""
    wanted = [value for values in at.classes.values() for value in values]
    kept = np.isin(np.asarray(trials[at.column]).astype(str), wanted)
    for column, allowed in at.keep.items():
        kept &= np.isin(np.asarray(trials[column]), np.array(allowed))
    return kept


def _check(cue_s: np.ndarray, stop_s: np.ndarray) -> None:
    if not (np.isfinite(cue_s).all() and np.isfinite(stop_s).all()):
        raise BadData("a trial has no cue or no end; take the file that the suite pins")
    if np.any(cue_s[1:] < stop_s[:-1] - 1e-6) or np.any(stop_s <= cue_s):
        k = int(np.argmax(np.append(cue_s[1:] < stop_s[:-1] - 1e-6, True)))
        raise BadData(
            f"trials overlap or end before their cue, about {cue_s[k]:g} s; take the file that the suite pins"
        )
