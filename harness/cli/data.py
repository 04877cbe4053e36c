"""`harness data`: fetch recordings, list them, check them, prepare raw ones, take in those that are already here."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.data.cache import Cache
    from harness.data.pins import Pin
    from harness.data.suites import Session, Suite

Row = dict[str, object]

app = typer.Typer(no_args_is_help=True, help="Fetch, list, check and add recordings.")

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A shipped suite, or a YAML file.")]
Tier = Annotated[str | None, typer.Option(help="Only the sessions of this tier.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
DandiApi = Annotated[str | None, typer.Option(help="Address of a mirror of the DANDI archive.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder that the paths of local files are relative to.")]


@app.command()
def get(
    suite: SuiteName,
    tier: Annotated[str, typer.Option(help="Which sessions; ignored where --session names some.")] = "mini",
    session: Annotated[list[str] | None, typer.Option(help="A session's id; may be repeated.")] = None,
    data_root: DataRoot = None,
    dandi_api: DandiApi = None,
    as_json: Json = False,
) -> None:
    """Fetch recordings into the data folder, unless they are there."""
    from harness.data.cache import default_cache
    from harness.data.download import Access, locate
    from harness.data.progress import bars
    from harness.data.suites import load_suite

    wanted = choose(load_suite(suite), tier=tier, ids=session or [])
    access = Access(dandi_api) if dandi_api else Access()
    with bars() as watcher:
        paths = locate(wanted, default_cache(), data_root=data_root, access=access, watcher=watcher)
    rows: list[Row] = [{"session": name, "path": str(path)} for name, path in paths.items()]
    _show(rows, as_json=as_json, title=f"{len(rows)} sessions are here")


@app.command()
def info(suite: SuiteName, tier: Tier = None, as_json: Json = False) -> None:
    """List the recordings of a suite: size, licence, whether they are cached and pinned."""
    from harness.data.cache import default_cache, readable_size
    from harness.data.download import missing
    from harness.data.suites import load_suite

    loaded = load_suite(suite)
    cache = default_cache()
    chosen = choose(loaded, tier=tier, ids=[])
    absent = missing(chosen, cache)
    sizes = [getattr(s.source, "size", None) for s in absent]
    unknown = f" and {sizes.count(None)} of unknown size" if None in sizes else ""
    size = readable_size(sum(size or 0 for size in sizes)) + unknown
    title = f"{loaded.label}: {len(absent)} of {len(chosen)} to fetch, {size}, into {cache.root}"
    _show([describe(s, cache) for s in chosen], as_json=as_json, title=title)


@app.command()
def verify(
    suite: Annotated[str | None, typer.Argument(metavar="[SUITE]", help="Only the files of this suite.")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Remove damaged files; `get` fetches them anew.")] = False,
    as_json: Json = False,
) -> None:
    """Hash the fetched files again, open the simulated ones, and name those that are damaged."""
    from harness.data.cache import default_cache
    from harness.data.progress import bars
    from harness.errors import BadData

    names, cache = _names(suite), default_cache()
    blobs = {(blob.algorithm, blob.digest): blob for blob in cache.blobs()}
    rows: list[Row] = []
    with bars() as watcher:
        for key, blob in blobs.items():
            if suite is None or key in names:
                with watcher.file(blob.path) as progressed:
                    intact = blob.intact(progressed=progressed)
                rows.append({"file": names.get(key, "of no shipped suite"), "intact": intact, "path": str(blob.path)})
    rows += _simulated(suite, cache)
    _show(rows, as_json=as_json, title=f"{len(rows)} cached files: downloads hashed again, simulated ones opened")
    damaged = [row for row in rows if not row["intact"]]
    if repair:
        for row in damaged:
            Path(str(row["path"])).unlink()
        typer.echo(f"{len(damaged)} damaged files removed; `harness data get` gets them anew", err=True)
    elif damaged:
        raise BadData(
            f"{len(damaged)} of {len(rows)} cached files are damaged: "
            f"{', '.join(str(row['file']) for row in damaged)}; remove them with `harness data verify --repair`, then "
            f"get them anew with `harness data get`. They are {', '.join(str(row['path']) for row in damaged)}"
        )


@app.command()
def add(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files, or folders of files.")],
    manifest: Annotated[
        list[Path] | None, typer.Option(help="Further pins: a JSON manifest or a YAML suite; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Put files that you have into the data folder, if a suite or manifest pins what is in them."""
    from harness.data.add import add_file, files_below
    from harness.data.cache import default_cache
    from harness.data.pins import known_pins
    from harness.data.progress import bars
    from harness.errors import MissingData

    pins = known_pins(manifest or [])
    cache = default_cache()
    rows: list[Row] = []
    with bars() as watcher:
        for file in files_below(paths):
            with _in_words(file, cache), watcher.file(file) as progressed:
                found = add_file(file, pins, cache, progressed=progressed)
            rows.append({"file": str(file), "added": bool(found), "is": _what(found)})
    n_added = sum(bool(row["added"]) for row in rows)
    _show(rows, as_json=as_json, title=f"{n_added} of {len(rows)} files are pinned and in {cache.root}")
    if not n_added:
        raise MissingData(
            f"none of {len(rows)} files is one that a suite pins ({len(pins)} pins are known); were they changed "
            f"after their download? A file pinned elsewhere needs `--manifest FILE`"
        )


