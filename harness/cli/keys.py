"""`harness keys`: make a key to sign records and receipts with."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Keys to sign records and receipts with.")


@app.callback()
def options() -> None:
    """Keys to sign records and receipts with."""


@app.command()
def new(
    key: Annotated[Path | None, typer.Option(help="Another file than the usual one.")] = None,
) -> None:
    """Make a key, and print its public half, which others check your signatures with."""
    from harness.results.signing import default_key_file, new_key

    path = key or default_key_file()
    typer.echo(f"public key: {new_key(path)}\nprivate key, for you alone: {path}")
