"""What `harness data prepare` does: raw recordings in, one file per session out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.data.broadband_pack import Job, Packed
    from harness.data.sources import RawFile


@dataclass(frozen=True)
class Asked:
    """The command's words.

    labels, broadband: The raw files of one session; else the suite names them, and they are in `raw`.
    out: The new file if `labels` and `broadband` are given, else the folder of the new files, by default `raw`.
    """

    sessions: Sequence[str]
    suite: str
    raw: Path | None
    labels: Path | None
    broadband: Path | None
    out: Path | None
    area: str = "M1"


def prepare(asked: Asked, *, as_json: bool) -> None:
    """Make the file of every session that is asked for, and print what is in it and what is odd about it."""
    from harness.data.broadband_pack import make_pack
    from harness.data.progress import bars

    with bars() as watcher:
        for job in jobs(asked):
            row = {"session": job.session_id, **_row(make_pack(job, watcher=watcher))}
            # At once: what a session was made of must not be lost with the failure of the next.
            typer.echo(json.dumps(row) if as_json else _lines(row))


def jobs(asked: Asked) -> "list[Job]":
    """The sessions to prepare.

    Raises:
        UsageError: If it is not clear which files are meant, or the suite has no such session.
    """
    if asked.labels and asked.broadband and not asked.raw:
        return [_job_of_files(asked, asked.labels, asked.broadband)]
    if asked.labels or asked.broadband or not (asked.raw and asked.sessions):
        raise UsageError(
            "name sessions and the folder of their raw files, `harness data prepare SESSION... --raw FOLDER`, or the "
            "two raw files of one session, `--labels FILE.mat --broadband FILE.nwb --out FILE.nwb`; not both"
        )
    return [_job_of_session(name, asked, asked.raw) for name in asked.sessions]


def _job_of_files(asked: Asked, labels: Path, broadband: Path) -> "Job":
    from harness.data.broadband_pack import Job

    if asked.out is None or asked.out.suffix != ".nwb" or len(asked.sessions) > 1:
        raise UsageError(
            f"two raw files make one session: --out {asked.out} has to be one file that ends in .nwb, and of "
            f"{len(asked.sessions)} sessions at most one can be named"
        )
    name = asked.sessions[0] if asked.sessions else asked.out.stem
    return _checked(Job(labels, broadband, asked.out, name, area=asked.area))


def _job_of_session(name: str, asked: Asked, raw: Path) -> "Job":
    from harness.cli.data import choose
    from harness.data.broadband_pack import Job
    from harness.data.suites import File, load_suite

    (session,) = choose(load_suite(asked.suite), tier=None, ids=[name])
    source = session.source
    if not isinstance(source, File) or source.made_from is None:
        raise UsageError(
            f"session {name!r} of suite {asked.suite!r} is not made from raw files; `harness data get` gives it, or "
            f"name the two raw files of a session of your own with --labels and --broadband"
        )
    labels, broadband = (_raw_file(raw, known) for known in (source.made_from.labels, source.made_from.broadband))
    out = (asked.out or raw / "prepared") / Path(source.path).name
    return _checked(Job(labels, broadband, out, name, subject=session.subject, area=asked.area))


def _raw_file(folder: Path, known: "RawFile") -> Path:
    """Where a raw file is, after comparing it with what is known of it."""
    from harness.data.cache import check_file
    from harness.data.pins import read_pin
    from harness.errors import MissingData

    path = folder / known.path
    if not path.is_file():
        whence = f" from {known.url}" if known.url else "; where it is published the suite does not know yet"
        raise MissingData(f"{path} is missing: put it there{whence}, or name another folder with --raw")
    if pin := read_pin(str(path), known.model_dump()):
        check_file(path, pin, advice="it is another file or was changed: fetch it again, or correct the suite")
    return path


def _checked(job: "Job") -> "Job":
    """Refuse to write over what is read."""
    if job.out.exists() and any(job.out.samefile(path) for path in (job.labels, job.broadband) if path.exists()):
        raise UsageError(f"{job.out} is a raw file; let --out name another place for the prepared one")
    return job


def _row(packed: "Packed") -> dict[str, Any]:
    return {
        "path": str(packed.path),
        "size": packed.path.stat().st_size,
        "sha256": packed.sha256,
        "n_samples": packed.n_samples,
        "n_channels": packed.n_channels,
        "made_from": packed.sources,
        "findings": packed.findings,
    }


def _lines(row: dict[str, Any]) -> str:
    from harness.data.cache import readable_size

    size = readable_size(row["size"])
    said = [f"{row['session']}: {row['path']}, {size}, {row['n_channels']} channels, {row['n_samples']} samples"]
    said.append(f"  sha256 {row['sha256']}")
    said += [f"  made from {raw['name']}, sha256 {raw['sha256']}" for raw in row["made_from"].values()]
    said += [f"  note: {finding}" for finding in row["findings"]]
    return "\n".join(said)
