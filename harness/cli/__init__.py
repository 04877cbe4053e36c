"""The command line: every command parses and prints; the work is elsewhere and imported when it is needed."""

import os
import sys
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from harness import __version__
from harness.cli import board, check, data, hardware, keys, new, submit, verify
from harness.cli import eval as evaluation
from harness.cli import list as listing
from harness.disk import ONLY_WRITING, not_written
from harness.errors import HarnessError, NotWritten

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
    """Run a command; an error of ours, or a disk's, is one paragraph on stderr and its own exit code."""
    try:
        app()
    except HarnessError as error:
        if "--debug" in sys.argv:
            raise
        _end(error)
    except OSError as error:
        words = not_written(error, error.filename or "what was printed") if error.errno in ONLY_WRITING else None
        if "--debug" in sys.argv or words is None:
            raise
        _end(words)


def _end(error: HarnessError) -> NoReturn:
    typer.echo(f"harness: {error}", err=True)
    if isinstance(error, NotWritten):
        # HDF5 cannot close a file that found no room, and would crash on the way out.
        with suppress(OSError):
            sys.stdout.flush()
        os._exit(error.exit_code)
    raise SystemExit(error.exit_code) from None
