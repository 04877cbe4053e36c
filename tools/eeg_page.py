"""Write what DLink's paper claims beside what was measured here, from the records of a store.

    PYTHONPATH=. python tools/eeg_page.py STORE docs/results/eeg.md docs/images COMMANDS.txt

Every number and verdict comes from records, published ones from datasets/published_results.csv; COMMANDS.txt holds the
commands that made the records. Running the tool again on the same store gives the same page and pictures.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from harness.judge import artifact
from harness.results.records import Record
from harness.results.store import Store
from leaderboard_app.published import published
from leaderboard_app.runs import Board
from tools.comparisons import RULE, UNTESTABLE, Comparison, Sections, Untested, chosen, claims
from tools.results_page import board_section

WITHIN, ACROSS = "eeg-motor-imagery", "eeg-motor-imagery-cross-subject"
REAL_TIER = "s001"
LIGHT = ("csp-lda", "filter-bank-csp", "riemann-mdm", "tangent-space", "eegnet", "shallow-convnet", "eeg-conformer")
DRAWN = ("tangent-space", "csp-lda", "eegnet", "shallow-convnet", "dlink", "dlink-teacher")
"""Decoders whose accuracy over time is drawn."""

HOW = """Written by `tools/eeg_page.py` from records and `datasets/published_results.csv`; the records were made by

```
{commands}
```

Two kinds of recordings, never ranked together: **S001 of PhysioNet's EEGMMIDB** (ODC-BY 1.0; Schalk et al. 2004), the
one real subject at hand, and **simulated subjects** (docs/simulation.md), on which the claims are looked at. Preset
`small`. Balanced accuracy, decided 2.0 s after the cue from the 2 s since it; **chance is 0.50** with two classes and
0.25 with four.

{rule} No correction for the number of comparisons ({n_claims}).

