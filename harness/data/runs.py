"""Parts that are whole runs: each of them, or the last ones, tested by what was learned from the others."""

import numpy as np

from harness.data.align import Aligned
from harness.data.split_rules import PARTS, RunSplit, Split, WholeSplit
from harness.errors import BadData


def empty_parts(rule: Split) -> tuple[str, ...]:
    """The parts that a rule leaves empty."""
    return tuple(part for part in PARTS if part != rule.part) if isinstance(rule, WholeSplit) else ()


def run_parts(aligned: Aligned, rule: RunSplit | WholeSplit, *, fold: int) -> dict[str, np.ndarray]:
    """Part -> its bins, going up. A run is what lies between two breaks of the recording.

    Raises:
        BadData: If the session has another number of runs, or too few trials to learn from.
    """
    n_bins = len(aligned.ticks)
    if isinstance(rule, WholeSplit):
        return {part: np.arange(n_bins if part == rule.part else 0) for part in PARTS}
    runs = [np.arange(s.start, s.stop) for s in aligned.recording.inputs.segments()]
    if len(runs) != rule.runs:
        raise BadData(
            f"session {aligned.recording.session.id!r} has {len(runs)} runs, and its split is for {rule.runs}; correct "
            f"`runs` in the suite's split, or take the file that the suite pins"
        )
    first = fold * rule.test_runs if rule.test == "each" else rule.runs - rule.test_runs
    test = runs[first : first + rule.test_runs]
    learned = runs[:first] + runs[first + rule.test_runs :]
    # As many runs as are tested: where each of them holds some of the classes, validation holds all.
    earlier, last = learned[: -rule.test_runs], learned[-rule.test_runs :]
    boundaries = [_validation_start(aligned, run, rule.validation_fraction) for run in last]
    pairs = list(zip(last, boundaries, strict=True))
    return {
        "train": np.concatenate([*earlier, *(run[run < boundary] for run, boundary in pairs)]),
        "validation": np.concatenate([run[run >= boundary] for run, boundary in pairs]),
        "test": np.concatenate(test),
    }


def _validation_start(aligned: Aligned, run: np.ndarray, fraction: float) -> int:
    """The bin of the cue with which the last trials of a run begin, as many as the fraction says, at least one."""
    cuts = aligned.cuts if aligned.cuts is not None else np.zeros(0, np.int64)
    cues = np.searchsorted(aligned.ticks, cuts)
    decisions = run[aligned.recording.scored[run]]
    n_validation = max(1, round(fraction * len(decisions)))
    if len(decisions) <= n_validation:
        raise BadData(
            f"session {aligned.recording.session.id!r}: a run has {len(decisions)} trials, of which none is left to "
            f"learn from beside validation; leave the session out"
        )
    # The cue before the decision: the last trials of a run may have been cut short, so that they have none.
    return int(cues[np.searchsorted(cues, decisions[-n_validation]) - 1])
