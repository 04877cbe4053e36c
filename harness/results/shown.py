"""What a store keeps of a recording's test part so that people can look at it, once for all decoders.

recordings/<suite>/<session>-<start of the data's hash>.npz: the labels, which bins are scored, and an excerpt of the
inputs that is enough to draw them. A record holds none of it, and no worker sees it: workers see no store.
"""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import PositiveFloat, PositiveInt

from harness.data.protocol import ClassesAt, TargetAt
from harness.data.suites import Session, Suite
from harness.errors import BadData
from harness.results import cells
from harness.results.excerpt import DrawnStream, Part, excerpt
from harness.results.store import Store, folder_name, write_whole
from harness.types import Kind, Recording

MOST_TARGET_BYTES = 3 << 20
MOST_INPUT_BYTES = 4 << 20
MOST_BYTES_READ = 64 << 20
HASH_DIGITS = 12
BROKEN = (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged or hostile .npz may raise."""

Quantity = Literal["velocity", "position", ""]


class About(Part):
    """What the arrays of a file are.

    version: Of this layout.
    data: Hash of the recording, as its records state it.
    n_bins: Of the whole test part; the file keeps the first of them where all would be too large.
    quantity: What x and y of a movement in a plane are; empty if the target is none.
    decision_s: Of classes: how long after the cue the scored bin of a trial is.
    """

    version: Literal[1] = 1
    suite: str
    session: str
    data: str
    kind: Kind
    bin_s: PositiveFloat
    n_bins: PositiveInt
    outputs: tuple[str, ...]
    quantity: Quantity
    decision_s: float | None
    streams: Mapping[str, DrawnStream]


@dataclass(frozen=True)
class Shown:
    """A test part to look at.

    targets: (n_kept, n_outputs) float32, NaN where the behaviour was not measured.
    scored, starts: (n_kept,) bool.
    streams: Name -> values, as `DrawnStream` says.
    """

    about: About
    targets: np.ndarray
    scored: np.ndarray
    starts: np.ndarray
    streams: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.targets)


def keep(store: Store, suite: Suite, session: Session, part: Recording, data: str) -> None:
    """Leave a test part in the store, unless it is there with these labels and streams.

    Decoders read different streams: what one of them adds joins what another left.

    Args:
        store: Where to.
        suite: Says what the labels are.
        session: Whose part it is.
        part: The test part as it is scored, all folds together.
        data: Hash of the recording's content.
    """
    # Runs on two machines may add to one file.
    with store.lock("recordings"):
        _add(store, suite, session, part, data)


def _add(store: Store, suite: Suite, session: Session, part: Recording, data: str) -> None:
    old, _ = read_shown(store, suite.label, session.id, data)
    same = old if old is not None and _same_labels(old, part) else None
    known = {} if same is None else dict(same.streams)
    if same is not None and not set(part.inputs.streams) - set(known):
        return
    n_kept = _n_kept(part)
    most_bytes = MOST_INPUT_BYTES // max(1, len(suite.task.inputs))
    added = {name: excerpt(part, name, n_kept, most_bytes) for name in part.inputs.streams if name not in known}
    about = _about(suite, session, part, data)
    streams = {**(same.about.streams if same else {}), **{name: drawn for name, (drawn, _) in added.items()}}
    kept = Shown(
        about.model_copy(update={"streams": streams}),
        np.asarray(part.targets[:n_kept], np.float32),
        part.scored[:n_kept],
        part.inputs.starts[:n_kept],
        {**known, **{name: values for name, (_, values) in added.items()}},
    )
    write_whole(shown_path(store, suite.label, session.id, data), packed(kept))


def join(store: Store, content: bytes) -> None:
    """Add what another store keeps of a test part to what this one does; of two that do not agree the other's stays.

    Args:
        store: Where to.
        content: The other's file.
    """
    new = _unpacked(cells.npz_to_arrays(content))
    about = new.about
    old, _ = read_shown(store, about.suite, about.session, about.data)
    if old is not None and _same_shown(old, new):
        streams = {**new.about.streams, **old.about.streams}
        if streams.keys() == old.streams.keys():
            return
        new = replace(
            old, about=old.about.model_copy(update={"streams": streams}), streams={**new.streams, **old.streams}
        )
    write_whole(shown_path(store, about.suite, about.session, about.data), packed(new))


def _same_shown(old: Shown, new: Shown) -> bool:
    pairs = ((old.targets, new.targets), (old.scored, new.scored), (old.starts, new.starts))
    return (old.about.n_bins, old.about.outputs) == (new.about.n_bins, new.about.outputs) and all(
        np.array_equal(one, other, equal_nan=one.dtype != bool) for one, other in pairs
    )


def shown_path(store: Store, suite: str, session: str, data: str) -> Path:
    """Where the test part of a recording is; names are made harmless, for they may come from a foreign record."""
    digest = "".join(c for c in data.rpartition(":")[2] if c.isalnum())[:HASH_DIGITS]
    folder = folder_name(suite).lstrip(".") or "_"
    return store.root / "recordings" / folder / f"{folder_name(session).lstrip('.')}-{digest}.npz"


def read_shown(store: Store, suite: str, session: str, sha256: str) -> tuple[Shown | None, str]:
    """What a store keeps of a recording's test part.

    Args:
        store: Where from.
        suite: As the record has it.
        session: As the record has it.
        sha256: Of the recording, as the record has it.

    Returns:
        The part, or None and why there is none.
    """
    path = shown_path(store, suite, session, sha256)
    try:
        if not path.exists():
            return None, f"there is no file recordings/{path.parent.name}/{path.name}"
        shown = _unpacked(read_arrays(path))
        if (shown.about.suite, shown.about.session, shown.about.data) != (suite, session, sha256):
            raise BadData(f"{path.name} is of another recording: {shown.about.session} of {shown.about.suite}")
    except (BadData, OSError) as error:
        return None, str(error)
    return shown, ""


def read_arrays(path: Path, names: Iterable[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of an .npz that may be anybody's: never unpickled, and refused before too much is unpacked.

    Args:
        path: The file.
        names: Which of its arrays; all unless given. One that is not there is left out.

    Raises:
        BadData: If the file is damaged, or its arrays take more than `MOST_BYTES_READ`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            sizes = {info.filename.removesuffix(".npy"): info.file_size for info in archive.infolist()}
        wanted = [name for name in (sizes if names is None else names) if name in sizes]
        n_bytes = sum(sizes[name] for name in wanted)
        if n_bytes > MOST_BYTES_READ:
            raise BadData(f"{path.name} unpacks to {n_bytes} bytes; {MOST_BYTES_READ} are allowed; remove the file")
        with np.load(path, allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in wanted}
    except BROKEN as error:
        if isinstance(error, BadData):
            raise
        raise BadData(f"{path.name} cannot be read: {_first_line(error)}; remove it and run a decoder again") from None


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _n_kept(part: Recording) -> int:
    """Bins from the beginning whose labels are few enough to keep."""
    n_outputs: int = part.targets.shape[1]
    return min(len(part), max(1, MOST_TARGET_BYTES // (4 * n_outputs)))


def _same_labels(old: Shown, part: Recording) -> bool:
    """Whether what is kept is of this part: the same suite may be edited by who is still writing it."""
    n_kept = _n_kept(part)
    return (old.about.n_bins, old.about.outputs, len(old)) == (len(part), part.session.outputs, n_kept) and all(
        np.array_equal(kept, now[:n_kept], equal_nan=kept.dtype != bool)
        for kept, now in (
            (old.targets, np.asarray(part.targets, np.float32)),
            (old.scored, part.scored),
            (old.starts, part.inputs.starts),
        )
    )


def _about(suite: Suite, session: Session, part: Recording, data: str) -> About:
    at = suite.layouts[session.layout].targets[suite.task.target]
    return About(
        suite=suite.label,
        session=session.id,
        data=data,
        kind=part.session.kind,
        bin_s=part.session.bin_s,
        n_bins=len(part),
        outputs=part.session.outputs,
        quantity="" if isinstance(at, ClassesAt) else _quantity(suite.task.target, at),
        decision_s=at.decision_s if isinstance(at, ClassesAt) else None,
        streams={},
    )


def _quantity(target: str, at: TargetAt) -> Quantity:
    """A z-scored velocity (`peer`) has no path."""
    if tuple(at.outputs) != ("x", "y") or at.derive == "peer":
        return ""
    if at.derive in ("difference", "gradient") or target == "velocity":
        return "velocity"
    return "position" if target == "position" else ""


def packed(shown: Shown) -> bytes:
    """The file of a test part."""
    arrays: dict[str, np.ndarray] = {
        "about": np.frombuffer(shown.about.model_dump_json().encode(), np.uint8),
        "targets": shown.targets,
        "scored": shown.scored,
        "starts": shown.starts,
    }
    return cells.arrays_to_npz(arrays | {f"streams/{name}": values for name, values in shown.streams.items()})


def _unpacked(arrays: Mapping[str, np.ndarray]) -> Shown:
    """Undo `packed`, if all fits together.

    Raises:
        BadData: If something is missing, or has another shape or type than the rest says.
    """
    try:
        about = About.model_validate_json(arrays["about"].tobytes())
        n_kept = arrays["targets"].size // max(1, len(about.outputs))
        wanted: dict[str, tuple[tuple[int, ...], Any]] = {
            "targets": ((n_kept, len(about.outputs)), np.float32),
            "scored": ((n_kept,), np.bool_),
            "starts": ((n_kept,), np.bool_),
            **{f"streams/{name}": _layout(stream, n_kept) for name, stream in about.streams.items()},
        }
        for name, (shape, dtype) in wanted.items():
            if (arrays[name].shape, arrays[name].dtype) != (shape, dtype):
                found = f"{arrays[name].dtype} of shape {arrays[name].shape}"
                raise BadData(f"{name} is {found}; {np.dtype(dtype)} of shape {shape} belongs there; remove the file")
    except KeyError as error:
        raise BadData(f"the file has no array {error}; remove it and run a decoder again") from None
    except ValueError as error:
        if isinstance(error, BadData):
            raise
        raise BadData("the file's description is none of version 1; remove it and run a decoder again") from None
    streams = {name: arrays[f"streams/{name}"] for name in about.streams}
    return Shown(about, arrays["targets"], arrays["scored"], arrays["starts"], streams)


def _layout(stream: DrawnStream, n_kept: int) -> tuple[tuple[int, ...], Any]:
    if stream.kind == "counts":
        return (n_kept, len(stream.channels)), np.uint8
    return (n_kept, 2, len(stream.channels)), np.float32