DLink's paper names its parts and no number: which teachers, which four data sets, sizes, loss weights, temperature and
schedule are unknown (of the paper, abstracts alone were read). All of those are **our choice** (decision 0094), so a
verdict is on that choice, on this data."""

COMPARED: Sections = {
    "the student against lightweight decoders": tuple(
        Comparison(f"a distilled student beats `{name}`", "dlink", name, "DLink, abstract") for name in LIGHT
    ),
    "the student against its teacher": (
        Comparison("the fully fine-tuned teacher beats its student", "dlink-teacher", "dlink"),
        Comparison("distillation helps: against the same student from labels alone", "dlink", "dlink-labels"),
    ),
    "each component": (
        Comparison("a router beats the last layer alone", "dlink", "dlink-last-layer", "DLink, abstract"),
        Comparison("a router beats the mean of all layers", "dlink", "dlink-uniform"),
        Comparison("a soft router beats the one best layer", "dlink", "dlink-top1"),
        Comparison("spectral distillation helps", "dlink", "dlink-no-spectral", "DLink, abstract"),
        Comparison("phase helps beside magnitude", "dlink", "dlink-magnitude"),
        Comparison("project-then-compress beats a direct small student", "dlink", "dlink-direct", "DLink, abstract"),
    ),
}
UNTESTED: Untested = {
    "the student against its teacher": (("levels on four public benchmarks", "which benchmarks, and their numbers"),)
}


def main() -> None:
    """Read the store, write page and pictures."""
    store, page, images, commands = Store(Path(sys.argv[1])), sys.argv[2], Path(sys.argv[3]), sys.argv[4]
    boards: dict[Board, list[Record]] = defaultdict(list)
    for record in store.records():
        if record.suite.partition("@")[0].partition("/")[0].startswith(WITHIN):
            boards[Board.of(record)].append(record)
    kept = {board: chosen(records) for board, records in sorted(boards.items())}
    rule = RULE.format(n_sessions="subjects'")
    head = HOW.format(commands=Path(commands).read_text().strip(), rule=rule, n_claims=sum(map(len, COMPARED.values())))
    parts = ["# EEG: what was claimed, what was measured", head]
    for board, records in kept.items():
        if not board.simulated:
            parts += real(board, records, images)
    for board, records in kept.items():
        if board.simulated and board.suite.partition("@")[0].partition("/")[0] in (WITHIN, ACROSS):
            parts += simulated(board, records, images, store)
    parts += beside()
    parts += [text for board, records in kept.items() for text in board_section(board, records)]
    Path(page).write_text("\n\n".join(parts) + "\n")


def real(board: Board, records: Sequence[Record], images: Path) -> Iterator[str]:
    """One real subject: the table at 2 s and at 3 s, and the curves."""
    lines = ["| decoder | trials | at 2 s | 95 % interval | at 3 s | chance |", "|---" * 6 + "|"]
    for name, of in sorted(_by_name(records).items(), key=lambda item: -_score(item[1])):
        at = _curve(of)
        low, high = (fmean(getattr(r.scores[r.metric], end) for r in of) for end in ("low", "high"))
        cells = [name, str(of[0].sessions[0].n_scored_bins), f"{_score(of):.3f}", f"{low:.2f} to {high:.2f}"]
        lines.append("| " + " | ".join([*cells, f"{at[3.0]:.3f}", f"{of[0].chance:.2f}"]) + " |")
    picture = images / f"{_slug(board)}-over-time.png"
    draw_over_time(records, picture)
    yield f"## {board.title}: one real subject\n\n" + "\n".join(lines)
    yield f"![Balanced accuracy over time since the cue](../images/{picture.name})"


def simulated(board: Board, records: Sequence[Record], images: Path, store: Store) -> Iterator[str]:
    """The claims on one protocol, what the students cost, and what the routers chose."""
    seeds = ", ".join(map(str, sorted({r.seed for r in records})))
    subjects = {s.session for r in records for s in r.sessions}
    yield f"## {board.title}: the claims\n\nSeeds {seeds}; {len(subjects)} simulated subjects are tested."
    for text in claims(records, COMPARED, UNTESTED, score="bal. acc."):
        yield text.replace("## ", "### ", 1)
    yield costs(records)
    if chosen_layers := router_weights(records, store):
        drawn = images / f"{_slug(board)}-routers.png"
        draw_routers(chosen_layers, drawn)
        yield routers(chosen_layers)
        yield f"![How much of each layer the routers took](../images/{drawn.name})"
    picture = images / f"{_slug(board)}-over-time.png"
    draw_over_time(records, picture)
    yield f"![Balanced accuracy over time since the cue](../images/{picture.name})"


def costs(records: Sequence[Record]) -> str:
    """Parameters, operations, training time and latency of every decoder that was scored."""
    heads = ("decoder", "seeds", "parameters", "M operations/s", "pretraining s", "fits s", "p50 ms", "p99 ms")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, of in _by_name(records).items():
        r, timed = of[0], [r.latency_ms for r in of if r.latency_ms]
        per_bin = r.cost.effective_per_bin
        rate = "not counted" if per_bin is None else f"{per_bin / r.bin_s / 1e6:.2f}"
        speed = [f"{fmean(getattr(t, q) for t in timed):.3f}" if timed else "" for q in ("p50", "p99")]
        learned = [f"{fmean(x.cost.pretrain_s for x in of):.0f}", f"{fmean(x.cost.fit_s for x in of):.0f}"]
        lines.append("| " + " | ".join([name, str(len(of)), f"{r.cost.parameters:,}", rate, *learned, *speed]) + " |")
    note = "Pretraining includes the teacher; stages ran two at a time, so seconds are good for their ratios alone."
    return f"### Cost on one core\n\n{note}\n\n" + "\n".join(lines)


def router_weights(records: Sequence[Record], store: Store) -> dict[str, np.ndarray]:
    """Decoder -> (n_seeds, n_layers) mean weight of each of the teacher's layers, first to last."""
    found = {}
    for name, of in _by_name(records).items():
        weights = [w for record in of if (w := _router(store, record)) is not None and w.size]
        if weights:
            found[name] = np.stack(weights)
    n_layers = max((w.shape[1] for w in found.values()), default=0)
    # Where the last layer alone is imitated, no other was asked for.
    return {name: np.pad(w, ((0, 0), (n_layers - w.shape[1], 0))) for name, w in found.items()}


def routers(weights: Mapping[str, np.ndarray]) -> str:
    """The weights as a table: means over seeds, and beside each of several seeds its own."""
    n_layers = next(iter(weights.values())).shape[1]
    head = "| decoder | " + " | ".join(f"layer {i}" for i in range(1, n_layers + 1)) + " |"
    lines = [
        f"| {name} | " + " | ".join(f"{np.mean(w):.2f} ({', '.join(f'{x:.2f}' for x in w)})" for w in of.T) + " |"
        for name, of in weights.items()
    ]
    return (
        "### What the routers chose\n\nMean weight of each layer of the teacher over the windows learned from, "
        "in brackets of each seed.\n\n" + "\n".join([head, "|---" * (n_layers + 1) + "|", *lines])
    )


