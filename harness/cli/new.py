"""`harness new`: write a package with a decoder that works, to begin with."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the decoder and of its package, such as my-ridge.")],
    folder: Annotated[Path | None, typer.Option(help="Where to; NAME in this folder unless given.")] = None,
    torch: Annotated[bool, typer.Option("--torch", help="Begin with a network instead of a regression.")] = False,
) -> None:
    """Write a package: decoder, card, entry point, test and the way to a submission."""
    from harness.new import write_package

    path = write_package(name, folder or Path(name), kind="torch" if torch else "ridge")
    typer.echo(
        f"{path} is written; next:\n  pip install -e {path}\n  harness check {name}\n  less {path / 'README.md'}"
    )
