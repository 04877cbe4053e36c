"""A store with one whole, evaluated record, for tests of verification and submission."""

from dataclasses import dataclass
from pathlib import Path

from harness.again import Again, ready
from harness.data.cache import Cache
from harness.data.download import locate
from harness.data.suites import load_suite
from harness.evaluate import evaluate
from harness.plan import Plan
from harness.registry import find
from harness.results.records import Record
from harness.results.store import Store
from tests.tiny import Quiet, quick_profile, tiny_files, write_quick_profile, write_tiny_suite


@dataclass(frozen=True)
class Evaluated:
    """A record with all that it was made of.

    folder: Holds the suite, the profile and the data.
    """

    folder: Path
    store: Store
    record: Record

    def ready(self) -> Again:
        """What running it again needs."""
        return ready(self.record, self.store, self.files, suite=self.suite, profile=self.profile)

    def files(self, sessions):
        return locate(sessions, Cache(self.folder / "data"))

    @property
    def suite(self) -> str:
        return str(self.folder / "tiny.yaml")

    @property
    def profile(self) -> str:
        return str(self.folder / "quick.yaml")


def evaluated(folder: Path, decoder: str = "wiener") -> Evaluated:
    """Evaluate a decoder on the tiny suite."""
    suite = load_suite(str(write_tiny_suite(folder)))
    write_quick_profile(folder)
    files = tiny_files(suite, folder / "data")
    store = Store(folder / "results")
    plan = Plan(suite, "simulated", files, [find(decoder)], quick_profile(), store, seeds=(1,))
    (record,) = evaluate(plan, Quiet())
    return Evaluated(folder, store, record)
