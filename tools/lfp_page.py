"""Write what the two LFP papers claim beside what was measured here, from the records of a store.

    PYTHONPATH=. python tools/lfp_page.py STORE docs/results/lfp.md COMMANDS.txt

Published numbers come from datasets/published_results.csv, measured ones and every verdict from records; COMMANDS.txt
holds the commands that made the records. Running the tool again on the same store gives the same page.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal

import numpy as np
from scipy.stats import t as student_t

from harness.results.records import Record
from harness.results.store import Store
from leaderboard_app.published import published
from leaderboard_app.runs import Board
from tools.results_page import board_section

SUITE = "primate-lfp"
Verdict = Literal["holds", "does not hold here", "undecided here", "cannot be tested here"]

HOW = """Written by `tools/lfp_page.py` from records and `datasets/published_results.csv`; the records were made by

```
{commands}
```

**Recordings are simulated** (docs/simulation.md): the public broadband files could not be reached from the machine
that ran this. Preset `small`: a few percent of the published parameters, minutes of training. So the *levels* here and
there are two different things, and a verdict says whether the *order* is found here, under causal filters, a contiguous
split and equal data. A verdict is by rule: the differences of two decoders on each recording, averaged over seeds, with
a 95 % t-interval over recordings; *holds* and *does not hold here* if it excludes zero on one side or the other, else
*undecided here*. Each record is of one seed; {seeds}."""


@dataclass(frozen=True)
class Comparison:
    """One claim as a comparison: `better` beats `worse` by more than zero R2."""

    paper: str
    claim: str
    better: str
    worse: str


REALM, CMD = "REALM", "cross-modal"
COMPARISONS = (
    *(
        Comparison(REALM, "the causal student beats causal LFP decoders", "realm", worse)
        for worse in ("lfp-ridge", "lfp-wiener", "lfp-kalman", "lfp-lstm", "lfp-lstm-raw", "crossmodal-causal")
    ),
    *(
        Comparison(REALM, "the causal student beats LFP decoders that look ahead", "realm", worse)
        for worse in ("lfp-transformer", "ms-lfp", "crossmodal", "crossmodal-supervised")
    ),
    Comparison(REALM, "pretraining and a teacher help: against the labels alone", "realm", "realm-scratch"),
    Comparison(REALM, "a teacher helps: against reconstruction alone", "realm-label-free", "realm-autoencoder"),
    Comparison(REALM, "pretraining helps at all: against the network as drawn", "realm-label-free", "realm-untrained"),
    Comparison(REALM, "fine-tuned beats label-free", "realm", "realm-label-free"),
    Comparison(REALM, "looking ahead helps a little, label-free", "realm-bi", "realm-label-free"),
    Comparison(REALM, "the teacher itself is better than its causal student", "realm-teacher", "realm-label-free"),
    Comparison(CMD, "distilled beats not distilled, without labels", "crossmodal", "ms-lfp"),
    Comparison(CMD, "distilled beats not distilled, with labels", "crossmodal-supervised", "lfp-transformer"),
    Comparison(CMD, "a student applied unchanged to unseen sessions beats ms-lfp", "crossmodal-transfer", "ms-lfp"),
    Comparison(CMD, "distilled on the session beats applied unchanged", "crossmodal", "crossmodal-transfer"),
    Comparison(CMD, "the spike teacher is better than its LFP student", "spike-transformer", "crossmodal"),
)
UNTESTED = (
    (REALM, "levels on Makin and Flint (0.561 label-free, 0.686 fine-tuned)", "the recordings cannot be reached"),
    (REALM, "real time on a Raspberry Pi 5 and a Jetson Orin Nano", "neither is at hand; p99 on cpu-1 is in the table"),
    (CMD, "levels on 27 unseen sessions (0.538 and 0.593 against 0.341 and 0.346)", "the recordings cannot be reached"),
)


def main() -> None:
    """Read the store, write the page."""
    store, page, commands = sys.argv[1:4]
    boards: dict[Board, list[Record]] = defaultdict(list)
    for record in Store(Path(store)).records():
        if record.suite.partition("@")[0].partition("/")[0] == SUITE:
            boards[Board.of(record)].append(record)
    records = [r for found in boards.values() for r in found if r.status == "ok"]
    seeds = ", ".join(map(str, sorted({r.seed for r in records})))
    how = HOW.format(commands=Path(commands).read_text().strip(), seeds=f"seeds {seeds}")
    parts = ["# LFP: what was claimed, what was measured", how, *claims(records), *costs(records), *beside()]
    parts += [text for board in sorted(boards) for text in board_section(board, boards[board])]
    Path(page).write_text("\n\n".join(parts) + "\n")


def scores(records: Sequence[Record]) -> dict[str, dict[str, float]]:
    """Decoder -> recording -> R2, mean over seeds."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        for session in record.sessions:
            found[record.decoder.name][session.session].append(session.scores[record.metric])
    return {name: {s: fmean(values) for s, values in each.items()} for name, each in found.items()}


