"""Write what the two LFP papers claim beside what was measured here, from the records of a store.

    PYTHONPATH=. python tools/lfp_page.py STORE docs/results/lfp.md COMMANDS.txt

Published numbers come from datasets/published_results.csv, measured ones and every verdict from records; COMMANDS.txt
holds the commands that made the records. Running the tool again on the same store gives the same page.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from baselines.crossmodal.encoder import Encoder as CrossmodalEncoder
from baselines.crossmodal.shape import preset_named
from baselines.realm.encoder import Encoder as RealmEncoder
from baselines.realm.shape import preset_of
from harness.results.records import Record
from harness.results.store import Store
from leaderboard_app.published import published
from leaderboard_app.runs import Board
from tools.comparisons import HOLDS, RULE, UNTESTABLE, Comparison, Sections, Untested, chosen, claims
from tools.results_page import board_section

SUITE, PRESET = "primate-lfp", "small"

HOW = """Written by `tools/lfp_page.py` from records and `datasets/published_results.csv`; the records were made by

```
{commands}
```

**Recordings are simulated** (docs/simulation.md), for nobody knows yet where the public broadband files are and what
their digests are (docs/data.md). Preset `small`: a few percent of the published parameters, minutes of training. So the
*levels* here and there are two different things, and a verdict says whether the *order* is found here, under causal
filters and a contiguous split. Seeds {seeds}; in brackets how many of them each decoder has.

