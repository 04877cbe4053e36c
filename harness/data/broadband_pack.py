"""From a broadband recording and its labels to one file: the session as the suite reads it.

Raw data are read once. What is kept waits in a nameless file, until the largest value of each channel is known and with
it the step in which 16 bits hold it best.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from harness.data.broadband import Broadband, find_broadband
from harness.data.broadband_findings import Oddities
from harness.data.broadband_kept import KeptSamples
from harness.data.broadband_labels import Labels, read_labels
from harness.data.cache import file_digests, readable_size
from harness.data.decimate import Decimator, Recipe
from harness.data.nwb_file import open_nwb
from harness.data.progress import Watcher
from harness.errors import BadData, HarnessError, UsageError

MAKIN_LFP = Recipe()

LARGEST_STEP = 32_767
SMALLEST_VOLTS_PER_STEP = 1e-9
REGULAR_SAMPLES = 1e-3
"""Kept samples that are all this near to a regular grid, in raw samples, get a rate instead of time stamps."""

MOST_VOLTS = 1e30
"""What float32 still holds; less than this is perhaps a wrong unit, and a finding."""

SPARE_BYTES = 50_000_000


@dataclass(frozen=True)
class Job:
    """One session to prepare.

    labels: O'Doherty's MATLAB file of the session: behaviour and spikes.
    broadband: The NWB 1.0.6 file of the same session, on the same clock.
    out: The file to write.
    area: Which array to keep, as the names of its channels begin.
    """

    labels: Path
    broadband: Path
    out: Path
    session_id: str
    subject: str = "unknown"
    area: str = "M1"
    recipe: Recipe = MAKIN_LFP


@dataclass(frozen=True)
class Packed:
    """What was written.

    sha256: Of the new file.
    sources: `labels` and `broadband` -> name, size and sha256 of the raw file.
    findings: What is odd, one sentence each.
    """

    path: Path
    sha256: str
    sources: Mapping[str, Mapping[str, Any]]
    n_samples: int
    n_channels: int
    findings: tuple[str, ...]


@dataclass(frozen=True)
class _Filtered:
    kept: KeptSamples
    names: tuple[str, ...]
    findings: tuple[str, ...]


def make_pack(job: Job, *, watcher: Watcher | None = None) -> Packed:
    """Read both raw files and write the session's one file, which is complete or absent.

    Raises:
        MissingData: If a raw file is not there.
        BadData: If one is damaged, of another kind, or they are not of the same session.
        UsageError: If the new file cannot be written.
    """
    watcher = watcher or Watcher()
    labels = read_labels(job.labels, area=job.area)
    with _in_words(job):
        job.out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=job.out.parent) as values, TemporaryFile(dir=job.out.parent) as times:
            with open_nwb(job.broadband) as nwb:
                recording = find_broadband(nwb, area=job.area, names=labels.channels)
                _check_same_session(job, recording, labels)
                _check_room(job, recording)
                n_channels = len(recording.names)
                kept = KeptSamples(values, times, n_channels=n_channels, rate_hz=job.recipe.kept_rate_hz)
                filtered = _Filtered(kept, recording.names, _fill(kept, recording, job, watcher))
            raw = {"labels": job.labels, "broadband": job.broadband}
            sources = {kind: _source(path, watcher) for kind, path in raw.items()}
            _write(job, filtered, labels, sources)
        sha256 = str(_source(job.out, watcher)["sha256"])
    return Packed(job.out, sha256, sources, kept.n_samples, n_channels, filtered.findings)


@contextmanager
def _in_words(job: Job) -> Iterator[None]:
    """What the system says of a folder or a full disk, as one paragraph."""
    try:
        yield
    except OSError as error:
        if isinstance(error, HarnessError):
            raise
        raise UsageError(
            f"{job.out} cannot be written: {error.strerror or error}; make room in {job.out.parent}, or name a folder "
            f"with --out that you may write to"
        ) from error


def _check_same_session(job: Job, recording: Broadband, labels: Labels) -> None:
    """Refuse files whose clocks never meet."""
    first_s, last_s = recording.span_s()
    start_s, stop_s = labels.cursor.times_s[0], labels.cursor.times_s[-1]
    if not (first_s < stop_s and start_s < last_s):
        raise BadData(
            f"{job.broadband} was recorded from {first_s:.1f} to {last_s:.1f} s, but the behaviour in {job.labels} "
            f"from {start_s:.1f} to {stop_s:.1f} s of their common clock: they are not of one session; name two files "
            f"that are"
        )


def _check_room(job: Job, recording: Broadband) -> None:
    n_values = recording.n_samples // job.recipe.keep_every * len(recording.names)
    needed_bytes = n_values * (np.dtype(np.float32).itemsize + np.dtype(np.int16).itemsize) + SPARE_BYTES
    free_bytes = shutil.disk_usage(job.out.parent).free
    if free_bytes < needed_bytes:
        raise UsageError(
            f"{job.out.parent} has {readable_size(free_bytes)} free, and preparing {job.session_id} needs "
            f"{readable_size(needed_bytes)} there, a third of it for good; make room, or name another folder with --out"
        )


def _fill(kept: KeptSamples, recording: Broadband, job: Job, watcher: Watcher) -> tuple[str, ...]:
    """Filter the whole recording; returns what is odd about it."""
    decimator, oddities, n_read = Decimator(job.recipe), Oddities(recording.names), 0
    name = f"filtering {job.session_id}"
    watcher.started(name, size=recording.n_bytes)
    for times_s, values in recording.blocks(job.recipe):
        oddities.push(values)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = np.multiply(values, recording.volts_per_step, dtype=np.float64)
            kept_s, volts = decimator.push(times_s, scaled)
        if not (np.abs(volts) < MOST_VOLTS).all():
            raise BadData(
                f"{job.broadband} reaches {MOST_VOLTS:g} V near {times_s[0]:.1f} s, which is no voltage of a brain; "
                f"its data or their attribute `conversion` are damaged: take another copy"
            )
        oddities.push_volts(volts)
        with _in_words(job):
            kept.push(kept_s, volts)
        n_read += len(values)
        watcher.progressed(name, recording.n_bytes * n_read // recording.n_samples)
    watcher.finished(name)
    return oddities.findings(decimator.breaks)


def _write(job: Job, filtered: _Filtered, labels: Labels, sources: Mapping[str, Any]) -> None:
    from harness.data.nwb_pack import PackHeader, Voltage, write_pack

    recipe, kept = job.recipe, filtered.kept
    volts_per_step = np.maximum(kept.largest / LARGEST_STEP, SMALLEST_VOLTS_PER_STEP)
    regular = kept.largest_off_s * recipe.rate_hz <= REGULAR_SAMPLES

    def rows(start: int, stop: int) -> np.ndarray:
        return np.asarray(np.rint(kept.volts(start, stop) / volts_per_step), np.int16)

    voltage = Voltage(
        rows=rows,
        n_samples=kept.n_samples,
        volts_per_step=volts_per_step,
        names=filtered.names,
        start_s=kept.start_s,
        rate_hz=recipe.kept_rate_hz if regular else None,
        times_s=None if regular else kept.times_s(),
    )
    how = {"recipe": asdict(recipe), "delay_s": recipe.delay_s, "files": sources, "findings": filtered.findings}
    header = PackHeader(job.session_id, job.subject, _filtering(recipe), how)
    positions = {"cursor_pos": labels.cursor, "target_pos": labels.target}
    write_pack(job.out, header, voltage, positions=positions, spikes=labels.spikes)


def _filtering(recipe: Recipe) -> str:
    return (
        f"{recipe.name}: Butterworth low-pass of order {recipe.order} at {recipe.cutoff_hz:g} Hz, single pass, which "
        f"delays slow waves by {recipe.delay_s * 1000:.2f} ms; then every {recipe.keep_every}th sample was kept. "
        f"No high-pass, no notch, no reference."
    )


def _source(path: Path, watcher: Watcher) -> dict[str, Any]:
    size, name = path.stat().st_size, f"hashing {path.name}"
    watcher.started(name, size=size)
    digests = file_digests(path, ("sha256",), progressed=lambda n_bytes: watcher.progressed(name, n_bytes))
    watcher.finished(name)
    return {"name": path.name, "size": size, "sha256": digests["sha256"]}
