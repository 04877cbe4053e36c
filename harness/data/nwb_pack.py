"""Writing a prepared session as one NWB 2 file: its slow voltage, its behaviour, its spikes.

Object paths are those of the simulator's files, so that one layout reads both. The voltage is written block by block.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import h5py
import numpy as np
from hdmf.backends.hdf5 import H5DataIO
from hdmf.data_utils import GenericDataChunkIterator
from pynwb import NWBHDF5IO, NWBFile
from pynwb.behavior import Position, SpatialSeries
from pynwb.ecephys import LFP, ElectricalSeries
from pynwb.file import Subject

from harness.data.contents import Series, SpikeTrains

CHUNK_SAMPLES = 4096
METRES_PER_MM = 1e-3
NO_DATE = datetime(2000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class PackHeader:
    """Whose session it is, and how it was made.

    filtering: What was done to the voltage, in words.
    prepared: What becomes JSON in the file: recipe, files, findings.
    """

    session_id: str
    subject: str
    filtering: str
    prepared: Mapping[str, Any]


@dataclass(frozen=True)
class Voltage:
    """A long signal that is read in pieces.

    rows: Gives the rows `start` to `stop`, (n, n_channels) int16.
    volts_per_step: (n_channels,) float64.
    names: Of the channels, "M1 001".
    rate_hz: Samples per second, if they come regularly from `start_s` on; else None, and `times_s` tells.
    """

    rows: Callable[[int, int], np.ndarray]
    n_samples: int
    volts_per_step: np.ndarray
    names: Sequence[str]
    start_s: float
    rate_hz: float | None = None
    times_s: np.ndarray | None = None


class _Rows(GenericDataChunkIterator):  # type: ignore[misc]
    """What pynwb asks for the rows of a voltage, a chunk at a time."""

    def __init__(self, voltage: Voltage) -> None:
        self._voltage = voltage
        shape = (min(CHUNK_SAMPLES, voltage.n_samples), len(voltage.names))
        super().__init__(buffer_shape=shape, chunk_shape=shape)

    def _get_data(self, selection: tuple[slice, ...]) -> np.ndarray:
        return self._voltage.rows(selection[0].start, selection[0].stop)

    def _get_maxshape(self) -> tuple[int, int]:
        return self._voltage.n_samples, len(self._voltage.names)

    def _get_dtype(self) -> np.dtype[Any]:
        return np.dtype(np.int16)


def write_pack(
    path: Path, header: PackHeader, voltage: Voltage, *, positions: Mapping[str, Series], spikes: SpikeTrains
) -> None:
    """Write a file under a temporary name beside `path`, then rename it: it is complete or absent.

    The same contents give the same bytes with the same versions of the libraries: identifiers follow from the names of
    the objects, and dates from the session's.

    Args:
        path: The file, `.nwb`.
        header: Whose it is.
        voltage: The signal.
        positions: Name -> (n_samples, 2) in millimetres.
        spikes: Sorted spike times of the channels, named "M1:001".
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.nwb")
    nwb = _file(header)
    _add_voltage(nwb, header, voltage)
    _add_positions(nwb, positions)
    _add_spikes(nwb, spikes, voltage.names)
    nwb.add_scratch(json.dumps(header.prepared, indent=1), name="prepared", description="JSON: how this file was made")
    try:
        with NWBHDF5IO(temporary, "w") as io:
            io.write(nwb)
        name_objects(temporary, header.session_id)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _file(header: PackHeader) -> NWBFile:
    started = _date(header.session_id)
    return NWBFile(
        session_description=f"{header.session_id}: voltage, behaviour and spikes in one file, made from raw recordings",
        identifier=header.session_id,
        session_id=header.session_id,
        session_start_time=started,
        file_create_date=[started],
        notes="Only the day of the start is known, if that: it is read from the session's name.",
        subject=Subject(subject_id=header.subject),
    )


def _date(session_id: str) -> datetime:
    """The day that a session's name tells; digits may also be no day."""
    found = re.search(r"_(\d{8})_", session_id)
    try:
        return datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC) if found else NO_DATE
    except ValueError:
        return NO_DATE


def _packed(values: Any, chunks: bool | None = None) -> H5DataIO:
    return H5DataIO(values, compression="gzip", compression_opts=1, shuffle=True, chunks=chunks)


def _add_voltage(nwb: NWBFile, header: PackHeader, voltage: Voltage) -> None:
    device = nwb.create_device("array")
    nwb.add_electrode_column("channel", "the channel's name in the raw recording")
    for name in voltage.names:
        area = name.partition(" ")[0]
        group = nwb.electrode_groups.get(area) or nwb.create_electrode_group(
            area, description=f"array in {area}", location=area, device=device
        )
        nwb.add_electrode(group=group, location=area, channel=name)
    # The series is added to what is in the file already: pynwb warns of electrodes that are not.
    lfp = LFP(name="LFP")
    nwb.create_processing_module("ecephys", "slow voltage").add(lfp)
    region = nwb.create_electrode_table_region(list(range(len(voltage.names))), "all channels")
    regular = voltage.rate_hz is not None
    times = {"rate": voltage.rate_hz, "starting_time": voltage.start_s} if regular else {"timestamps": voltage.times_s}
    series = ElectricalSeries(
        name="lfp",
        data=_packed(_Rows(voltage)),
        electrodes=region,
        channel_conversion=voltage.volts_per_step,
        filtering=header.filtering,
        comments="A sample has the time of the raw sample at which it was taken; the filter's delay is not taken out.",
        **times,
    )
    lfp.add_electrical_series(series)


def _add_positions(nwb: NWBFile, positions: Mapping[str, Series]) -> None:
    position = Position(name="Position")
    for name, series in positions.items():
        position.add_spatial_series(
            SpatialSeries(
                name=name,
                data=_packed(series.values, chunks=True),
                timestamps=_packed(series.times_s, chunks=True),
                unit="meters",
                conversion=METRES_PER_MM,
                reference_frame="as in the file of labels",
            )
        )
    nwb.create_processing_module("behavior", "cursor and target").add(position)


def _add_spikes(nwb: NWBFile, spikes: SpikeTrains, channels: Sequence[str]) -> None:
    nwb.add_unit_column("channel", "all spikes that were found on this channel, sorted or not")
    of_channel = {name: i for i, name in enumerate(channels)}
    ends = np.searchsorted(spikes.units, np.arange(len(spikes.names)), side="right")
    for name, times_s in zip(spikes.names, np.split(spikes.times_s, ends[:-1]), strict=True):
        channel = name.replace(":", " ", 1)
        electrodes = [of_channel[channel]] if channel in of_channel else []
        nwb.add_unit(spike_times=times_s, electrodes=electrodes, channel=channel)
    # hdmf checks a list of spikes one by one, which takes ten seconds; an array it takes as it is.
    nwb.units.spike_times.transform(lambda times_s: _packed(np.asarray(times_s, float), chunks=True))


def name_objects(path: Path, session_id: str) -> None:
    """Give every object an identifier that follows from its name, in place of a random one."""

    def rename(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if "object_id" in node.attrs:
            node.attrs.modify("object_id", str(uuid5(NAMESPACE_URL, f"{session_id}/{name}")))

    with h5py.File(path, "r+") as file:
        rename("", file)
        file.visititems(rename)
