"""Train, validation and test: parts of a session that share no scored bin, with gaps between them."""

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from harness.data.align import Aligned
from harness.data.runs import empty_parts, run_parts
from harness.data.segments import segment_parts
from harness.data.split_rules import (
    PARTS,
    ReachSplit,
    RunSplit,
    SegmentSplit,
    Split,
    TimeSplit,
    TrialSplit,
    WholeSplit,
)
from harness.data.trial_parts import by_trials, distance
from harness.errors import BadData, UsageError
from harness.types import Inputs, Recording


@dataclass(frozen=True)
class Parts:
    """A session, cut up.

    ticks: Part -> (n_bins,) int64, the right edges of its bins on the session's clock of `clock_hz`.
    """

    train: Recording
    validation: Recording
    test: Recording
    ticks: Mapping[str, np.ndarray] = field(default_factory=dict)
    clock_hz: int = 1

    @property
    def n_bytes(self) -> int:
        """Of all streams."""
        streams = [{**self[part].inputs.streams, **self[part].privileged} for part in PARTS]
        return sum(values.nbytes for one in streams for values in one.values())

    def __getitem__(self, part: str) -> Recording:
        return {"train": self.train, "validation": self.validation, "test": self.test}[part]


def split(aligned: Aligned, trials: Mapping[str, np.ndarray], rule: Split, *, fold: int = 0) -> Parts:
    """Cut a session into its parts.

    Args:
        aligned: The session.
        trials: Its trials' columns.
        rule: How it is cut.
        fold: Which of its tests, where the rule has several.

    Raises:
        BadData: If a part has no scored bin, an output never changes in the scored bins of the test, a class never
            occurs in train or test, or the trials lack what the rule needs.
        UsageError: If the rule needs reaches and the layout names no goals.
    """
    if isinstance(rule, TrialSplit):
        chosen = by_trials(aligned, trials, rule)
    elif isinstance(rule, SegmentSplit):
        chosen = _by_segments(aligned, rule)
    elif isinstance(rule, RunSplit | WholeSplit):
        ranges = run_parts(aligned, rule, fold=fold)
        chosen = {part: (bins, aligned.recording.scored & _among(bins, aligned)) for part, bins in ranges.items()}
    else:
        chosen = _in_time(aligned, rule)
    recordings = {part: _cut(aligned, bins, scored) for part, (bins, scored) in chosen.items()}
    for part, recording in recordings.items():
        if not recording.scored.any() and part not in empty_parts(rule):
            raise BadData(
                f"session {aligned.recording.session.id!r}: its {part} part has no scored bin, of {len(aligned.ticks)} "
                f"bins in all; correct the suite's split, or leave the session out"
            )
    if len(recordings["test"]):
        _check_variation(recordings["test"])
        _check_classes(recordings)
    ticks = {part: aligned.ticks[bins] for part, (bins, _) in chosen.items()}
    return Parts(**recordings, ticks=ticks, clock_hz=aligned.clock_hz)


def _check_variation(test: Recording) -> None:
    """Refuse a test in which an output stands still: its R2 would have no value."""
    if test.session.kind != "regression":
        return
    still = np.ptp(test.targets[test.scored], axis=0) == 0
    if still.any():
        names = [name for name, is_still in zip(test.session.outputs, still, strict=True) if is_still]
        raise BadData(
            f"session {test.session.id!r}: {', '.join(names)} {'does' if len(names) == 1 else 'do'} not change in the "
            f"{int(test.scored.sum())} scored bins of the test part, so that R2 has no value; leave the session out, "
            f"or let the suite's split give the test more, or drop the output from the layout's target"
        )


def _check_classes(recordings: Mapping[str, Recording]) -> None:
    """Refuse parts without one of the classes: it could not be learned, or chance would be another than is stated."""
    for part in ("train", "test"):
        recording = recordings[part]
        if recording.session.kind != "classification":
            return
        occurs = (recording.targets[recording.scored] == 1).any(axis=0)
        if not occurs.all():
            absent = recording.session.outputs[int(np.argmin(occurs))]
            raise BadData(
                f"session {recording.session.id!r}: none of the {int(recording.scored.sum())} trials in {part} is of "
                f"class {absent!r}; leave the session out, correct `classes`, or give the part more runs"
            )


def columns_of(rule: Split) -> tuple[str, ...]:
    """The trial columns that a rule reads."""
    if not isinstance(rule, TrialSplit):
        return ()
    named = (rule.window.start, rule.window.stop, *rule.keep, *((rule.column,) if rule.column else ()))
    return tuple(dict.fromkeys(named))


