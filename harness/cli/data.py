"""`harness data`: fetch recordings, list them, check them, prepare raw ones, take in those that are here, export."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from harness.data.cache import Cache
    from harness.data.download import Access
    from harness.data.pins import Pin
    from harness.data.suites import Session, Suite

Row = dict[str, object]

app = typer.Typer(no_args_is_help=True, help="Fetch, list, check and add recordings.")

SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A shipped suite, or a YAML file.")]
Tier = Annotated[str | None, typer.Option(help="Only the sessions of this tier.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
DandiApi = Annotated[str | None, typer.Option(help="Address of a mirror of the DANDI archive.")]
PhysionetUrl = Annotated[str | None, typer.Option(help="Folder of the data sets at a mirror of PhysioNet.")]
DataRoot = Annotated[Path | None, typer.Option(help="Folder that the paths of local files are relative to.")]


@app.command()
def get(
    suite: SuiteName,
    tier: Annotated[str, typer.Option(help="Which sessions; ignored where --session names some.")] = "mini",
    session: Annotated[list[str] | None, typer.Option(help="A session's id; may be repeated.")] = None,
    data_root: DataRoot = None,
    dandi_api: DandiApi = None,
    physionet_url: PhysionetUrl = None,
    as_json: Json = False,
) -> None:
    """Fetch recordings into the data folder, unless they are there."""
    from harness.data.cache import default_cache
    from harness.data.download import excluded, locate
    from harness.data.progress import bars
    from harness.data.suites import load_suite

    wanted, cache = choose(load_suite(suite), tier=tier, ids=session or []), default_cache()
    access = access_from(dandi_api, physionet_url)
    with bars() as watcher:
        paths = locate(wanted, cache, data_root=data_root, access=access, watcher=watcher)
    rows: list[Row] = [{"session": name, "path": str(path)} for name, path in paths.items()]
    if out := excluded(wanted, cache):
        rows = [row | {"excluded": None} for row in rows]
        rows += [{"session": name, "path": None, "excluded": why} for name, why in out.items()]
    _show(rows, as_json=as_json, title=f"{len(paths)} sessions are here{f', {len(out)} are excluded' if out else ''}")


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
    sizes = _sizes(absent, cache)
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
    """Hash the fetched files again, open those made here, and name those that are damaged."""
    from harness.cli import data_verify as command

    rows = command.rows(suite)
    title = f"{len(rows)} cached files: downloads hashed again, simulated and converted ones opened"
    _show(rows, as_json=as_json, title=title)
    command.settle(rows, repair=repair)


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
def export(
    suite: SuiteName,
    out: Annotated[Path, typer.Option(help="Folder to write; not there yet, or empty.")],
    format: Annotated[Literal["hf", "parquet", "npz"], typer.Option(help="What reads it.")] = "parquet",
    tier: Annotated[str, typer.Option(help="Which sessions; ignored where --session names some.")] = "mini",
    session: Annotated[list[str] | None, typer.Option(help="A session's id; may be repeated.")] = None,
    task: Annotated[str | None, typer.Option(help="One of the suite's tasks; by default its main one.")] = None,
    data_root: DataRoot = None,
    dandi_api: DandiApi = None,
    physionet_url: PhysionetUrl = None,
    as_json: Json = False,
) -> None:
    """Write train, validation and test as files for other tools, with a dataset card."""
    from harness.cli import export as command

    asked = command.Asked(suite, tier, session or [], task=task, data_root=data_root)
    rows = command.export(asked, format=format, out=out, access=access_from(dandi_api, physionet_url))
    _show(rows, as_json=as_json, title=f"{out}: {len(rows)} splits and README.md; test labels are in it")


@app.command()
def clear() -> None:
    """Remove all prepared sessions from the data folder; they are prepared again when needed."""
    from harness.cli import export as command
    from harness.data.cache import readable_size

    n, n_bytes = command.clear()
    typer.echo(f"{n} prepared sessions removed, {readable_size(n_bytes)}")


@app.command()
def path(suite: SuiteName, session: Annotated[str, typer.Argument(help="A session's id.")]) -> None:
    """Print where a fetched recording is; a simulated or converted one is written if it is not there yet."""
    from harness.data.cache import default_cache
    from harness.data.download import converted_path, excluded, is_cached, simulated_path
    from harness.data.suites import File, Physionet, Simulated, load_suite
    from harness.errors import Excluded, MissingData, UsageError

    (wanted,) = choose(load_suite(suite), tier=None, ids=[session])
    if isinstance(wanted.source, File):
        raise UsageError(
            f"session {session!r} is the local file {wanted.source.path!r}, which stays below the folder that you name "
            f"with --data-root; look there"
        )
    if isinstance(wanted.source, Simulated):
        typer.echo(simulated_path(wanted, default_cache()))
        return
    cache = default_cache()
    if not is_cached(wanted, cache):
        raise MissingData(
            f"session {session!r} is not in the cache; fetch it with `harness data get {suite} --session {session}`"
        )
    several = isinstance(wanted.source, Physionet)
    found = converted_path(wanted, cache) if several else cache.find(wanted.source)
    if found is None:
        raise Excluded(f"session {session!r} has no file: {excluded([wanted], cache)[session]}")
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


def access_from(dandi_api: str | None, physionet_url: str | None) -> "Access":
    """How hosts are asked, as the options say."""
    from harness.data.download import Access

    given = {"dandi_api": dandi_api, "physionet": physionet_url}
    return Access(**{name: url for name, url in given.items() if url})  # type: ignore[arg-type]


def describe(session: "Session", cache: "Cache") -> Row:
    """One row of `info`; what a question does not arise for is None."""
    from harness.data.download import excluded, is_cached
    from harness.data.pins import pins_of
    from harness.data.suites import File, Simulated

    source = session.source
    remote = not isinstance(source, File | Simulated)
    return {
        "session": session.id,
        "host": source.host,
        "tiers": ", ".join(session.tiers),
        "bytes": getattr(source, "size", None),
        "licence": source.licence,
        "pinned": bool(pins_of(source)) if remote else None,
        "cached": is_cached(session, cache) if remote else None,
        "excluded": excluded([session], cache).get(session.id),
    }


def _sizes(absent: "list[Session]", cache: "Cache") -> list[int | None]:
    """The sizes of what is to be fetched: one for each file, and one for a session that pins none."""
    from harness.data.download import missing_files
    from harness.data.pins import pins_of

    unpinned = [getattr(s.source, "size", None) for s in absent if not pins_of(s.source)]
    return [file.pin.size for file in missing_files([s for s in absent if pins_of(s.source)], cache)] + unpinned


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
