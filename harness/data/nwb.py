"""Reading a recording from its file, NWB or MATLAB's: only what a task needs, everything checked."""

from collections.abc import Collection
from pathlib import Path

import numpy as np

from harness.data.contents import Contents, Series, goal_changes
from harness.data.mat import read_matlab
from harness.data.nwb_file import NwbFile, open_nwb
from harness.data.nwb_series import read_counts, read_series, read_target
from harness.data.nwb_tables import read_spikes, read_trials
from harness.data.protocol import Layout
from harness.errors import UsageError


def read_contents(path: Path, layout: Layout, target: str, *, trial_columns: Collection[str] | None = None) -> Contents:
    """Read spikes or counts, one behaviour and the trials from a file.

    Args:
        path: The file.
        layout: Where things are in it.
        target: Which of the layout's targets.
        trial_columns: Columns of the trials table to read, none of it if empty; by default all.

    Raises:
        UsageError: If the layout has no such target, or asks of a MATLAB file what it cannot have.
        BadData: If the file lacks something, is damaged, or holds what cannot be true; the message names the file,
            the object and what is there.
        MissingData: If there is no such file.
    """
    if target not in layout.targets:
        raise UsageError(f"the layout has no target {target!r}; it has: {', '.join(layout.targets)}")
    with open_nwb(path) as nwb:
        if layout.format == "matlab":
            return read_matlab(nwb, layout, target)
        at = layout.spikes
        behaviour = read_target(nwb, layout.targets[target])
        return Contents(
            target=behaviour,
            spikes=read_spikes(nwb, at.units, areas=at.areas) if at and at.units else None,
            counts=read_counts(nwb, at.counts) if at and at.counts else None,
            trials=_trials(nwb, layout, trial_columns),
            changes=_changes(nwb, layout.goals, behaviour) if layout.goals else None,
        )


def _changes(nwb: NwbFile, where: str, behaviour: Series) -> np.ndarray:
    goals = read_series(nwb, where)
    if not np.array_equal(goals.times_s, behaviour.times_s):
        raise nwb.bad(where, "is not sampled at the times of the target; its rows would name other instants")
    return goal_changes(goals.values)


def _trials(nwb: NwbFile, layout: Layout, columns: Collection[str] | None) -> dict[str, np.ndarray]:
    wanted = columns is None or len(columns)
    return read_trials(nwb, layout.trials, columns) if layout.trials and wanted else {}
