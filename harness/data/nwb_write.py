"""Writing a session as NWB through pynwb: the room of the simulator's files.

The paths below are where a suite's layout finds things in them.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

UNITS_PATH = "units"
COUNTS_PATH = "processing/ecephys/binned_spike_counts"
LFP_PATH = "processing/ecephys/LFP/lfp"
CURSOR_PATH = "processing/behavior/Position/cursor_pos"
TARGET_PATH = "processing/behavior/Position/target_pos"
TRIALS_PATH = "intervals/trials"
TRUTH_PATH = "scratch/ground_truth"

FIRST_DAY = datetime(2000, 1, 1, tzinfo=UTC)
ELECTRODE_PITCH_UM, ELECTRODES_PER_ROW = 400.0, 10
LFP_CHUNK = (10_000, 32)
"""Samples, channels: ten seconds of a third of the array."""

TRIAL_COLUMNS = {
    "go_cue_time": "when the animal may move, s",
    "move_onset_time": "when the first submovement begins, s",
    "target_x": "target x, m",
    "target_y": "target y, m",
}


@dataclass(frozen=True)
class Header:
    """Whose session it is; `day` counts from the subject's first session."""

    session_id: str
    subject: str
    identifier: str
    description: str
    day: int = 0


@dataclass(frozen=True)
class Series:
    """A regularly sampled signal: values (n_samples, n_channels); a value times `conversion` is in `unit`."""

    name: str
    description: str
    values: np.ndarray
    rate_hz: float
    unit: str
    conversion: float = 1.0


@dataclass(frozen=True)
class SpikeUnits:
    """Spike trains, one unit per electrode, observed from 0 to `stop_s`."""

    times_s: Sequence[np.ndarray]
    names: Sequence[str]
    areas: Sequence[str]
    quality: Sequence[str]
    stop_s: float
    resolution_s: float


@dataclass(frozen=True)
class Electrodes:
    """An array: positions_um (n_electrodes, 2), the area of each, and of_units (n_units,) each unit's electrode."""

    positions_um: np.ndarray
    areas: Sequence[str]
    of_units: np.ndarray


@dataclass(frozen=True)
class NwbContents:
    """What goes into a file; `truth` is JSON that no decoder is shown.

    electrodes: Left out, each unit has an electrode of its own.
    lfp: One channel per electrode, which must be given with it.
    """

    units: SpikeUnits | None = None
    counts: Series | None = None
    positions: Sequence[Series] = ()
    trials: Mapping[str, np.ndarray] = field(default_factory=dict)
    truth: str = "{}"
    electrodes: Electrodes | None = None
    lfp: Series | None = None


def write_nwb(path: Path, header: Header, contents: NwbContents) -> None:
    """Write a file under a temporary name beside `path`, then rename it: it is complete or absent."""
    from pynwb import NWBHDF5IO

    nwb = _file(header)
    if contents.units:
        _add_units(nwb, contents.units, contents.electrodes or _one_per_unit(contents.units.areas))
    if contents.counts:
        _add_counts(nwb, contents.counts)
    if contents.lfp:
        _add_lfp(nwb, contents.lfp)
    _add_positions(nwb, contents.positions)
    if contents.trials:
        _add_trials(nwb, contents.trials)
    nwb.add_scratch(contents.truth, name="ground_truth", description="JSON: parameters and best reachable scores")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.nwb")
    try:
        with NWBHDF5IO(temporary, "w") as io:
            io.write(nwb)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_truth(path: Path) -> dict[str, Any]:
    """The ground truth that the generator left in a file; empty for a recording of anything real."""
    import h5py

    with h5py.File(path, "r") as file:
        if TRUTH_PATH not in file:
            return {}
        text = file[TRUTH_PATH][()]
    known: dict[str, Any] = json.loads(text)
    return known


def _file(header: Header) -> Any:
    from pynwb import NWBFile
    from pynwb.file import Subject

    subject = Subject(
        subject_id=header.subject,
        species="Macaca mulatta",
        sex="U",
        age="P8Y",
        description="Simulated: no animal was recorded. Species and age are what the generator imitates.",
    )
    return NWBFile(
        session_description=header.description,
        identifier=header.identifier,
        session_id=header.session_id,
        session_start_time=FIRST_DAY + timedelta(days=header.day),
        experimenter=["Harness, Simulator"],
        institution="none: simulated",
        lab="none: simulated",
        experiment_description="Simulated reaching; see docs/simulation.md of the Neural Decoder Harness.",
        keywords=["simulated", "reaching", "motor cortex", "neural decoding"],
        notes="The start time is a placeholder: a session of a generator has no date.",
        subject=subject,
    )


