"""What `harness data verify` does: files of the data folder are hashed or opened, and damaged ones named."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from harness.errors import BadData

if TYPE_CHECKING:
    from harness.data.cache import Cache
    from harness.data.suites import Session

Row = dict[str, object]


def rows(suite: str | None) -> list[Row]:
    """One row for each cached file, of one suite or of all: its name, whether it is intact, where it is."""
    from harness.data.cache import default_cache
    from harness.data.suites import known_suites, load_suite

    cache = default_cache()
    suites = map(load_suite, [suite] if suite else known_suites())
    sessions = [session for loaded in suites for session in loaded.sessions]
    return [
        *_fetched(suite, cache),
        *_made("simulated", _simulated(sessions, cache), cache, all_of_them=suite is None),
        *_made("converted", _converted(sessions, cache), cache, all_of_them=suite is None),
        *(_prepared(cache) if suite is None else []),
    ]


def settle(checked: list[Row], *, repair: bool) -> None:
    """Remove the damaged files if that is wanted.

    Raises:
        BadData: If there are damaged files, and they stay.
    """
    damaged = [row for row in checked if not row["intact"]]
    if repair:
        for row in damaged:
            Path(str(row["path"])).unlink()
        typer.echo(f"{len(damaged)} damaged files removed; `harness data get` gets them anew", err=True)
    elif damaged:
        raise BadData(
            f"{len(damaged)} of {len(checked)} cached files are damaged: "
            f"{', '.join(str(row['file']) for row in damaged)}; remove them with `harness data verify --repair`, then "
            f"get them anew with `harness data get`. They are {', '.join(str(row['path']) for row in damaged)}"
        )


def _fetched(suite: str | None, cache: "Cache") -> list[Row]:
    """Rows of the downloads, hashed again."""
    from harness.data.pins import known_pins, pins_in_suite
    from harness.data.progress import bars

    pins = pins_in_suite(suite) if suite else known_pins([])
    names = {key: pin.name for pin in pins for key in pin.digests.items()}
    found: list[Row] = []
    with bars() as watcher:
        for blob in cache.blobs():
            key = (blob.algorithm, blob.digest)
            if suite is None or key in names:
                with watcher.file(blob.path) as progressed:
                    intact = blob.intact(progressed=progressed)
                found.append({"file": names.get(key, "of no shipped suite"), "intact": intact, "path": str(blob.path)})
    return found


def _simulated(sessions: "list[Session]", cache: "Cache") -> dict[Path, str]:
    from harness.data.download import simulated_place
    from harness.data.suites import Simulated

    return {simulated_place(s, cache): s.id for s in sessions if isinstance(s.source, Simulated)}


def _converted(sessions: "list[Session]", cache: "Cache") -> dict[Path, str]:
    from harness.data.convert import converted_place
    from harness.data.suites import Physionet

    return {converted_place(s.source, cache): s.id for s in sessions if isinstance(s.source, Physionet)}


def _made(folder: str, names: Mapping[Path, str], cache: "Cache", *, all_of_them: bool) -> list[Row]:
    """Rows of files that were made here: whether each can be opened."""
    from harness.data.nwb_file import open_nwb

    found: list[Row] = []
    for path in sorted((cache.root / folder).glob("*.nwb")):
        if path.name.endswith(".part.nwb") or not (all_of_them or path in names):
            continue
        try:
            with open_nwb(path):
                intact = True
        except BadData:
            intact = False
        found.append({"file": names.get(path, f"{folder}, of no shipped suite"), "intact": intact, "path": str(path)})
    return found


def _prepared(cache: "Cache") -> list[Row]:
    """Rows of the prepared sessions, hashed again."""
    from harness.data.prepared_room import all_prepared, intact

    paths = [one.path for one in all_prepared(cache)]
    return [{"file": "a prepared session", "intact": intact(path), "path": str(path)} for path in paths]
