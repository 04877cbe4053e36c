"""Reading a recording from its file, NWB or MATLAB's: only what a task needs, everything checked."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.data.contents import Contents, Series
from harness.data.mat import read_matlab
from harness.data.nwb_file import NwbFile, open_nwb
from harness.data.nwb_series import read_counts, read_series, read_signal, read_target
from harness.data.nwb_tables import read_spikes, read_trials
from harness.data.protocol import Layout, TargetAt
from harness.errors import UsageError


@dataclass(frozen=True)
class Wanted:
    """What of a file is read.

    spikes: Whether spikes or counts are.
    signals: Names of the layout's signals.
    trial_columns: Columns of the trials table, none of it if empty; None: all.
    """

    spikes: bool = True
    signals: tuple[str, ...] = ()
    trial_columns: Collection[str] | None = None


EVERYTHING = Wanted()
"""All but signals, of which a file may hold more than a task needs."""


def read_contents(path: Path, layout: Layout, target: str, wanted: Wanted = EVERYTHING) -> Contents:
    """Read one behaviour, and of spikes, signals and trials what is wanted.

    Args:
        path: The file.
        layout: Where things are in it.
        target: Which of the layout's targets.
        wanted: What else to read.

    Raises:
        UsageError: If the layout has no such target or signal, or asks of a MATLAB file what it cannot have.
        BadData: If the file lacks something, is damaged, or holds what cannot be true; the message names the file,
            the object and what is there.
        MissingData: If there is no such file.
    """
    if target not in layout.targets:
        raise UsageError(f"the layout has no target {target!r}; it has: {', '.join(layout.targets)}")
    if absent := [name for name in wanted.signals if name not in layout.signals]:
        known = ", ".join(layout.signals) or "none"
        raise UsageError(f"the layout has no signal {absent[0]!r}; it has: {known}; add it to `signals`")
    with open_nwb(path) as nwb:
        if layout.format == "matlab" and wanted.signals:
            raise UsageError(f"a MATLAB file has no signals, and the task wants {wanted.signals[0]!r}; use an NWB file")
        if layout.format == "matlab":
            return read_matlab(nwb, layout, target)
        at = layout.spikes if wanted.spikes else None
        wanted_of = layout.targets[target]
        behaviour = read_target(nwb, wanted_of) if isinstance(wanted_of, TargetAt) else None
        return Contents(
            target=behaviour,
            spikes=read_spikes(nwb, at.units, areas=at.areas) if at and at.units else None,
            counts=read_counts(nwb, at.counts) if at and at.counts else None,
            trials=_trials(nwb, layout, wanted.trial_columns),
            goals=_goals(nwb, layout.goals, behaviour) if layout.goals and behaviour else None,
            signals={name: read_signal(nwb, layout.signals[name]) for name in wanted.signals},
        )


def _goals(nwb: NwbFile, where: str, behaviour: Series) -> np.ndarray:
    goals = read_series(nwb, where)
    if not np.array_equal(goals.times_s, behaviour.times_s):
        raise nwb.bad(where, "is not sampled at the times of the target; its rows would name other instants")
    return goals.values


def _trials(nwb: NwbFile, layout: Layout, columns: Collection[str] | None) -> dict[str, np.ndarray]:
    wanted = columns is None or len(columns)
    return read_trials(nwb, layout.trials, columns) if layout.trials and wanted else {}
