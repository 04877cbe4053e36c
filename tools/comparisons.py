"""Claims as comparisons of two decoders over the same recordings, each with a verdict by rule."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
from scipy.stats import t as student_t

from harness.results.records import Record

HOLDS, FAILS, OPEN, UNTESTABLE = "holds", "does not hold here", "undecided here", "cannot be tested here"

RULE = """A verdict is by rule. The scores of two decoders are averaged over seeds and subtracted on each recording;
*holds* and *does not hold here* if the 95 % t-interval of the {n_sessions} differences excludes zero on one side or the
other, else *undecided here*."""


@dataclass(frozen=True)
class Comparison:
    """That `better` scores above `worse`; `source` is where it is said, empty for what only we ask."""

    claim: str
    better: str
    worse: str
    source: str = ""


Sections = Mapping[str, Sequence[Comparison]]
"""Title -> what is compared."""
Untested = Mapping[str, Sequence[tuple[str, str]]]
"""Title -> claims that cannot be tested here, each with what is lacking."""


def chosen(records: Sequence[Record]) -> list[Record]:
    """The newest record of every task, decoder and seed.

    Raises:
        SystemExit: If they are of several tiers or profiles, which must not be averaged.
    """
    if len(kinds := {(r.tier, r.profile.name) for r in records}) != 1:
        raise SystemExit(f"the store holds records of {sorted(kinds)}; give one that holds one tier and profile")
    newest: dict[tuple[str, str, int], Record] = {}
    for record in sorted(records, key=lambda r: r.started_utc):
        newest[record.suite, record.decoder.name, record.seed] = record
    return list(newest.values())


def scores(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Decoder -> recording -> score, mean over seeds; a decoder that runs on spikes has a name of its own."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in (r for r in records if r.status == "ok"):
        for session in record.sessions:
            found[record.decoder.name][session.session].append(session.scores[record.metric])
    return {name: {s: fmean(values) for s, values in each.items()} for name, each in found.items()}


def seeds_of(records: Sequence[Record]) -> dict[str, int]:
    """Decoder -> how many seeds were scored; 1 for one that is deterministic."""
    names = [r.decoder.name for r in records if r.status == "ok"]
    return {name: names.count(name) for name in names}


def t_interval(differences: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the mean; infinite for fewer than two."""
    if len(differences) < 2:
        return -np.inf, np.inf
    half = float(student_t.ppf(0.975, len(differences) - 1)) * stdev(differences) / len(differences) ** 0.5
    return fmean(differences) - half, fmean(differences) + half


def verdict(low: float, high: float) -> str:
    """What an interval says of a claim that the difference is above zero."""
    return HOLDS if low > 0 else FAILS if high < 0 else OPEN


def claims(records: Sequence[Record], sections: Sections, untested: Untested, *, score: str) -> Iterator[str]:
    """One table for each section; `score` is what the metric is called in its head."""
    known, seeds = scores(records), seeds_of(records)
    for title, comparisons in sections.items():
        heads = (
            "claim",
            "from",
            "compared (seeds)",
            score,
            score,
            "difference",
            "95 % interval",
            "above zero",
            "verdict",
        )
        lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [_line(c, known, seeds) for c in comparisons]
        lines += [
            f"| {claim} | | lacks {what} | | | | | | **{UNTESTABLE}** |" for claim, what in untested.get(title, ())
        ]
        yield f"## {title}\n\n" + "\n".join(lines)


def _line(c: Comparison, known: Mapping[str, Mapping[str, float]], seeds: Mapping[str, int]) -> str:
    a, b = known.get(c.better, {}), known.get(c.worse, {})
    both = sorted(set(a) & set(b))
    pair = [f"{name} ({seeds.get(name, 0)})" for name in (c.better, c.worse)]
    cells = [c.claim, c.source or "asked here", " / ".join(pair)]
    if not both:
        return "| " + " | ".join([*cells, "", "", "", "", "", "not run"]) + " |"
    differences = [a[s] - b[s] for s in both]
    low, high = t_interval(differences)
    cells += [f"{fmean(x[s] for s in both):.3f}" for x in (a, b)]
    cells += [f"{fmean(differences):+.3f}", f"{low:+.3f} to {high:+.3f}"]
    cells += [f"{sum(d > 0 for d in differences)} of {len(both)}", f"**{verdict(low, high)}**"]
    return "| " + " | ".join(cells) + " |"
