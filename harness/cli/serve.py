"""The process behind `harness board`: Streamlit, on this machine only."""

import contextlib
import importlib.util
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, UsageError

ADDRESS = "127.0.0.1"
SETTINGS = (
    "--browser.gatherUsageStats=false",
    f"--server.address={ADDRESS}",
    "--server.headless=true",
    "--server.fileWatcherType=none",
    "--client.toolbarMode=minimal",
    "--client.showErrorDetails=none",
    "--theme.light.primaryColor=#3b7dd8",
    "--theme.dark.primaryColor=#3b7dd8",
)
"""Nothing is reported to anyone, only this machine can connect, and Streamlit itself opens no browser."""


def server_command(store: Path, port: int) -> list[str]:
    """The command that serves the page.

    Raises:
        UsageError: If the page's package is not installed.
    """
    found = importlib.util.find_spec("leaderboard_app")
    if found is None or found.origin is None:
        raise UsageError("the package leaderboard_app is not installed; install neural-decoder-harness again")
    app = Path(found.origin).parent / "app.py"
    run = [sys.executable, "-m", "streamlit", "run", str(app), *SETTINGS, f"--server.port={port}"]
    return [*run, "--", "--store", str(store)]


def free_port(port: int) -> int:
    """The port itself if nobody listens on it; for 0 any free one.

    Raises:
        UsageError: If the port is taken.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError as error:
            raise UsageError(
                f"port {port} on {ADDRESS} cannot be used ({error.strerror}); name another with --port, "
                f"or take any free one with --port 0"
            ) from None
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A running leaderboard."""

    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def address(self) -> str:
        return f"http://{ADDRESS}:{self.port}"

    def is_up(self) -> bool:
        """Whether the page can be asked for."""
        try:
            with urllib.request.urlopen(f"{self.address}/_stcore/health", timeout=5):
                return True
        except OSError:
            return False

    def wait_until_up(self, timeout_s: float = 60.0) -> None:
        """Return when the page can be asked for.

        Raises:
            HarnessError: If the server ends first or takes too long.
        """
        give_up = time.monotonic() + timeout_s
        while not self.is_up():
            if time.monotonic() > give_up:
                raise HarnessError(f"no leaderboard at {self.address} within {timeout_s:g} s; try another --port")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(0.1)

    def wait(self, timeout_s: float | None = None) -> None:
        """Stay here while the server runs.

        Raises:
            HarnessError: If it ends, which it does not by itself.
        """
        code = self.process.wait(timeout_s)
        raise HarnessError(f"the leaderboard ended with code {code}; its own message is above")

    def end(self) -> None:
        """End the server, by force if it does not listen."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextlib.contextmanager
def serving(store: Path, port: int) -> Iterator[Server]:
    """Serve the page for as long as the block runs; port 0 takes a free one.

    Raises:
        UsageError: If the port is taken.
        HarnessError: If the server does not come up.
    """
    port = free_port(port)
    server = Server(subprocess.Popen(server_command(store, port), stdout=subprocess.DEVNULL), port)
    try:
        server.wait_until_up()
        yield server
    finally:
        server.end()
