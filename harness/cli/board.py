"""`harness board`: look at a store in the browser."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    store: Annotated[Path, typer.Option(help="Folder with the records.")] = Path("results"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on this machine; 0 takes a free one.")] = 8501,
    browser: Annotated[bool, typer.Option(help="Open the page in the browser.")] = True,
) -> None:
    """Show the leaderboard of a store in the browser, until Ctrl-C."""
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
