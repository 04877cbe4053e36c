"""How far records may be trusted, by the receipts beside them, and whether a card owns up to their test data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.data.contamination import contaminated
from harness.errors import HarnessError
from harness.results.published import open_store
from harness.results.receipts import Trust, receipts_in, trust
from harness.results.records import Record
from harness.results.signing import read_keys
from leaderboard_app.decoder.cards import card_of

ORDER: tuple[Trust, ...] = ("self-reported", "reproduced", "reference")
KEYS = Path("keys") / "reference.txt"
"""Beside the published folder: the public keys of reference machines."""


@dataclass(frozen=True)
class Mark:
    """What is known of a record beside itself.

    contaminated: Recordings that its decoder's card says it learned from.
    """

    trust: Trust = "self-reported"
    contaminated: tuple[str, ...] = ()


Marks = Mapping[str, Mark]
"""Id of a record -> its mark; a record without one is self-reported."""


def marks_of(root: Path, records: Iterable[Record]) -> dict[str, Mark]:
    """The marks of those records that have anything to be marked.

    Args:
        root: The store that they lie in.
        records: Any of its records.
    """
    store, keys = open_store(root), _reference_keys(root)
    found = {}
    for record in records:
        folder = store.receipts(record)
        mark = Mark(trust(record.id, receipts_in(folder), keys), _contaminated(root, record))
        if mark != Mark():
            found[record.id] = mark
    return found


def lowest(records: Iterable[Record], marks: Marks) -> Trust:
    """The trust of several records together."""
    return min((marks.get(record.id, Mark()).trust for record in records), key=ORDER.index)


def all_contaminated(records: Iterable[Record], marks: Marks) -> list[str]:
    """The recordings of several records that their decoder learned from, by its card."""
    return sorted({name for record in records for name in marks.get(record.id, Mark()).contaminated})


def _reference_keys(root: Path) -> list[str]:
    try:
        return list(read_keys(root.parent / KEYS))
    except HarnessError:
        return []


def _contaminated(root: Path, record: Record) -> tuple[str, ...]:
    card = card_of(record.decoder, root, record.suite)
    return contaminated(card.learned_from, record.suite, {s.session for s in record.sessions}) if card else ()
