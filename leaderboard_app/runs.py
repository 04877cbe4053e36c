"""Which records belong together: boards that may be ranked, and the seeds of one decoder."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.results.records import DecoderIdentity, Record

Data = frozenset[tuple[str, str]]
"""The recordings of a run, as (session, sha256)."""


@dataclass(frozen=True, order=True)
class Board:
    """What may share one ranking. Simulated and real recordings never do; latencies belong to one profile."""

    suite: str
    tier: str
    simulated: bool
    profile: str

    @classmethod
    def of(cls, record: Record) -> "Board":
        return cls(record.suite, record.tier, record.simulated, record.profile.name)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> "Board":
        """As `of`, of a record's line in the index."""
        return cls(row["suite"], row["tier"], bool(row["simulated"]), row["profile"])

    @property
    def parts(self) -> tuple[str, ...]:
        mark = ("simulated",) if self.simulated and self.tier != "simulated" else ()
        return (self.suite, self.tier, *mark, self.profile)

    @property
    def key(self) -> str:
        """What the page's address says."""
        return "/".join(self.parts)

    @property
    def title(self) -> str:
        """What the selector says."""
        return " · ".join(self.parts)


@dataclass(frozen=True)
class Run:
    """All seeds of one decoder identity on one set of recordings, latest run of each seed."""

    label: str
    data: Data
    records: Sequence[Record]


def newest(records: Iterable[Record]) -> Record:
    """The record that was started last."""
    return max(records, key=lambda record: (record.started_utc, record.id))


def _parameters(decoder: DecoderIdentity) -> dict[str, Any]:
    return {name: value for name, value in decoder.parameters.items() if name != "seed"}


def _identity(decoder: DecoderIdentity) -> str:
    return json.dumps([decoder.name, decoder.version, _parameters(decoder), decoder.source_sha256], sort_keys=True)


def _data(record: Record) -> Data:
    return frozenset((s.session, s.sha256) for s in record.sessions)


def runs_of(records: Sequence[Record]) -> list[Run]:
    """Gather the records of one board by decoder and recordings; of two runs with one seed the later counts."""
    groups: dict[tuple[str, Data], dict[int, Record]] = defaultdict(dict)
    for record in sorted(records, key=lambda r: (r.started_utc, r.id)):
        groups[_identity(record.decoder), _data(record)][record.seed] = record
    labels = _labels({identity: newest(seeds.values()).decoder for (identity, _), seeds in groups.items()})
    return [Run(labels[identity], data, tuple(seeds.values())) for (identity, data), seeds in groups.items()]


def _labels(decoders: dict[str, DecoderIdentity]) -> dict[str, str]:
    """Name each identity, adding what tells it from others of the same name."""
    by_name: dict[str, list[DecoderIdentity]] = defaultdict(list)
    for decoder in decoders.values():
        by_name[decoder.name].append(decoder)
    labels: dict[str, str] = {}
    for identity, decoder in decoders.items():
        twins = by_name[decoder.name]
        parts = [
            f"{name}={_written(value)}"
            for name, value in sorted(_parameters(decoder).items())
            if any(_written(_parameters(d).get(name)) != _written(value) for d in twins)
        ]
        if any(d.version != decoder.version for d in twins):
            parts.append(f"version {decoder.version}")
        if any(d.source_sha256 != decoder.source_sha256 for d in twins):
            parts.append(f"source {decoder.source_sha256[:7]}")
        label = f"{decoder.name} ({', '.join(parts)})" if parts else decoder.name
        taken = sum(other == label or other.startswith(f"{label} #") for other in labels.values())
        labels[identity] = f"{label} #{taken + 1}" if taken else label
    return labels


def _written(value: Any) -> str:
    """A hyper-parameter as a label has it: 1 and 1.0 are two values, and so are 1 and a text that says so."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return value if isinstance(value, str) and not _reads_as_json(value) else text


def _reads_as_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def shared_data(runs: Sequence[Run]) -> Data:
    """The recordings that most decoders finished on; of equals, those of the newest run."""
    finished = [run for run in runs if all(r.status == "ok" for r in run.records)]
    counts = Counter(run.data for run in finished)
    ages = [(counts[run.data], newest(run.records).started_utc, i) for i, run in enumerate(finished)]
    return finished[max(ages)[-1]].data if ages else frozenset()
