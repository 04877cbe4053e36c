"""`harness submit`: put records where a pull request takes them from."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    records: Annotated[list[str], typer.Argument(metavar="RECORD...", help="Files, or beginnings of ids.")],
    store: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
    into: Annotated[Path, typer.Option(help="The published folder, in your fork.")] = Path("submissions/results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    key: Annotated[Path | None, typer.Option(help="Sign the record with the key in this file.")] = None,
    sign: Annotated[bool, typer.Option("--sign", help="Sign with your own key (harness keys new).")] = False,
    address: Annotated[str, typer.Option(help="Where files lie that are too large for a repository.")] = "",
) -> None:
    """Validate records and write them into the published folder, or say all that speaks against it."""
    from harness.cli.verify import find_record
    from harness.errors import UsageError
    from harness.results.published import Published
    from harness.results.signing import default_key_file
    from harness.results.signing import sign as signature_of
    from harness.submit import next_steps, prepared, write

    target = Published(into)
    file = key or (default_key_file() if sign else None)
    submissions = []
    for text in records:
        held, record = find_record(text, store)
        signature = signature_of(record.id, file) if file else ""
        submissions.append(prepared(record, held, target, address=address, signature=signature))
    if refused := [(one.record, one.refused) for one in submissions if one.refused]:
        lines = [f"  {record.id[:12]} {record.decoder.name}: {why}" for record, whys in refused for why in whys]
        raise UsageError("nothing is written, for\n" + "\n".join(lines))
    for one in submissions:
        if not dry_run:
            write(one, target)
        for path, content in one.files.items():
            typer.echo(f"{'would write' if dry_run else 'wrote'} {path} ({len(content):,} bytes)")
    typer.echo(next_steps(submissions, target))