@app.command()
def prepare(
    session: Annotated[list[str] | None, typer.Argument(metavar="SESSION...", help="Sessions of the suite.")] = None,
    suite: Annotated[str, typer.Option(help="A shipped suite, or a YAML file.")] = "primate-lfp",
    raw: Annotated[Path | None, typer.Option(help="Folder of the raw files, named as the suite names them.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The .mat file of one session.")] = None,
    broadband: Annotated[Path | None, typer.Option(help="The raw .nwb file of the same session.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the new files; with --labels, the new file.")] = None,
    area: Annotated[str, typer.Option(help="The array to keep, as the names of its channels begin.")] = "M1",
    as_json: Json = False,
) -> None:
    """Make one small file of a raw broadband recording and its labels: slow voltage, behaviour, spikes."""
    from harness.cli import prepare as command

    asked = command.Asked(session or [], suite, raw=raw, labels=labels, broadband=broadband, out=out, area=area)
    command.prepare(asked, as_json=as_json)


@app.command()
def path(suite: SuiteName, session: Annotated[str, typer.Argument(help="A session's id.")]) -> None:
    """Print where a fetched recording is; a simulated one is written if it is not there yet."""
    from harness.data.cache import default_cache
    from harness.data.download import simulated_path
    from harness.data.suites import File, Simulated, load_suite
    from harness.errors import MissingData, UsageError

    (wanted,) = choose(load_suite(suite), tier=None, ids=[session])
    if isinstance(wanted.source, File):
        raise UsageError(
            f"session {session!r} is the local file {wanted.source.path!r}, which stays below the folder that you name "
            f"with --data-root; look there"
        )
    if isinstance(wanted.source, Simulated):
        typer.echo(simulated_path(wanted, default_cache()))
        return
    found = default_cache().find(wanted.source)
    if found is None:
        raise MissingData(
            f"session {session!r} is not in the cache; fetch it with `harness data get {suite} --session {session}`"
        )
    typer.echo(found)


def choose(suite: "Suite", *, tier: str | None, ids: list[str]) -> "list[Session]":
    """The named sessions of a suite, else those of a tier, else all.

    Raises:
        UsageError: If the suite has no such tier or session.
    """
    from harness.errors import UsageError

    if not ids:
        return list(suite.in_tier(tier) if tier else suite.sessions)
    known = {s.id: s for s in suite.sessions}
    unknown = [name for name in ids if name not in known]
    if unknown:
        raise UsageError(
            f"suite {suite.label} has no session {unknown[0]!r}; `harness data info {suite.name}` lists its "
            f"{len(known)} sessions"
        )
    return [known[name] for name in ids]


def describe(session: "Session", cache: "Cache") -> Row:
    """One row of `info`; cached and pinned are None where the question does not arise."""
    from harness.data.pins import pin_of
    from harness.data.suites import Dandi, Zenodo

    source = session.source
    remote = isinstance(source, Dandi | Zenodo)
    return {
        "session": session.id,
        "host": source.host,
        "tiers": ", ".join(session.tiers),
        "bytes": getattr(source, "size", None),
        "licence": source.licence,
        "pinned": pin_of(source) is not None if remote else None,
        "cached": cache.find(source) is not None if remote else None,
    }


@contextmanager
def _in_words(file: Path, cache: "Cache") -> Iterator[None]:
    """What the system says of an unreadable file or a full disk, as one paragraph."""
    from harness.errors import HarnessError, MissingData

    try:
        yield
    except OSError as error:
        if isinstance(error, HarnessError):
            raise
        raise MissingData(
            f"{file} cannot be copied into {cache.root}: {error.strerror or error}; make it readable, or make room "
            f"there, then run the same command again: what was added before it is kept"
        ) from error


def _names(suite: str | None) -> dict[tuple[str, str], str]:
    from harness.data.pins import known_pins, pins_in_suite

    pins = pins_in_suite(suite) if suite else known_pins([])
    return {key: pin.name for pin in pins for key in pin.digests.items()}


def _simulated(suite: str | None, cache: "Cache") -> list[Row]:
    """Rows of `verify` for the simulated files, of one suite or all: whether each is whole."""
    from harness.data.download import simulated_place
    from harness.data.nwb_file import open_nwb
    from harness.data.suites import Simulated, known_suites, load_suite
    from harness.errors import BadData

    suites = map(load_suite, [suite] if suite else known_suites())
    sessions = [s for loaded in suites for s in loaded.sessions if isinstance(s.source, Simulated)]
    names = {simulated_place(s, cache): s.id for s in sessions}
    rows: list[Row] = []
    for path in sorted((cache.root / "simulated").glob("*.nwb")):
        if path.name.endswith(".part.nwb") or (suite and path not in names):
            continue
        try:
            with open_nwb(path):
                intact = True
        except BadData:
            intact = False
        rows.append({"file": names.get(path, "simulated, of no shipped suite"), "intact": intact, "path": str(path)})
    return rows


def _what(found: "list[Pin]") -> str:
    return ", ".join(dict.fromkeys(pin.name for pin in found)) if found else "its hash is pinned nowhere"


def _show(rows: list[Row], *, as_json: bool, title: str) -> None:
    import json

    from rich.console import Console
    from rich.table import Table

    if as_json:
        typer.echo(json.dumps(rows, indent=1))
        return
    table = Table(title=title, title_justify="left")
    for name in rows[0] if rows else ():
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(key, value) for key, value in row.items()))
    Console().print(table)


def _cell(key: str, value: object) -> str:
    from harness.data.cache import readable_size

    if key == "bytes":
        return readable_size(value if isinstance(value, int) else None)
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)
