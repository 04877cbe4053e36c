"""Tracks on the page: which of them records speak of, and why a record is not in one."""

from collections.abc import Iterable, Sequence

from harness.results.records import Record

DEFAULT = "causal"
EVERYBODY = "offline"
"""The track without rules: whoever has a score is in it, even if an old record does not name it."""

ORDER = (EVERYBODY, "delayed", DEFAULT, "realtime", "implant")


def tracks_of(records: Iterable[Record]) -> dict[str, int]:
    """Name and newest version of every track that records speak of: the usual ones first, then a lab's own ones."""
    newest: dict[str, int] = {}
    for record in records:
        for name, verdict in record.tracks.items():
            newest[name] = max(verdict.version, newest.get(name, 0))
    rank = {name: i for i, name in enumerate(ORDER)}
    return {name: newest[name] for name in sorted(newest, key=lambda n: (rank.get(n, len(ORDER)), n))}


def first_choice(names: Iterable[str]) -> str:
    """The track of a page whose address names none."""
    known = list(names)
    return DEFAULT if DEFAULT in known or not known else known[0]


def why_not(record: Record, track: str, version: int) -> str:
    """Why a record is not in this version of a track, with the number that broke it; empty if it is."""
    verdict = record.tracks.get(track)
    if track == EVERYBODY:
        return ""
    if verdict is None:
        return f"the record does not speak of {track}; run it again"
    if verdict.version != version:
        return f"judged by {track}@{verdict.version}, and this table is {track}@{version}; run it again"
    return "" if verdict.ok else f"not {track}: {verdict.why or 'no reason given'}"


def qualified(records: Sequence[Record], versions: dict[str, int]) -> list[str]:
    """The tracks that all records say they are in, by the newest version's rules."""

    def holds(record: Record, name: str) -> bool:
        verdict = record.tracks.get(name)
        return verdict is not None and verdict.ok and verdict.version == versions[name]

    return [name for name in versions if all(holds(record, name) for record in records)]
