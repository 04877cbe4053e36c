"""Trials of some classes on a grid of bins: labels, the bins in which cues appear, the bins that are scored."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from harness.data.bins import Bins, to_ticks
from harness.data.protocol import ClassesAt
from harness.errors import BadData

MOST_NAMED = 8
"""Values of a column in a message."""


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

    A trial whose cue lies in no bin is left out. One that ends, or whose run ends, before its decision keeps its cue,
    for nobody knows the end when the cue appears; it has no labels and no decision.

    Raises:
        BadData: If trials overlap, a kept trial has no times, or no trial is left.
    """
    kept = _kept(trials, at)
    cue_s, stop_s = (_times_s(trials, name, kept) for name in (at.cue, at.stop))
    chosen = _texts(trials, at.column)[kept]
    order = np.argsort(cue_s, kind="stable")
    cue_s, stop_s, chosen = cue_s[order], stop_s[order], chosen[order]
    _check(cue_s, stop_s)
    targets = np.full((len(bins.ticks), len(at.classes)), np.nan)
    scored, cues = np.zeros(len(bins.ticks), bool), []
    i_class = {value: i for i, values in enumerate(at.classes.values()) for value in values}
    piece = np.cumsum(bins.starts)
    starts, stops = to_ticks(cue_s, clock_hz), to_ticks(np.minimum(stop_s, cue_s + at.until_s), clock_hz)
    decisions = starts + to_ticks(np.array(at.decision_s), clock_hz)
    for cue, decision, stop, value in zip(starts, decisions, stops, chosen.tolist(), strict=True):
        k = _bin_of(cue, bins, bin_ticks)
        if k is None:
            continue
        cues.append(bins.ticks[k])
        i_decision = int(np.searchsorted(bins.ticks, decision, "right")) - 1
        last = int(np.searchsorted(bins.ticks, stop, "right"))
        on_time = bins.ticks[i_decision] > decision - bin_ticks and k < i_decision < last
        if not on_time or piece[i_decision] != piece[k]:
            continue
        of_piece = slice(k + 1, k + 1 + int(np.sum(piece[k + 1 : last] == piece[k])))
        targets[of_piece] = np.eye(len(at.classes))[i_class[value]]
        scored[i_decision] = True
    if not cues:
        raise BadData(_none_left(trials, at))
    return Labels(targets, scored, np.array(cues, np.int64))


def cue_stream(bins: Bins, cues: np.ndarray) -> np.ndarray:
    """(n_bins, 1) float32, 1 in the bins in which a cue appears."""
    return np.isin(bins.ticks, cues).astype(np.float32)[:, None]


def _bin_of(cue: int, bins: Bins, bin_ticks: int) -> int | None:
    """The bin (left, right] in which a cue appears; None if it lies in none."""
    k = int(np.searchsorted(bins.ticks, cue))
    return k if k < len(bins.ticks) and bins.ticks[k] - cue < bin_ticks else None


def _kept(trials: Mapping[str, np.ndarray], at: ClassesAt) -> np.ndarray:
    """(n_trials,) bool: of one of the classes, and with the further values."""
    wanted = [value for values in at.classes.values() for value in values]
    kept = np.isin(_texts(trials, at.column), wanted)
    for column, allowed in at.keep.items():
        # One by one: as one array, a number beside a text would become a text.
        kept &= np.logical_or.reduce([_one_per_trial(trials, column) == value for value in allowed])
    return kept


def _one_per_trial(trials: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    """A column with one value for each trial."""
    values = np.asarray(trials[name])
    if values.ndim != 1 or values.dtype == object:
        raise BadData(
            f"trial column {name!r} has several values for a trial, where one belongs; name another in the suite"
        )
    return values


def _texts(trials: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return np.asarray(_one_per_trial(trials, name).astype(str))


def _times_s(trials: Mapping[str, np.ndarray], name: str, kept: np.ndarray) -> np.ndarray:
    values = _one_per_trial(trials, name)
    if values.dtype.kind not in "fiu":
        raise BadData(f"trial column {name!r} holds {values.dtype}, where seconds belong; name another in the suite")
    return np.asarray(values[kept], np.float64)


def _none_left(trials: Mapping[str, np.ndarray], at: ClassesAt) -> str:
    """Why there is no trial, and what the file has instead."""
    names = ", ".join(value for values in at.classes.values() for value in values)
    there = np.unique(_texts(trials, at.column))
    some = ", ".join(there[:MOST_NAMED].tolist()) + (" and others" if len(there) > MOST_NAMED else "")
    return (
        f"no trial of {names} lies in its bins; column {at.column!r} has {some or 'no rows'}: take the file that the "
        f"suite pins, or correct `classes` and `keep`"
    )


def _check(cue_s: np.ndarray, stop_s: np.ndarray) -> None:
    if not (np.isfinite(cue_s).all() and np.isfinite(stop_s).all()):
        raise BadData("a trial has no cue or no end; take the file that the suite pins")
    if np.any(cue_s[1:] < stop_s[:-1] - 1e-6) or np.any(stop_s <= cue_s):
        k = int(np.argmax(np.append(cue_s[1:] < stop_s[:-1] - 1e-6, True)))
        raise BadData(
            f"trials overlap or end before their cue, about {cue_s[k]:g} s; take the file that the suite pins"
        )