{rule} That is little to go by: {n_sessions} recordings of {n_subjects} simulated subjects, {n_claims}
comparisons, no correction for their number. What a network sees differs, as it does in the papers: those with
pretraining have {n_pretraining} more sessions without labels, the cross-modal students spikes while they learn.
Settings of the networks at `small` were chosen on validation and on the end of the training part of two of these
recordings (decisions 0083 and 0084), those of the classical decoders on sessions that are not scored (0085)."""


SECTIONS: Sections = {
    "REALM": (
        Comparison("fine-tuned beats label-free", "realm", "realm-label-free", "published 0.686 against 0.561"),
        Comparison("looking ahead helps, label-free", "realm-bi", "realm-label-free", "published 0.588 against 0.561"),
        *(
            Comparison("the causal student beats causal decoders that learn from labels", "realm", worse)
            for worse in ("lfp-ridge", "lfp-wiener", "lfp-kalman", "lfp-lstm", "lfp-lstm-raw", "crossmodal-causal")
        ),
        *(
            Comparison("the causal student beats decoders that look ahead and learn from labels", "realm", worse)
            for worse in ("lfp-transformer", "crossmodal-supervised")
        ),
        *(
            Comparison("label-free, it beats other linear read-outs", "realm-label-free", worse)
            for worse in ("lfp-ridge", "ms-lfp", "crossmodal", "crossmodal-transfer")
        ),
        Comparison("pretraining and a teacher help: against labels alone", "realm", "realm-scratch"),
        Comparison("a teacher helps: against reconstruction alone", "realm-label-free", "realm-autoencoder"),
        Comparison("pretraining helps at all: against the network as drawn", "realm-label-free", "realm-untrained"),
        Comparison("the teacher is better than its causal student", "realm-teacher", "realm-label-free"),
    ),
    "cross-modal distillation": (
        Comparison("distilled beats not distilled, without labels", "crossmodal", "ms-lfp", "arXiv 2512.12461"),
        Comparison(
            "distilled beats not distilled, with labels", "crossmodal-supervised", "lfp-transformer", "arXiv 2512.12461"
        ),
        Comparison(
            "applied unchanged to unseen sessions it beats ms-lfp (here distilled on eight sessions, there on one)",
            "crossmodal-transfer",
            "ms-lfp",
            "published 0.538, 0.593 against 0.341, 0.346",
        ),
        Comparison("distilled on the session beats applied unchanged", "crossmodal", "crossmodal-transfer"),
    ),
    "spikes against field potentials": (
        Comparison("the spike teacher is better than its student", "spike-transformer", "crossmodal"),
        Comparison("long short-term memory on spikes and on LFP features", "lstm", "lfp-lstm"),
        Comparison("ridge on half a second of spikes and on LFP features", "wiener", "lfp-wiener"),
    ),
}
UNTESTED: Untested = {
    "REALM": (
        ("levels on Makin and Flint: 0.561 label-free, 0.686 fine-tuned", "the recordings"),
        ("full rate on a Raspberry Pi 5 and a Jetson Orin Nano", "the boards; `cpu-1` at the published size is below"),
    ),
    "cross-modal distillation": (
        ("levels on 27 unseen sessions: 0.538, 0.593 against 0.341, 0.346", "the recordings"),
    ),
}


def main() -> None:
    """Read the store, write the page."""
    store, page, commands = sys.argv[1:4]
    everything = [r for r in Store(Path(store)).records() if r.suite.partition("@")[0].partition("/")[0] == SUITE]
    records = chosen([r for r in everything if r.decoder.parameters.get("preset", PRESET) == PRESET])
    parts = ["# LFP: what was claimed, what was measured", explained(records, Path(commands).read_text().strip())]
    parts += [
        *claims(records, SECTIONS, UNTESTED, score="R2"),
        *costs(records),
        *at_published_size(everything),
        *beside(),
    ]
    boards: dict[Board, list[Record]] = defaultdict(list)
    for record in records:
        boards[Board.of(record)].append(record)
    parts += [text for board in sorted(boards) for text in board_section(board, boards[board])]
    Path(page).write_text("\n\n".join(parts) + "\n")


def explained(records: Sequence[Record], commands: str) -> str:
    """What was run on what, and what a verdict is worth."""
    sessions = sorted({s.session for r in records for s in r.sessions})
    pretraining = {
        name for r in records for stage in r.learning if stage.stage == "pretrain" for name in stage.sessions
    }
    return HOW.format(
        commands=commands,
        rule=RULE.format(n_sessions=len(sessions)),
        seeds=", ".join(map(str, sorted({r.seed for r in records}))),
        n_sessions=len(sessions),
        n_subjects=len({name.rpartition("-")[0] for name in sessions}),
        n_claims=sum(map(len, SECTIONS.values())),
        n_pretraining=len(pretraining),
    )


def costs(records: Sequence[Record]) -> Iterator[str]:
    """Parameters, training time and speed of the students."""
    by_name: dict[str, list[Record]] = defaultdict(list)
    for record in (r for r in records if r.status == "ok"):
        by_name[record.decoder.name].append(record)
    students = ("realm", "realm-label-free", "crossmodal", "crossmodal-supervised", "crossmodal-causal")
    names = [n for n in students if n in by_name]
    lines = [
        "| student | seeds | parameters | pretraining s | fits s | p50 ms | p99 ms | filters ms |",
        "|---" * 8 + "|",
    ]
    for name in names:
        of = by_name[name]
        timed = [r.latency_ms for r in of if r.latency_ms]
        speed = [f"{fmean(t.p50 for t in timed):.3f}", f"{fmean(t.p99 for t in timed):.3f}"] if timed else ["", ""]
        waits = [f"{of[0].delays_ms['filter']:.1f}" if of[0].delays_ms else ""]
        cells = [name, str(len(of)), f"{of[0].cost.parameters:,}", f"{_pretrain_s(of):.0f}", f"{_fit_s(of):.0f}"]
        lines.append("| " + " | ".join([*cells, *speed, *waits]) + " |")
    yield (
        "## What they cost\n\nPretraining includes the teacher; fits are of all scored recordings. Stages ran two at a "
        "time, so the seconds are good for their ratios alone.\n\n" + "\n".join(lines)
    )
    if {"realm", "crossmodal"} <= set(names):
        yield _halved(by_name["realm"], by_name["crossmodal"])


def _pretrain_s(of: Sequence[Record]) -> float:
    return fmean(r.cost.pretrain_s for r in of)


def _fit_s(of: Sequence[Record]) -> float:
    return fmean(r.cost.fit_s for r in of)


def _halved(ours: Sequence[Record], theirs: Sequence[Record]) -> str:
    """The claim of half the parameters in a tenth of the time."""
    student = _n_weights(RealmEncoder(preset_of("paper").student))
    other = _n_weights(CrossmodalEncoder(preset_named("paper").shape, "lfp", {"a session": 3}))
    ratio = (_pretrain_s(ours) + _fit_s(ours)) / (_pretrain_s(theirs) + _fit_s(theirs))
    return (
        f"Published: half the parameters of the cross-modal student and a tenth of its training time. Parameters at "
        f"the published sizes: {student:,} of {other:,} ({student / other:.2f}): **{HOLDS}**. Training time at "
        f"`small`, where we chose the lengths of both: {ratio:.2f} of the other's. At the published size and length it "
        f"takes GPUs: **{UNTESTABLE}**."
    )


def _n_weights(network: Any) -> int:
    return sum(weight.numel() for weight in network.parameters())


def at_published_size(records: Sequence[Record]) -> Iterator[str]:
    """Whether the causal student streams in time at its published size; weights do not matter for that."""
    found = [r for r in records if r.decoder.parameters.get("preset") == "paper" and r.latency_ms and r.status == "ok"]
    if not found:
        return
    heads = ("decoder", "parameters", "p50 ms", "p99 ms", "paced p99 ms", "reading the weights once, ms", "rules kept")
    lines = ["| " + " | ".join([*heads, "machine"]) + " |", "|---" * (len(heads) + 1) + "|"]
    for r in sorted(found, key=lambda r: r.started_utc):
        paced = f"{r.paced_latency_ms.p99:.2f}" if r.paced_latency_ms else ""
        floor = f"{r.cost.memory_floor_ms:.2f}" if r.cost.memory_floor_ms else ""
        kept = f"{sum(rule.ok for rule in r.audit.values())} of {len(r.audit)}"
        cells = [r.decoder.name, f"{r.cost.parameters:,}", f"{r.latency_ms.p50:.2f}", f"{r.latency_ms.p99:.2f}"]
        lines.append("| " + " | ".join([*cells, paced, floor, kept, r.profile.noisy_why or "calm"]) + " |")
    yield (
        "## Streaming at the published size\n\nOn `cpu-1`, through the judge, 10 ms bins of 96 channels. The weights "
        "are drawn and not trained; the work is the same. Every run that was made is shown, the last one last.\n\n"
        + "\n".join(lines)
    )


def beside() -> Iterator[str]:
    """The published numbers, never in a ranking."""
    table = published(SUITE)
    lines = ["| method | data | protocol | R2 | causal | parameters | source | read in the primary text |"]
    lines.append("|---" * 8 + "|")
    for _, row in table.iterrows():
        cells = [row["method"], row["dataset"], row["session_or_split"], f"{row['value']:.3f}", row["causal"]]
        cells += ["" if pd.isna(row["params"]) else row["params"], row["source_id"], row["verified"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    yield "## Published numbers, not comparable row by row\n\n" + "\n".join(lines)


if __name__ == "__main__":
    main()