def _compressed(values: np.ndarray, chunks: tuple[int, ...] | None = None) -> Any:
    from hdmf.backends.hdf5 import H5DataIO

    return H5DataIO(values, compression="gzip", compression_opts=1, shuffle=True, chunks=chunks)


def _one_per_unit(areas: Sequence[str]) -> Electrodes:
    """One electrode per unit on square arrays, one array per area."""
    place = [divmod(list(areas[:i]).count(area), ELECTRODES_PER_ROW)[::-1] for i, area in enumerate(areas)]
    return Electrodes(ELECTRODE_PITCH_UM * np.array(place, float), areas, np.arange(len(areas)))


def _add_electrodes(nwb: Any, electrodes: Electrodes) -> dict[str, Any]:
    """Fill the table of electrodes; returns area -> electrode group."""
    areas = electrodes.areas
    device = nwb.create_device("array", description="simulated 10-column array of 0.4 mm pitch, one per area")
    groups = {
        area: nwb.create_electrode_group(area, description=f"array in {area}", location=area, device=device)
        for area in dict.fromkeys(areas)
    }
    for area, (x_um, y_um) in zip(areas, electrodes.positions_um.tolist(), strict=True):
        nwb.add_electrode(group=groups[area], location=area, rel_x=x_um, rel_y=y_um)
    return groups


def _add_units(nwb: Any, units: SpikeUnits, electrodes: Electrodes) -> None:
    groups = _add_electrodes(nwb, electrodes)
    nwb.add_unit_column("unit_name", "electrode, and how often its cells have been replaced since the first session")
    nwb.add_unit_column("area", "where the electrode is")
    nwb.add_unit_column("quality", "single: one cell; multi: two or three")
    for i, times_s in enumerate(units.times_s):
        nwb.add_unit(
            spike_times=times_s,
            obs_intervals=[[0.0, units.stop_s]],
            electrodes=[int(electrodes.of_units[i])],
            electrode_group=groups[units.areas[i]],
            unit_name=units.names[i],
            area=units.areas[i],
            quality=units.quality[i],
        )
    nwb.units.resolution = units.resolution_s
    # hdmf checks a list of spikes one by one, which takes ten seconds; an array it takes as it is
    nwb.units.spike_times.transform(lambda times_s: _compressed(np.asarray(times_s, float)))


def _add_counts(nwb: Any, counts: Series) -> None:
    from pynwb import TimeSeries

    module = nwb.create_processing_module("ecephys", "binned spikes; the time of a sample is the left edge of its bin")
    module.add(
        TimeSeries(
            name=counts.name,
            description=counts.description,
            data=_compressed(counts.values),
            unit=counts.unit,
            rate=counts.rate_hz,
            starting_time=0.0,
            continuity="step",
        )
    )


def _add_lfp(nwb: Any, lfp: Series) -> None:
    from pynwb.ecephys import LFP, ElectricalSeries

    module = nwb.create_processing_module("ecephys", "field potentials, as recorded")
    everywhere = nwb.create_electrode_table_region(list(range(lfp.values.shape[1])), "all electrodes of the array")
    chunks = (min(LFP_CHUNK[0], lfp.values.shape[0]), min(LFP_CHUNK[1], lfp.values.shape[1]))
    container = LFP()
    module.add(container)  # first, so that the series finds the table of electrodes above it
    container.add_electrical_series(
        ElectricalSeries(
            name=lfp.name,
            description=lfp.description,
            data=_compressed(lfp.values, chunks),
            electrodes=everywhere,
            rate=float(lfp.rate_hz),
            starting_time=0.0,
            conversion=lfp.conversion,
        )
    )


def _add_positions(nwb: Any, positions: Sequence[Series]) -> None:
    from pynwb.behavior import Position, SpatialSeries

    position = Position(name="Position")
    for series in positions:
        position.add_spatial_series(
            SpatialSeries(
                name=series.name,
                description=series.description,
                data=_compressed(series.values),
                unit=series.unit,
                conversion=series.conversion,
                rate=float(series.rate_hz),
                starting_time=0.0,
                reference_frame="centre of the workspace; x to the right, y away",
            )
        )
    nwb.create_processing_module("behavior", "cursor and target").add(position)


def _add_trials(nwb: Any, trials: Mapping[str, np.ndarray]) -> None:
    further = [name for name in trials if name not in ("start_time", "stop_time")]
    for name in further:
        nwb.add_trial_column(name, TRIAL_COLUMNS.get(name, name))
    for row in zip(*trials.values(), strict=True):
        nwb.add_trial(**dict(zip(trials, (float(value) for value in row), strict=True)))