def find_leaks(parts: Parts, *, gap_s: float = 0.0) -> tuple[str, ...]:
    """What is wrong with the separation of parts, in words; nothing if they are apart.

    No scored bin of a part may lie in an earlier one (train before validation before test), scored or not, nor be
    scored twice, nor be nearer than `gap_s` to a scored bin of another part.
    """
    found = []
    for earlier, later in itertools.combinations(PARTS, 2):
        scored = parts.ticks[later][parts[later].scored]
        n_inside = int(np.count_nonzero(distance(parts.ticks[earlier], scored) == 0))
        if n_inside:
            found.append(f"{n_inside} scored bins of {later} lie in {earlier}")
        bin_ticks = parts[later].inputs.bin_s * parts.clock_hz
        nearest = distance(parts.ticks[earlier][parts[earlier].scored], scored) - bin_ticks
        if nearest.size and nearest.min() < gap_s * parts.clock_hz - 1e-6:
            gap = nearest.min() / parts.clock_hz
            found.append(f"{earlier} and {later} are {gap:g} s apart, where {gap_s:g} s belong")
    return tuple(found)


def _in_time(aligned: Aligned, rule: TimeSplit | ReachSplit) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    n = len(aligned.ticks)
    if isinstance(rule, ReachSplit):
        first, second = _between_reaches(aligned, rule)
    else:
        first, second = round(rule.fractions[0] * n), round((1 - rule.fractions[2]) * n)
    edges = {
        "train": (0, _before_gap(aligned, first, rule.gap_s)),
        "validation": (first, _before_gap(aligned, second, rule.gap_s)),
        "test": (second, n),
    }
    scored = aligned.recording.scored
    return {part: (np.arange(a, max(a, b)), scored) for part, (a, b) in edges.items()}


def _by_segments(aligned: Aligned, rule: SegmentSplit) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    recording = aligned.recording
    owner, starts = segment_parts(
        len(recording),
        recording.inputs.bin_s,
        segment_s=rule.segment_s,
        fractions=rule.fractions,
        session_id=recording.session.id,
        seed=rule.seed,
    )
    recording.inputs.starts[starts] = True
    return {part: (np.flatnonzero(owner == i), recording.scored) for i, part in enumerate(PARTS)}


def _between_reaches(aligned: Aligned, rule: ReachSplit) -> tuple[int, int]:
    """The first bins of validation and of test."""
    if aligned.cuts is None:
        raise UsageError(
            f"session {aligned.recording.session.id!r}: the split is by reaches, but its layout does not say where the "
            f"goals are; add `goals` to it, or split by `time`"
        )
    n_reaches = len(aligned.cuts) + 1
    n_train = int(np.floor(rule.train * n_reaches))
    n_validation = int(np.floor((n_reaches - n_train) / 2))
    first_of_reach = np.concatenate([[0], np.searchsorted(aligned.ticks, aligned.cuts), [len(aligned.ticks)]])
    return int(first_of_reach[n_train]), int(first_of_reach[n_train + n_validation])


def _before_gap(aligned: Aligned, boundary: int, gap_s: float) -> int:
    """Where the part before `boundary` ends: the gap is as many bins and, should they lie too close, as much time."""
    n_bins = int(np.ceil(gap_s / aligned.recording.inputs.bin_s - 1e-9))
    if boundary >= len(aligned.ticks):
        return boundary - n_bins
    latest = aligned.ticks[boundary] - aligned.bin_ticks - gap_s * aligned.clock_hz + 1e-6
    return min(boundary - n_bins, int(np.searchsorted(aligned.ticks, latest, side="right")))


def _cut(aligned: Aligned, bins: np.ndarray, scored: np.ndarray) -> Recording:
    """The recording of some bins, in order; where one does not follow the other, a start."""
    whole = aligned.recording
    chosen = _as_slice(bins)
    starts = whole.inputs.starts[chosen].copy()
    starts |= np.diff(bins, prepend=-2) != 1
    inputs = Inputs({n: v[chosen] for n, v in whole.inputs.streams.items()}, starts, whole.inputs.bin_s)
    kept = scored[chosen]
    # Of classes, the labels of all bins of a trial are its part's; of a behaviour, those of the scored bins alone.
    known = kept[:, None] | (whole.session.kind == "classification")
    targets = np.where(known, whole.targets[chosen], np.float32(np.nan))
    privileged = {name: values[chosen] for name, values in whole.privileged.items()}
    return replace(whole, inputs=inputs, targets=targets, scored=kept, privileged=privileged)


def _among(bins: np.ndarray, aligned: Aligned) -> np.ndarray:
    """(n_bins of the session,) bool: whether a bin is one of these."""
    chosen = np.zeros(len(aligned.ticks), bool)
    chosen[bins] = True
    return chosen


def _as_slice(bins: np.ndarray) -> slice | np.ndarray:
    """The bins as a slice where they are one run: a view costs no memory."""
    if len(bins) and bins[-1] - bins[0] == len(bins) - 1:
        return slice(int(bins[0]), int(bins[-1]) + 1)
    return bins
