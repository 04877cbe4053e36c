"""The table at the end of an evaluation. Rounding happens here and nowhere below."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean, stdev

import typer
from rich.table import Table

from harness.cli.show import console
from harness.results.records import Record, SessionResult
from harness.score.metrics import metric

MOST_SESSIONS_SHOWN = 4
RIGHT = ("seeds", "p50 ms", "p99 ms", "paced p99", "missed", "parameters", "bytes", "operations /s", "fit s")


def show_records(records: Sequence[Record], *, store: Path) -> None:
    """Print one table per suite, best decoder first, and below it what failed."""
    for _, of_suite in groupby(records, key=lambda r: r.suite):
        _show_suite(list(of_suite))
    if any(r.error for r in records):
        typer.echo("failed ones are kept as they are; to run them again: --rerun failed")
    typer.echo(f"\nrecords: {store / 'records'}\nlook at them: harness board --store {store}")


def _show_suite(records: Sequence[Record]) -> None:
    sessions = [s.session for s in records[0].sessions]
    shown = sessions if 1 < len(sessions) <= MOST_SESSIONS_SHOWN else []
    table = Table(title=_title(records), title_justify="left")
    table.add_column("decoder", no_wrap=True)
    for name in (_metric(records[0]), "95 % interval", *shown, *RIGHT):
        table.add_column(name, justify="right")
    table.add_column("tracks")
    table.add_column("status")
    by_decoder: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_decoder[record.decoder.name].append(record)
    for of_decoder in sorted(by_decoder.values(), key=_rank):
        table.add_row(*_row(of_decoder, shown))
    for label, found in _bounds(records).items():
        table.add_row(
            label, _number(found.values()), "", *(_number([found[s]] if s in found else []) for s in shown), style="dim"
        )
    console().print(table)
    for line in _reasons(by_decoder):
        typer.echo(line)
    for record in (r for r in records if r.error):
        typer.echo(f"{record.decoder.name}, seed {record.seed}: {record.status}: {record.error}")


def _metric(record: Record) -> str:
    """The metric's name in words, for words can be wrapped; with the chance level where there is one."""
    return record.metric.replace("_", " ") + ("" if record.chance is None else f" (chance {record.chance:.2f})")


def _title(records: Sequence[Record]) -> str:
    r = records[0]
    parts = [f"{r.suite}, tier {r.tier}: {len(r.sessions)} recordings, {r.profile.name}, isolation: {r.isolation}"]
    if r.simulated:
        parts.append("SIMULATED: never ranked with real recordings")
    if r.label_look_ahead_s:
        parts.append(
            f"labels look {r.label_look_ahead_s * 1e3:g} ms ahead: not strictly causal, whatever the decoder is"
        )
    if noisy := next((record.profile.noisy_why for record in records if record.profile.noisy), ""):
        parts.append(f"NOISY: the machine was busy ({noisy}); do not compare these latencies")
    return "\n".join(parts)


def _rank(records: Sequence[Record]) -> float:
    values = _values(records)
    sign = -1 if metric(records[0].metric).higher_is_better else 1
    return sign * fmean(values) if values else float("inf")


def _values(records: Sequence[Record]) -> list[float]:
    return [r.scores[r.metric].value for r in records if r.metric in r.scores]


def _row(records: Sequence[Record], shown: Sequence[str]) -> list[str]:
    """One decoder: means over its seeds, the interval's ends among them."""
    r, values = records[0], _values(records)
    status = next((x.status for x in records if x.status != "ok"), "ok")
    if not values:
        return [r.decoder.name, *[""] * (3 + len(shown) + len(RIGHT)), status]
    spans = [x.scores[x.metric] for x in records if x.metric in x.scores]
    lows, highs = ([end for s in spans if (end := getattr(s, side)) is not None] for side in ("low", "high"))
    each = [_number(s.scores[r.metric] for s in _named(records, name) if r.metric in s.scores) for name in shown]
    seeds = f"{len(values)}" + (f" (sd {stdev(values):.3f})" if len(values) > 1 else "")
    cost = [f"{r.cost.parameters:,}", f"{r.cost.artifact_bytes:,}", _operations(r)]
    more = [*_timing(records), *cost, f"{fmean(x.cost.fit_s for x in records):.1f}", _tracks(records)]
    return [r.decoder.name, _number(values), _interval(lows, highs), *each, seeds, *more, status]


def _timing(records: Sequence[Record]) -> list[str]:
    """p50 and p99 of the fast passes; p99 and missed deadlines of the paced ones."""
    fast = [r.latency_ms for r in records if r.latency_ms]
    paced = [r.paced_latency_ms for r in records if r.paced_latency_ms]
    found = [fmean(getattr(t, name) for t in fast) if fast else None for name in ("p50", "p99")]
    found.append(fmean(t.p99 for t in paced) if paced else None)
    missed = f"{fmean(t.deadline_miss_rate for t in paced or fast):.2%}" if fast else ""
    return [*("" if ms is None else f"{ms:.3f}" for ms in found), missed]


def _operations(record: Record) -> str:
    """Effective products in a second; a tilde marks what the decoder declares of itself."""
    per_bin = record.cost.effective_per_bin
    if per_bin is None:
        return "not counted"
    return ("~" if record.cost.operations == "declared" else "") + f"{per_bin / record.bin_s:,.0f}"


def _tracks(records: Sequence[Record]) -> str:
    """The tracks that all seeds qualify for, in few words."""
    known = list(records[0].tracks)
    kept = [name for name in known if all(r.tracks[name].ok for r in records)]
    lost = [name for name in known if name not in kept]
    if kept and len(lost) < 2:
        return f"all but {lost[0]}" if lost else "all"
    return ", ".join(kept)


def _reasons(by_decoder: Mapping[str, Sequence[Record]]) -> Iterator[str]:
    """Why a decoder is not in a track: the decoders that share a reason on one line."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for decoder, records in by_decoder.items():
        for r in records:
            for track, verdict in r.tracks.items():
                if not verdict.ok and r.status == "ok" and decoder not in found[track, verdict.why]:
                    found[track, verdict.why].append(decoder)
        if why := next((r.cost.operations_why for r in records if r.cost.operations != "counted" and not r.error), ""):
            found["operations", why].append(decoder)
    return (f"{_not(track)}: {', '.join(names)}: {why}" for (track, why), names in sorted(found.items()) if names)


def _not(track: str) -> str:
    return "operations not counted" if track == "operations" else f"not in {track}"


def _bounds(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """What the recordings themselves allow: label -> session -> score. Ceilings are known for simulated ones only."""
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for s in (s for r in records for s in r.sessions):
        for kind, scores in (("reference", s.reference), ("floor", s.floor)):
            for name, score in scores.items():
                found[f"({kind}: {name.replace('_', ' ')})"][s.session] = score
    return found


def _named(records: Sequence[Record], session: str) -> list[SessionResult]:
    return [s for r in records for s in r.sessions if s.session == session]


def _interval(lows: Sequence[float], highs: Sequence[float]) -> str:
    return f"{_number(lows)} to {_number(highs)}" if lows and highs else ""


def _number(values: Iterable[float]) -> str:
    """Mean of the values with two decimals, without a minus on zero; empty if there are none."""
    found = list(values)
    if not found:
        return ""
    text = f"{fmean(found):.2f}"
    return text.lstrip("-") if float(text) == 0 else text
