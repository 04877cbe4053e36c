"""What all tests share."""

import signal
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.data.cache import Cache
from tests.archive_server import Archive, only_loopback, serving

if TYPE_CHECKING:
    from tests.faults import Server

ROOT = Path(__file__).parent.parent

# Ctrl-C is ignored in what a shell starts in the background, and in all that is started from there.
signal.signal(signal.SIGINT, signal.default_int_handler)


SLOW = ("test_cheats", "test_dask", "test_engine", "test_eval", "test_faults", "test_learning", "test_realdata")
SLOW += ("test_shipped_decoders", "test_site_browser", "test_verify", "test_whole_way")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files whose tests run whole commands come first in each process, so that none is left with them at the end."""
    n_processes = getattr(config, "workerinput", {}).get("workercount", 1)
    files = [list(tests) for _, tests in groupby(items, lambda item: item.path)]
    slow = [tests for tests in files if tests[0].path.name.startswith(SLOW)]
    quick = [tests for tests in files if tests not in slow]
    piles = [[*slow[i::n_processes], *quick[i::n_processes]] for i in range(n_processes)]
    items[:] = [item for pile in piles for tests in pile for item in tests]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what tests of faults counted (`record_property("faults", ...)`), whichever process they ran in."""
    reports = [one for kind in ("passed", "failed") for one in terminalreporter.stats.get(kind, ())]
    lines = [text for one in reports if one.when == "call" for name, text in one.user_properties if name == "faults"]
    if lines:
        terminalreporter.section("faults survived")
        for line in sorted(lines):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def brisk(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Passes of this process wait for no other tests' and are calibrated briefly: no test asserts how fast they are."""
    from harness.judge import hardware, turn

    turn.FOLDER = tmp_path_factory.mktemp("turns")
    hardware.ROUNDS = 3


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(scope="session")
def realdata() -> Path:
    """The folder of real recordings beside the repository; without it the test is skipped."""
    folder = ROOT.parent / "shared" / "realdata"
    if not folder.is_dir():
        pytest.skip("no real recordings in ../shared/realdata beside the repository")
    return folder


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """An archive on loopback; the test fails if this process asks anybody else."""
    monkeypatch.delenv("DANDI_NO_ET", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with only_loopback(), serving() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Server]":
    """Runs commands that break down where a test says; see `tests/faults.py`."""
    from harness.data.suites import load_suite
    from tests.faults import Server
    from tests.tiny import tiny_files, write_quick_profile, write_tiny_suite

    folder = tmp_path_factory.mktemp("faults")
    tiny_files(load_suite(str(write_tiny_suite(folder))), folder / "data")
    write_quick_profile(folder)
    running = Server(folder)
    yield running
    running.end()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")
