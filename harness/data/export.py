"""Prepared sessions as files that other people's tools read: one folder per session, one split per part."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.data.cache import Cache
from harness.data.identity import content_id
from harness.data.prepared import prepare_once
from harness.data.split import Parts
from harness.data.split_rules import PARTS, n_folds
from harness.data.suites import Session, Suite
from harness.data.table import batch_of, columns_of
from harness.errors import HarnessError, UsageError
from harness.types import Recording

if TYPE_CHECKING:
    from collections.abc import Iterator

Format = Literal["hf", "parquet", "npz"]
TICK, TIME = "tick", "time_s"
SESSION_FILE = "session.json"
_NAME = re.compile(r"\w[\w.+-]*")


@dataclass(frozen=True)
class Exported:
    """One session, or one fold of it, as it was written.

    name: Of its folder, and of its configuration in Hugging Face's words.
    columns: Column -> one row's array, to tell its type and shape.
    rows: Part -> number of bins, and of scored bins; a part without bins is not written.
    """

    name: str
    session: Session
    data: str
    clock_hz: int
    recording: Recording
    columns: Mapping[str, np.ndarray]
    rows: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Order:
    """What is to be exported.

    files: Session id -> file.
    out: A folder that is not there yet, or is empty.
    """

    suite: Suite
    sessions: Sequence[Session]
    files: Mapping[str, Path]
    format: Format
    out: Path
    cache: Cache | None = None


def export(order: Order) -> list[Exported]:
    """Write every part of every session, and a dataset card; the folder is complete or absent.

    Raises:
        UsageError: If the folder holds something or cannot be written, or a session's id is no file name.
        BadData: As `harness.data.prepare.prepare`.
    """
    from harness.data.export_card import card

    for session in order.sessions:
        if not _NAME.fullmatch(session.id):
            raise UsageError(
                f"session {session.id!r} would become a folder of that name; let its id have letters, digits, '.', "
                f"'_', '+' and '-' alone"
            )
    with _whole_folder(order.out) as folder:
        written = [
            _write(order, session, fold, folder) for session in order.sessions for fold in _folds(order, session)
        ]
        (folder / "README.md").write_text(card(order, written), encoding="utf-8")
    return written


def _folds(order: Order, session: Session) -> range:
    return range(n_folds(order.suite.splits[session.split]))


@contextmanager
def _whole_folder(out: Path) -> "Iterator[Path]":
    """A folder beside `out` that gets its name when all is in it."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        what = "is not empty" if out.is_dir() else "is a file"
        raise UsageError(f"{out} {what}; name a folder with --out that is not there yet")
    folder = out.parent / f".{out.name}.{os.getpid()}.part"
    try:
        folder.mkdir(parents=True)
        yield folder
        folder.replace(out)
    except OSError as error:
        if isinstance(error, HarnessError):
            raise
        raise UsageError(
            f"{out} cannot be written: {error.strerror or error}; make room there, or name another folder with --out"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write(order: Order, session: Session, fold: int, folder: Path) -> Exported:
    """One fold of one session."""
    suite, path = order.suite, order.files[session.id]
    parts = prepare_once(suite, session, path, cache=order.cache, fold=fold)
    name = session.id if len(_folds(order, session)) == 1 else f"{session.id}.fold{fold + 1}"
    (folder / name).mkdir()
    tables = {part: part_columns(parts, part) for part in PARTS if len(parts[part])}
    if order.format == "hf":
        _write_hf(folder / name, tables)
    for part, columns in tables.items() if order.format != "hf" else ():
        write = _write_parquet if order.format == "parquet" else _write_npz
        write(folder / name / f"{part}.{order.format}", columns)
    data = content_id(session, path)
    about = {"suite": suite.label, "data": data, "fold": fold, "clock_hz": parts.clock_hz, **_told(parts.train)}
    (folder / name / SESSION_FILE).write_text(json.dumps(about, indent=1))
    rows = {part: (len(parts[part]), int(parts[part].scored.sum())) for part in tables}
    first = next(iter(tables.values()))
    columns = {n: v[:1].copy() for n, v in first.items()}
    return Exported(name, session, data, parts.clock_hz, parts.train, columns, rows)


def part_columns(parts: Parts, part: str) -> dict[str, np.ndarray]:
    """Column -> (n_bins, ...); a bin's right edge on the session's clock is in ticks and in seconds."""
    return {TICK: parts.ticks[part], TIME: parts.ticks[part] / parts.clock_hz, **columns_of(parts[part])}


def _told(recording: Recording) -> dict[str, Any]:
    """What a decoder may know of a session: channels, units, names of outputs."""
    return asdict(recording.session)


def _write_hf(folder: Path, tables: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    import pyarrow as pa
    from datasets import Dataset, DatasetDict, disable_progress_bars, enable_progress_bars, is_progress_bar_enabled

    shown = is_progress_bar_enabled()
    disable_progress_bars()
    try:
        splits = {part: Dataset(pa.Table.from_batches([batch_of(columns)])) for part, columns in tables.items()}
        DatasetDict(splits).save_to_disk(str(folder))
    finally:
        if shown:
            enable_progress_bars()


def _write_parquet(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_batches([batch_of(columns)]), path, compression="zstd")


def _write_npz(path: Path, columns: Mapping[str, np.ndarray]) -> None:
    np.savez_compressed(path, **columns)  # type: ignore[arg-type]
