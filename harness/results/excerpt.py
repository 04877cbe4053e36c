"""The part of an input stream that is kept to be drawn: few channels, few bytes, whole in time."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, PositiveInt

from harness.types import Recording, StreamInfo

MOST_CHANNELS = 8
"""Of a signal, whose traces need room; of counts, as many as fit."""
SIGNAL_BYTES = 8
"""Of one channel in one bin: its lowest and highest sample in float32."""


class Part(BaseModel):
    """Strict and frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DrawnStream(Part):
    """One input stream of the excerpt.

    kind: `counts`: (n_kept, n_channels) uint8, where 255 is 255 or more; `signal`: (n_kept, 2, n_channels) float32,
        the lowest and the highest sample of each bin.
    unit: Of its values.
    channels: Names of the channels that are kept.
    n_channels: How many the recording has.
    """

    kind: Literal["counts", "signal"]
    unit: str
    channels: tuple[str, ...]
    n_channels: PositiveInt


def excerpt(part: Recording, name: str, n_kept: int, most_bytes: int) -> tuple[DrawnStream, np.ndarray]:
    """As many channels of a stream as may be kept, evenly chosen.

    Args:
        part: Whose stream it is.
        name: Of the stream.
        n_kept: Bins from the beginning.
        most_bytes: What the excerpt may take.
    """
    info, values = part.session.streams[name], part.inputs.streams[name][:n_kept]
    counts = info.samples_per_bin is None
    n_fit = most_bytes // max(1, n_kept * (1 if counts else SIGNAL_BYTES))
    n_fit = min(info.n_channels, n_fit if counts else min(n_fit, MOST_CHANNELS))
    chosen = np.unique(np.linspace(0, info.n_channels - 1, n_fit).round().astype(int)) if n_fit else np.zeros(0, int)
    drawn = np.ascontiguousarray(_counts(values, chosen) if counts else _lowest_and_highest(values, chosen))
    names = _names(info)
    about = DrawnStream(
        kind="counts" if counts else "signal",
        unit=info.unit,
        channels=tuple(names[i] for i in chosen),
        n_channels=info.n_channels,
    )
    return about, drawn


def _names(info: StreamInfo) -> tuple[str, ...]:
    return info.channels or tuple(str(i) for i in range(info.n_channels))


def _counts(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    most = np.iinfo(np.uint8).max
    return np.asarray(np.clip(np.rint(np.nan_to_num(values[:, chosen])), 0, most), np.uint8)


def _lowest_and_highest(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """(n_bins, 2, n_chosen); channel by channel, for a copy of eight channels of raw voltage would be large."""
    drawn = np.zeros((len(values), 2, len(chosen)), np.float32)
    for i, channel in enumerate(chosen.tolist()):
        values[:, :, channel].min(axis=1, out=drawn[:, 0, i])
        values[:, :, channel].max(axis=1, out=drawn[:, 1, i])
    return drawn
