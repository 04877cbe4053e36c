"""Behaviour and spikes that belong to a broadband recording, from its MATLAB file."""

from dataclasses import dataclass, replace
from pathlib import Path

from harness.data.contents import Series, SpikeTrains
from harness.data.mat import CHANNELS, read_matlab
from harness.data.nwb_file import NwbFile, open_nwb
from harness.data.protocol import Layout, SpikesAt, TargetAt


@dataclass(frozen=True)
class Labels:
    """What happened during a recording.

    cursor, target: (n_samples, 2) millimetres, at the same times.
    spikes: Of the channels of one area, named "M1:001".
    channels: The names of all channels of the file, "M1 001"; none if it names none.
    """

    cursor: Series
    target: Series
    spikes: SpikeTrains
    channels: tuple[str, ...]


def read_labels(path: Path, *, area: str) -> Labels:
    """Read the cursor, the target and the spikes of one area; all channels are of it if the file names none.

    Raises:
        MissingData: If there is no such file.
        BadData: If it is damaged, lacks something, or has no channel of the area.
    """
    with open_nwb(path) as mat:
        every = _spikes(mat, None)
        named = mat.has(CHANNELS)
        kept = _spikes(mat, (area,)) if named else replace(every, names=_numbered(area, len(every.names)))
        channels = tuple(name.replace(":", " ", 1) for name in every.names) if named else ()
        return Labels(_position(mat, "cursor_pos"), _position(mat, "target_pos"), kept, channels)


def _numbered(area: str, n_channels: int) -> tuple[str, ...]:
    return tuple(f"{area}:{i + 1:03d}" for i in range(n_channels))


def _position(mat: NwbFile, path: str) -> Series:
    return read_matlab(mat, _layout(path, None), "position").behaviour


def _spikes(mat: NwbFile, areas: tuple[str, ...] | None) -> SpikeTrains:
    found = read_matlab(mat, _layout("cursor_pos", SpikesAt(units="spikes", areas=areas)), "position").spikes
    if found is None:
        raise mat.bad("spikes", "is missing")
    return found


def _layout(path: str, spikes: SpikesAt | None) -> Layout:
    at = TargetAt(path=path, outputs=("x", "y"), columns=(0, 1))
    return Layout(format="matlab", spikes=spikes, targets={"position": at})
