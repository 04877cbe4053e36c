"""`harness board`: look at a store in the browser, or write a copy of it that needs no server."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    store: Annotated[Path, typer.Option(help="Folder with the records.")] = Path("results"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
    static: Annotated[
        Path | None, typer.Option(help="Write a copy (HTML, SVG, CSV, JSON) into this folder, and serve nothing.")
    ] = None,
) -> None:
    """Show the leaderboard of a store in the browser, until Ctrl-C; or write it as files."""
    if static is not None:
        _write(store, static)
    else:
        _serve(store, port, browser)


def _write(store: Path, folder: Path) -> None:
    """Have the leaderboard's package write the copy; its own words go to the terminal."""
    import subprocess
    import sys

    arguments = ["--store", str(store), "--out", str(folder)]
    done = subprocess.run([sys.executable, "-m", "leaderboard_app.static", *arguments], check=False)
    if done.returncode:
        raise typer.Exit(done.returncode)


def _serve(store: Path, port: int, browser: bool) -> None:
    import signal
    import webbrowser

    from harness.cli.serve import serving

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with serving(store, port) as server:
            typer.echo(f"Leaderboard of {store}: {server.address}  (Ctrl-C ends it)")
            if browser:
                webbrowser.open(server.address)
            server.wait()
    except KeyboardInterrupt:
        typer.echo("The leaderboard has ended.")
