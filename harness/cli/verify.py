"""`harness verify`: run a record again, score its predictions again, or check a whole folder of results."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.results.receipts import Receipt
    from harness.results.records import Record
    from harness.results.store import Store

StoreFolder = Annotated[Path, typer.Option(help="Folder of results.")]


def command(
    record: Annotated[
        str | None, typer.Argument(metavar="[RECORD]", help="A record's file, or the beginning of its id.")
    ] = None,
    store: StoreFolder = Path("results"),
    retrain: Annotated[bool, typer.Option("--retrain", help="Learn again instead of restoring the artefact.")] = False,
    rescore: Annotated[
        bool, typer.Option("--rescore", help="Only score the predictions again, without the decoder.")
    ] = False,
    metric: Annotated[list[str] | None, typer.Option(help="With --rescore: another metric too; repeat it.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Look for edited, missing or reordered files of the whole folder.")
    ] = False,
    suite: Annotated[str, typer.Option(help="YAML file of a suite that is none of the shipped ones.")] = "",
    profile: Annotated[str, typer.Option(help="Another hardware profile than the record's.")] = "",
    data_root: Annotated[Path | None, typer.Option(help="Folder of a suite's local files.")] = None,
    dandi_api: Annotated[str | None, typer.Option(help="API of a DANDI mirror instead of the archive's.")] = None,
    physionet_url: Annotated[str | None, typer.Option(help="Folder of the data sets at a mirror of PhysioNet.")] = None,
    key: Annotated[Path | None, typer.Option(help="Sign the receipt with the key in this file.")] = None,
    workers: Annotated[int, typer.Option(min=0, help="Fits at a time; 0: one per core.")] = 0,
    json_: Annotated[bool, typer.Option("--json", help="Print the receipt as JSON.")] = False,
) -> None:
    """Say whether a record comes out the same, and leave a receipt; exit code 5 if it differs."""
    from harness.again import ready
    from harness.cli.data import access_from
    from harness.cli.progress import Progress
    from harness.cli.show import workers_from
    from harness.data.cache import default_cache
    from harness.data.download import locate
    from harness.data.progress import bars
    from harness.errors import NotWritten, UsageError, VerificationDiffers
    from harness.results.receipts import keep
    from harness.verify import rerun, rescore_record

    if everything:
        _check_all(store)
        return
    if record is None or (retrain and rescore):
        raise UsageError("name a record, with --retrain or --rescore or neither; or check a whole folder with --all")
    held, wanted = find_record(record, store)
    access = access_from(dandi_api, physionet_url)
    with bars() as watcher:
        again = ready(
            wanted,
            held,
            lambda sessions: locate(sessions, default_cache(), data_root=data_root, access=access, watcher=watcher),
            suite=suite,
            profile=profile,
        )
    if rescore:
        receipt = rescore_record(again, metric or [])
    else:
        with Progress(f"verify {wanted.decoder.name}") as progress:
            receipt = rerun(again, progress, retrain=retrain, n_workers=workers_from(workers))
    if key:
        receipt = _signed(receipt, key)
    unkept = None
    try:
        path = str(keep(receipt, wanted, held))
    except NotWritten as error:
        path, unkept = "not kept", error
    if json_:
        typer.echo(receipt.model_dump_json(by_alias=True))
    else:
        _show(receipt, path)
    if receipt.verdict == "differs":
        raise VerificationDiffers(_where(receipt))
    if unkept:
        raise unkept


def find_record(text: str, root: Path) -> "tuple[Store, Record]":
    """A record by its file or the beginning of its id, and the store that it lies in.

    Raises:
        UsageError: If there is none, or several begin so.
        BadData: If it is edited or unreadable.
    """
    from harness.errors import UsageError
    from harness.results.published import CHAIN, open_store
    from harness.results.reading import read_record
    from harness.results.store import Store

    path = Path(text)
    if path.suffix == ".json" and path.is_file():
        top = path.resolve().parents
        folders = [folder for folder in top[:4] if (folder / CHAIN).is_file()] or [
            folder.parent for folder in top[:4] if folder.name == "records"
        ]
        if not folders:
            raise UsageError(f"{path} lies in no store; a record's predictions and artefact lie beside it in one")
        return open_store(folders[0]), read_record(path)
    store = open_store(root) if root.is_dir() else Store(root)
    found = [path for path in store.paths() if path.stem.startswith(text)]
    if len(found) != 1:
        what = "no record" if not found else f"{len(found)} records"
        raise UsageError(f"{what} in {root} begin with {text!r}; `harness list results --store {root}` lists them")
    return store, read_record(found[0])


def _signed(receipt: "Receipt", key: Path) -> "Receipt":
    from harness.results.signing import sign

    return receipt.model_copy(update={"signature": sign(receipt.id, key)})


def _show(receipt: "Receipt", path: str) -> None:
    """One row for each recording, and the verdict."""
    from harness.cli.show import show_rows

    rows = [
        {
            "recording": one.session,
            "verdict": one.verdict,
            "largest difference": "" if one.max_difference is None else f"{one.max_difference:.3g}",
            "first differing bin": "" if one.first_bin is None else str(one.first_bin),
            **{name: f"{value:.4f}" for name, value in one.scores.items()},
        }
        for one in receipt.sessions
    ]
    show_rows(rows, as_json=False, nothing="the record has no recording")
    how = {"restored": "Its artefact was restored", "retrained": "It learned again", "rescored": "It was scored again"}
    exact = "bit for bit" if receipt.tolerance == 0 else f"to {receipt.tolerance:g}"
    unit = "" if receipt.how == "rescored" or receipt.tolerance == 0 else " of the recording's largest answer"
    typer.echo(f"{how[receipt.how]}: {receipt.verdict}, compared {exact}{unit}. Receipt: {path}")


def _where(receipt: "Receipt") -> str:
    """The first recording that differs, and where."""
    one = next(s for s in receipt.sessions if s.verdict == "differs")
    what = "its score" if receipt.how == "rescored" else "its answers"
    at = f" from bin {one.first_bin} of the test part on" if one.first_bin is not None else ""
    return (
        f"record {receipt.record[:12]} differs: recording {one.session!r}, {what}{at}; compare the receipt's "
        f"environment with the record's, and --retrain if the artefact may be damaged"
    )


def _check_all(root: Path) -> None:
    """Name every file of a folder of results that is not what it was.

    Raises:
        VerificationDiffers: If there is one.
    """
    from harness.errors import UsageError, VerificationDiffers
    from harness.results.integrity import all_problems

    if not root.is_dir():
        raise UsageError(f"there is no folder {root}; name one: --store")
    n_records, found = all_problems(root)
    for problem in found:
        typer.echo(problem)
    if found:
        raise VerificationDiffers(f"{len(found)} problems in {root}, {n_records} records; restore what was changed")
    typer.echo(f"{n_records} records in {root}: whole, unedited, in order")
