"""Write docs/performance.md from what was measured; every number and verdict comes from three records.

    PYTHONPATH=. python tools/performance_page.py docs/results docs/performance.md

In the folder are peers.json of tools/bench_peers.py (`make bench-peers`), bench.json of tools/bench_table.py (`make
bench`) and training.json of tools/training_profile.py.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tools.peers.texts import TEXTS
from tools.performance_parts import learning, targets

BUSY = 1.25
"""Wall over processor time above which the page calls the machine busy."""
HEAD = """Written by `tools/performance_page.py` from [docs/results/peers.json](results/peers.json), which
`{command}` makes: it installs each peer in an environment of its own and does the same work on the same
made-up inputs with the peer and with this project, in turns, on one core with one thread. Decision
[0122](decisions/0122-peers-are-measured-in-turns.md) says how, and why so.

Measured {day} on {cpu} ({cores}, {memory_gib:.0f} GiB, {system}), at most {rounds} rounds,
{minutes:.0f} minutes in all. {calm}

**A ratio is the peer's time over ours: above 1 this project is faster, below 1 the peer is.** Times are medians
by the wall's clock; the range is that of the slowest round of one against the fastest of the other, and where it
holds 1 there is no difference to speak of. *CPU* is the same ratio of processor time, which other programs on the
machine change less, and in which waiting does not count."""


@dataclass(frozen=True)
class Pair:
    """A peer's side and ours of one work.

    ratio, low, high: The peer's median over ours, and the range of rounds.
    cpu: Ratio of medians of processor time; None where it was not measured.
    """

    work: str
    peer: str
    ours: str
    theirs_s: float
    own_s: float
    ratio: float
    low: float
    high: float
    cpu: float | None

    @property
    def verdict(self) -> str:
        """Who is faster."""
        if self.low <= 1 <= self.high:
            return "no difference"
        return "ours" if self.ratio > 1 else "peer"


def main() -> None:
    """Read the records, write the page."""
    folder, page = (Path(argument) for argument in sys.argv[1:3])
    page.write_text(written(**records_in(folder)))


def records_in(folder: Path) -> dict[str, Any]:
    """The three records by name."""
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in ("peers", "bench", "training")}


def written(peers: Mapping[str, Any], bench: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    """The page."""
    found = peers
    pairs = [pair for name, work in found["works"].items() for pair in pairs_of(name, work)]
    parts = ["# Performance", *targets(bench), *learning(training), "## Beside the peers", head(found), summary(pairs)]
    parts += ["### Where a peer is faster", *faster(pairs, found)]
    parts += [text for name, work in found["works"].items() for text in section(name, work, pairs)]
    parts += ["### Versions", environments(found)]
    return "\n\n".join(part for part in parts if part) + "\n"


def pairs_of(name: str, work: Mapping[str, Any]) -> Iterator[Pair]:
    """The pairs of a work both of whose sides were measured."""
    for peer, ours in work["pairs"]:
        theirs, own = (_per(work["sides"].get(label)) for label in (peer, ours))
        if not theirs or not own:
            continue
        cpus = [work["sides"][label]["cpu_s"] for label in (peer, ours)]
        per = [work["sides"][label].get("per", 1) for label in (peer, ours)]
        cpu = median(cpus[0]) / per[0] / (median(cpus[1]) / per[1]) if all(cpus) and median(cpus[1]) else None
        a, b = median(theirs), median(own)
        yield Pair(name, peer, ours, a, b, a / b, min(theirs) / max(own), max(theirs) / min(own), cpu)


def _per(side: Mapping[str, Any] | None) -> list[float]:
    return [s / side.get("per", 1) for s in side["seconds"]] if side else []


def head(found: Mapping[str, Any]) -> str:
    """How it was measured, and on what."""
    machine, shared = found["machine"], waited(found)
    calm = (
        f"**Other programs ran on that core**: work took {shared:.1f} times its processor time. Times are too long and "
        f"their ranges wide; processor time is the better guide."
        if shared > BUSY
        else f"Work took {shared:.2f} times its processor time, where 1 is a core of one's own."
    )
    cores = f"{machine['cores']} core{'s' if machine['cores'] != 1 else ''}"
    return HEAD.format(
        command=found["command"],
        day=found["started_utc"][:10],
        cpu=machine["cpu"],
        cores=cores,
        memory_gib=machine["memory_gib"],
        system=machine["system"],
        rounds=found["rounds"],
        minutes=found["seconds"] / 60,
        calm=calm,
    )


def waited(found: Mapping[str, Any]) -> float:
    """Wall over processor time: the median over all sides whose processor time is known."""
    sides = [side for work in found["works"].values() for side in work["sides"].values() if sum(side["cpu_s"])]
    return median([sum(side["seconds"]) / sum(side["cpu_s"]) for side in sides])


def summary(pairs: Sequence[Pair]) -> str:
    """One row for each pair."""
    lines = [_row("work", "peer", "here", "peer takes", "here", "peer / here", "range", "CPU"), "|---" * 8 + "|"]
    for p in pairs:
        unit = TEXTS[p.work].unit
        ratio = f"**{times(p.ratio)}**" if p.verdict == "peer" else times(p.ratio)
        spread = f"{times(p.low)} to {times(p.high)}"
        took = f"{duration(p.theirs_s)} {unit}", duration(p.own_s)
        cpu = times(p.cpu) if p.cpu is not None else ""
        lines.append(_row(TEXTS[p.work].title, p.peer, p.ours, *took, ratio, spread, cpu))
    return "\n".join(lines)


def faster(pairs: Sequence[Pair], found: Mapping[str, Any]) -> Iterator[str]:
    """In words: what the peers do faster, what makes no difference, and what could not be measured."""
    by = {verdict: [p for p in pairs if p.verdict == verdict] for verdict in ("peer", "no difference", "ours")}
    yield "\n".join(_sentence(p) for p in by["peer"]) or "In none of the rows above."
    if by["no difference"]:
        rows = "; ".join(f"{TEXTS[p.work].title.lower()}, {p.peer} and {p.ours}" for p in by["no difference"])
        yield f"No difference beyond that of the rounds: {rows}."
    yield f"This project is faster in {len(by['ours'])} of {len(pairs)} rows."
    failed = [f"- {name} could not be installed: `{peer['error']}`" for name, peer in _refused(found)]
    for name, work in found["works"].items():
        wrong = [(label, side["error"]) for label, side in work["sides"].items() if side["error"]]
        failed += [f"- {TEXTS[name].title}, {label}: `{error}`" for label, error in wrong]
    if failed:
        yield "Not measured:\n\n" + "\n".join(failed)


def _refused(found: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(name, peer) for name, peer in found["peers"].items() if peer["error"]]


def _sentence(p: Pair) -> str:
    text = TEXTS[p.work]
    slower = f"{duration(p.theirs_s)} {text.unit} instead of {duration(p.own_s)}"
    return f"- **{text.title}**: {p.peer} takes {slower} ({p.ours}), {times(1 / p.ratio)} times as fast."


def section(name: str, work: Mapping[str, Any], pairs: Sequence[Pair]) -> Iterator[str]:
    """One work: what was done, how long each side took, what came out."""
    text = TEXTS[name]
    yield f"### {text.title}"
    yield f"{text.same}\n\n{text.differs}".strip()
    heads = ("who", f"median, {text.unit}", "fastest", "slowest", "rounds", "CPU", "peak MB", "before the work")
    lines = [_row(*heads), "|---" * len(heads) + "|"]
    for label, side in work["sides"].items():
        took, per = _per(side), side.get("per", 1)
        if took:
            clock = [duration(s) for s in (median(took), min(took), max(took))]
            cpu = duration(median(side["cpu_s"]) / per) if side["cpu_s"] else ""
            memory = [f"{max(side[of]):.0f}" if side[of] else "" for of in ("peak_mb", "start_mb")]
            lines.append(_row(label, *clock, str(len(took)), cpu, *memory))
    yield "\n".join(lines)
    yield from came_out(work)


def came_out(work: Mapping[str, Any]) -> Iterator[str]:
    """Whether the work was the same, by what came out."""
    said = []
    for pair, arrays in work["agreement"].items():
        for name, one in arrays.items():
            said.append(f"- {name} of {pair.replace(' | ', ' and ')}: {_agreed(one)}")
    for label, side in work["sides"].items():
        result = side.get("result", {})
        if "macs" in result:
            kinds = ", ".join(f"{result[k]:,.6g} {k}" for k in ("macs", "acs", "dense"))
            plain = f"{times(median(side['cpu_s']) / result['forward_s'])} times a plain pass"
            said.append(f"- {label}: {kinds} a sample; counting takes {plain}")
        if "score" in result:
            fits = f"balanced accuracy {result['score']:.3f}, {result['fits']} folds"
            said.append(f"- {label}: {fits}{_how(result)}")
        if "p50_us" in result:
            said.append(f"- {label}: median round trip {result['p50_us']:.1f} µs{_how(result)}")
    if said:
        yield "What came out:\n\n" + "\n".join(said)


def _how(result: Mapping[str, Any]) -> str:
    return f" (isolation: {result['isolation']})" if "isolation" in result else ""


def _agreed(one: Mapping[str, Any]) -> str:
    if one["difference"] is None:
        return f"**not the same shape**: {one['shapes'][0]} and {one['shapes'][1]}"
    if one["equal"] == 1:
        return f"all {_n(one['shapes'][0]):,} values equal"
    apart = f"at most {one['difference']:.1e} of the largest apart"
    return f"{apart}, {100 * one['equal']:.1f} % of {_n(one['shapes'][0]):,} values equal to the bit"


def _n(shape: Sequence[int]) -> int:
    total = 1
    for n in shape:
        total *= n
    return total


def environments(found: Mapping[str, Any]) -> str:
    """What was installed, as far as it decides a time."""
    versions: dict[str, dict[str, str]] = {}
    for work in found["works"].values():
        for side in work["sides"].values():
            versions.setdefault(side["who"], {}).update(side.get("versions", {}))
    lines = [_row("environment", "versions", "how it is installed"), "|---" * 3 + "|"]
    for who, of in versions.items():
        listed = ", ".join(f"{name} {number}" for name, number in sorted(of.items()))
        lines.append(_row(who, listed, found["peers"].get(who, {}).get("why", "")))
    return "\n".join(lines)


def times(ratio: float) -> str:
    """Two digits that count: 0.031, 1.2, 45."""
    return f"{ratio:.0f}" if ratio >= 10 else f"{ratio:.2g}"


def duration(seconds: float) -> str:
    """In the unit that suits it."""
    for size, unit in ((1, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    main()
