"""What a user sees of a download: what will be fetched, how far it is, how long it takes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from harness.data.cache import readable_size


@dataclass(frozen=True)
class Plan:
    """A download, before its first byte.

    n_bytes: Sum of the known sizes.
    n_unknown: Files whose size no source states.
    remaining_bytes: What is left of `n_bytes` after what an earlier run fetched.
    """

    names: tuple[str, ...]
    n_bytes: int
    n_unknown: int
    remaining_bytes: int
    licences: tuple[str, ...]
    hosts: tuple[str, ...]
    folder: Path

    @property
    def size(self) -> str:
        """All that is known about how much it is."""
        unknown = f" and {self.n_unknown} of unknown size" if self.n_unknown else ""
        n_files = len(self.names)
        return f"{n_files} file{'s' if n_files > 1 else ''}, {readable_size(self.n_bytes)}{unknown}"


class Watcher:
    """Hears what a download does; this one says nothing. Called from several threads."""

    def planned(self, plan: Plan) -> None:
        """All is about to start."""

    def started(self, name: str, *, size: int | None) -> None:
        """One file is about to start."""

    def progressed(self, name: str, n_bytes: int) -> None:
        """So many bytes of one file are there."""

    def finished(self, name: str) -> None:
        """One file is in the cache."""


@dataclass
class Bars(Watcher):
    """Prints the plan, then one bar per file with rate and time left, to standard error."""

    progress: Progress
    tasks: dict[str, TaskID] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    total: TaskID | None = None

    def planned(self, plan: Plan) -> None:
        kept = plan.n_bytes - plan.remaining_bytes
        self.progress.console.print(
            f"Downloading {plan.size}, from {', '.join(plan.hosts)} into {plan.folder}."
            + (f" {readable_size(kept)} of it are there from an earlier run." if kept else "")
            + f"\nLicences: {', '.join(plan.licences)}.",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        known = None if plan.n_unknown else plan.n_bytes
        self.total = self.progress.add_task("all files", total=known) if len(plan.names) > 1 else None

    def started(self, name: str, *, size: int | None) -> None:
        self.tasks[name] = self.progress.add_task(name, total=size)

    def progressed(self, name: str, n_bytes: int) -> None:
        self.arrived[name] = n_bytes
        self.progress.update(self.tasks[name], completed=n_bytes)
        if self.total is not None:
            self.progress.update(self.total, completed=sum(list(self.arrived.values())))

    def finished(self, name: str) -> None:
        if name in self.tasks:
            self.progress.remove_task(self.tasks.pop(name))

    @contextmanager
    def file(self, path: Path) -> Iterator[Callable[[int], None]]:
        """Show a bar for one local file that is read; the block tells how many bytes it has read."""
        self.started(str(path), size=path.stat().st_size)
        yield partial(self.progressed, str(path))
        self.finished(str(path))


@contextmanager
def bars() -> Iterator[Bars]:
    """Show progress bars on standard error while the block runs."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield Bars(progress)
