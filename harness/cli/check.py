"""`harness check`: hold a decoder to the contract before it is evaluated."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from harness.judge.conformance import CheckResult

DECODER_FAILED = 3


def command(
    name: Annotated[str, typer.Argument(metavar="DECODER", help="Name or path/to/file.py:Class.")],
    set_: Annotated[list[str] | None, typer.Option("--set", help="Hyper-parameter as field=value; repeat it.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")] = False,
) -> None:
    """Hold a decoder to the rules of the contract, on tiny made-up data; runs its code in this process."""
    from harness.cli.progress import Progress
    from harness.cli.show import settings_from
    from harness.judge.conformance import CHECKS, CheckResult, iter_checks
    from harness.registry import find

    results: list[CheckResult] = []
    with Progress(f"check {name}") as progress:
        progress.total(len(CHECKS))
        for result in iter_checks(find(name), settings_from(set_ or [])):
            results.append(result)
            progress.done(result.name)
    show(name, results, as_json=json_)
    if any(result.status == "failed" for result in results):
        raise typer.Exit(DECODER_FAILED)


def show(name: str, results: "Sequence[CheckResult]", *, as_json: bool) -> None:
    """Print what became of each check, and for those that failed the rule."""
    import dataclasses
    import json

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(result) for result in results], indent=1))
        return
    colours = {"ok": "green", "failed": "bold red", "skipped": "dim"}
    table = Table("check", "", "what was measured", title=f"harness check {name}", title_justify="left")
    for result in results:
        said = f"{result.message}\nRule: {result.rule}" if result.status == "failed" else result.message
        table.add_row(result.name, Text(result.status, colours[result.status]), Text(said))
    console = Console()
    console.print(table)
    counts = {status: sum(r.status == status for r in results) for status in colours}
    console.print(", ".join(f"{n} {status}" for status, n in counts.items() if n), highlight=False)
