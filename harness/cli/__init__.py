"""The command line: every command parses and prints; the work is elsewhere and imported when it is needed."""

import sys
from typing import Annotated

import typer

from harness import __version__
from harness.cli import board, check, data, hardware, keys, new, submit, verify
from harness.cli import eval as evaluation
from harness.cli import list as listing
from harness.errors import HarnessError

app = typer.Typer(
    name="harness",
    help="Evaluate neural decoders causally, in isolation, one bin at a time.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("eval")(evaluation.command)
app.command("list")(listing.command)
app.command("check")(check.command)
app.command("board")(board.command)
app.command("hardware")(hardware.command)
app.command("new")(new.command)
app.command("verify")(verify.command)
app.command("submit")(submit.command)
app.add_typer(data.app, name="data")
app.add_typer(keys.app, name="keys")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"neural-decoder-harness {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option(help="Show tracebacks instead of one paragraph.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Evaluate neural decoders causally, in isolation, one bin at a time."""


def main() -> None:
    """Run a command; an error of ours is one paragraph on stderr and its own exit code."""
    try:
        app()
    except HarnessError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(f"harness: {error}", err=True)
        raise SystemExit(error.exit_code) from None