def draw_routers(weights: Mapping[str, np.ndarray], path: Path) -> None:
    """A bar for each decoder, divided among the layers; means over seeds."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 0.5 + 0.32 * len(weights)), dpi=120)
    names = list(weights)[::-1]
    left = np.zeros(len(names))
    greys = np.linspace(0.85, 0.25, next(iter(weights.values())).shape[1])
    for i, (grey, hatch) in enumerate(zip(greys, ("", "//", "..", "xx", "--", "\\\\", "oo", "++"), strict=False), 1):
        share = np.array([weights[name].mean(axis=0)[i - 1] for name in names])
        axes.barh(names, share, left=left, color=str(grey), hatch=hatch, edgecolor="white", label=f"layer {i}")
        left += share
    axes.set(xlim=(0, 1), xlabel="mean weight")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def _router(store: Store, record: Record) -> np.ndarray | None:
    path = store.artifact(record)
    if not path.is_file():
        return None
    arrays = artifact.unpack(path.read_bytes())
    found = [values for key, values in arrays.items() if key.rpartition("/")[2] == "router_"]
    return np.mean(found, axis=0) if found else None


def draw_over_time(records: Sequence[Record], path: Path) -> None:
    """Balanced accuracy at every 0.1 s since the cue, mean over recordings and seeds."""
    mpl.use("Agg")
    figure, axes = plt.subplots(figsize=(7, 4), dpi=120)
    by_name = _by_name(records)
    styles = zip(("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1))), ("o", "s", "^", "D", "v", "P"), strict=True)
    for name, (line, mark) in zip(DRAWN, styles, strict=True):
        if name in by_name:
            at = _curve(by_name[name])
            axes.plot(list(at), list(at.values()), linestyle=line, marker=mark, markevery=5, markersize=4, label=name)
    chance = next((r.chance for r in records if r.chance is not None), 0.5)
    axes.axhline(chance, color="0.5", linewidth=1)
    axes.annotate("chance", (4.0, chance), xytext=(0, 3), textcoords="offset points", ha="right", color="0.35")
    axes.axvline(2.0, color="0.5", linewidth=1, linestyle=":")
    axes.annotate("decision", (2.0, axes.get_ylim()[1]), xytext=(3, -10), textcoords="offset points", color="0.35")
    axes.set(xlabel="time since the cue, s", ylabel="balanced accuracy")
    axes.legend(frameon=False, fontsize=8, ncols=2)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def beside() -> Iterator[str]:
    """The published numbers, never in a ranking."""
    table = published(ACROSS)
    lines = ["| method | metric | value | parameters | source | read in the primary text |", "|---" * 6 + "|"]
    for _, row in table.iterrows():
        parameters = "" if pd.isna(row["params"]) else row["params"]
        cells = [row["method"], row["metric"], f"{row['value']:.3f}", parameters, row["source_id"], row["verified"]]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    note = "PhysioNet-MI, four classes, subjects 1-70 / 71-89 / 90-109, filters that look ahead; chance is 0.25."
    yield f"## Published numbers, not comparable row by row\n\n{note}\n\n" + "\n".join(lines)
    yield f"The same task here, on the recordings themselves: **{UNTESTABLE}** (PhysioNet cannot be reached)."


def _by_name(records: Sequence[Record]) -> dict[str, list[Record]]:
    found: dict[str, list[Record]] = defaultdict(list)
    for record in (r for r in records if r.status == "ok"):
        found[record.decoder.name].append(record)
    return found


def _score(of: Sequence[Record]) -> float:
    return fmean(r.scores[r.metric].value for r in of)


def _curve(of: Sequence[Record]) -> Mapping[float, float]:
    """Seconds since the cue -> balanced accuracy, mean over recordings and seeds."""
    found: dict[float, list[float]] = defaultdict(list)
    for trials in (s.trials for r in of for s in r.sessions if s.trials):
        for offset_s, value in zip(trials.offset_s, trials.balanced_accuracy, strict=True):
            found[round(offset_s, 3)].append(value)
    return {offset_s: fmean(values) for offset_s, values in sorted(found.items())}


def _slug(board: Board) -> str:
    return f"{board.suite.replace('/', '-').replace('@', '-')}-{board.tier}"


if __name__ == "__main__":
    main()