def difference(better: Mapping[str, float], worse: Mapping[str, float]) -> tuple[float, float, float]:
    """Mean difference over the recordings that both have, and its 95 % t-interval."""
    paired = [better[s] - worse[s] for s in sorted(better) if s in worse]
    mean = fmean(paired)
    if len(paired) < 2:
        return mean, -np.inf, np.inf
    half = float(student_t.ppf(0.975, len(paired) - 1)) * stdev(paired) / len(paired) ** 0.5
    return mean, mean - half, mean + half


def verdict(low: float, high: float) -> Verdict:
    """What an interval says of a claim that the difference is above zero."""
    if low > 0:
        return "holds"
    return "does not hold here" if high < 0 else "undecided here"


def claims(records: Sequence[Record]) -> Iterator[str]:
    """One table for each paper."""
    known = scores(records)
    for paper in (REALM, CMD):
        lines = ["| claim | compared | R2 | R2 | difference | 95 % interval | verdict |", "|---" * 7 + "|"]
        for c in (c for c in COMPARISONS if c.paper == paper):
            if c.better not in known or c.worse not in known:
                lines.append(f"| {c.claim} | {c.better} / {c.worse} | | | | | not run |")
                continue
            a, b = known[c.better], known[c.worse]
            mean, low, high = difference(a, b)
            cells = [c.claim, f"{c.better} / {c.worse}", f"{fmean(a.values()):.3f}", f"{fmean(b.values()):.3f}"]
            cells += [f"{mean:+.3f}", f"{low:+.3f} to {high:+.3f}", f"**{verdict(low, high)}**"]
            lines.append("| " + " | ".join(cells) + " |")
        lines += [
            f"| {claim} | {why} | | | | | **cannot be tested here** |" for p, claim, why in UNTESTED if p == paper
        ]
        yield f"## Claims of the {paper} paper\n\n" + "\n".join(lines)


def costs(records: Sequence[Record]) -> Iterator[str]:
    """Parameters, training time and speed of the students: REALM claims half and a tenth of the cross-modal one's."""
    by_name: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_name[record.decoder.name].append(record)
    students = ("realm", "realm-label-free", "crossmodal", "crossmodal-supervised", "crossmodal-causal")
    names = [n for n in students if n in by_name]
    lines = [
        "| student | parameters | pretraining s, teacher included | fits s | in all s | p50 ms | p99 ms |",
        "|---" * 7 + "|",
    ]
    total = {}
    for name in names:
        of = by_name[name]
        pretrain, fit = fmean(r.cost.pretrain_s for r in of), fmean(r.cost.fit_s for r in of)
        total[name] = pretrain + fit
        timed = [r.latency_ms for r in of if r.latency_ms]
        speed = [f"{fmean(t.p50 for t in timed):.3f}", f"{fmean(t.p99 for t in timed):.3f}"] if timed else ["", ""]
        cells = [name, f"{of[0].cost.parameters:,}", f"{pretrain:.0f}", f"{fit:.0f}", f"{total[name]:.0f}", *speed]
        lines.append("| " + " | ".join(cells) + " |")
    yield "## What they cost\n\n" + "\n".join(lines)
    if {"realm", "crossmodal"} <= set(names):
        ours, theirs = (by_name[n][0].cost.parameters for n in ("realm", "crossmodal"))
        yield (
            f"Published: half the parameters and a tenth of the training time of the cross-modal student. Here, preset "
            f"`small`: {ours / theirs:.2f} of its parameters, {total['realm'] / total['crossmodal']:.2f} of its "
            f"training time. The widths of `small` are ours, so the first is no test; at the published sizes it is "
            f"4,857,879 live parameters against about 10.57 million (tests/test_realm.py, tests/test_crossmodal.py)."
        )


def beside() -> Iterator[str]:
    """The published numbers, never in a ranking."""
    table = published(SUITE)
    lines = ["| method | data | protocol | R2 | causal | parameters | source |", "|---" * 7 + "|"]
    for _, row in table.iterrows():
        cells = [row["method"], row["dataset"], row["session_or_split"], f"{row['value']:.3f}", row["causal"]]
        cells += ["" if isinstance(row["params"], float) else row["params"], row["source_id"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    yield "## Published numbers, not comparable row by row\n\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
