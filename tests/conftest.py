"""What all tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.data.cache import Cache
from tests.archive_server import Archive, only_loopback, serving

ROOT = Path(__file__).parent.parent


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


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """An empty cache."""
    return Cache(tmp_path / "cache")
