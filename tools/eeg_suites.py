"""Write the three suites of motor imagery, one for each protocol: `python tools/eeg_suites.py`.

Decision 0091 says why there are three. 109 subjects by three tasks are too many rows to write by hand three times.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.data.suites import load_suite

SUITES = Path(__file__).parent.parent / "datasets" / "suites"
RUNS = {"left-or-right-fist": (4, 8, 12), "fists-or-feet": (6, 10, 14), "four-classes": (4, 6, 8, 10, 12, 14)}
SUFFIX = {"left-or-right-fist": "", "fists-or-feet": "-feet", "four-classes": "-four"}
MAIN = "left-or-right-fist"
SIMULATED = {MAIN: ("simulated",), "fists-or-feet": ("simulated-feet",), "four-classes": ("simulated-four",)}
SIMULATED_SUBJECTS = {MAIN: (12, 4), "fists-or-feet": (12, 8), "four-classes": (2, 2)}
"""To learn from before, and scored. All decoders on the main task shall be done in under 40 minutes on two cores."""
BASELINES = (
    "train-mean",
    "csp-lda",
    "filter-bank-csp",
    "riemann-mdm",
    "tangent-space",
    "eegnet",
    "shallow-convnet",
    "eeg-conformer",
)
DLINK = (
    "dlink",
    "dlink-last-layer",
    "dlink-uniform",
    "dlink-top1",
    "dlink-no-spectral",
    "dlink-magnitude",
    "dlink-direct",
    "dlink-labels",
    "dlink-teacher",
)
TASK = """\
task: &task
  inputs: [eeg, cue]
  target: left-or-right-fist
  kind: classification
  bin_s: 0.1
  signals: &signals
    eeg: {signal: eeg, samples_per_bin: 16}  # as recorded: what is filtered is the decoder's business
further_tasks:
  fists-or-feet: {inputs: [eeg, cue], target: fists-or-feet, kind: classification, bin_s: 0.1, signals: *signals}
  four-classes: {inputs: [eeg, cue], target: four-classes, kind: classification, bin_s: 0.1, signals: *signals}
metrics: [balanced_accuracy, cohen_kappa, f1_weighted]
"""
LAYOUT = """\
layouts:
  eeg:
    signals:
      eeg: {path: acquisition/eeg}
    trials: intervals/trials
    targets:
      left-or-right-fist: {column: class, classes: {left: [left_fist], right: [right_fist]}, decision_s: 2.0}
      fists-or-feet: {column: class, classes: {fists: [both_fists], feet: [both_feet]}, decision_s: 2.0}
      four-classes:
        column: class
        classes: {left: [left_fist], right: [right_fist], fists: [both_fists], feet: [both_feet]}
        decision_s: 2.0
"""
SPLITS = """\
splits:
  each-run: {kind: runs, runs: 3, test: each}
  each-pair: {kind: runs, runs: 6, test: each, test_runs: 2}  # a run holds two of the classes, a pair all four
  last-run: {kind: runs, runs: 3, test: last}
  last-two: {kind: runs, runs: 3, test: last, test_runs: 2}
  last-four-of-six: {kind: runs, runs: 6, test: last, test_runs: 4}
  train: {kind: whole, part: train}
  validation: {kind: whole, part: validation}
"""


@dataclass(frozen=True)
class Row:
    """One session: what it is called, and the fields that differ from suite to suite."""

    name: str
    subject: str
    group: str
    task: str
    split: str
    tiers: tuple[str, ...]
    role: str
    source: str

    def text(self) -> str:
        tasks = "" if self.task == MAIN else f" tasks: [{self.task}],"
        role = "" if self.role == "scored" else f" role: {self.role},"
        return (
            f"  - {{id: {self.name}, subject: {self.subject}, group: {self.group}, layout: eeg, split: {self.split}, "
            f"tiers: [{', '.join(self.tiers)}],{tasks}{role}\n     source: {self.source}}}\n"
        )


def real(subject: int, task: str, *, split: str, tiers: tuple[str, ...], role: str = "scored") -> Row:
    name = f"S{subject:03d}"
    source = f"{{host: physionet, dataset: eegmmidb, version: 1.0.0, subject: {name}, runs: {list(RUNS[task])}}}"
    return Row(name + SUFFIX[task], name, "eegmmidb", task, split, tiers, role, source)


def simulated(seed: int, task: str, *, split: str, tiers: tuple[str, ...], role: str = "scored") -> Row:
    name = f"simulated-{seed}"
    parameters = f"{{subject_seed: {seed}, runs: {list(RUNS[task])}}}"
    source = f"{{host: simulated, generator: motor-imagery, parameters: {parameters}}}"
    return Row(name + SUFFIX[task], name, "simulated", task, split, tiers, role, source)


def within_subject() -> Iterator[Row]:
    """Simulated subjects, the last run tested, and others to learn from before; of 109 real ones each run once."""
    for task in RUNS:
        six = task == "four-classes"
        n_sources, n_scored = SIMULATED_SUBJECTS[task]
        for seed in range(101, 101 + n_sources):
            yield simulated(seed, task, split="train", tiers=SIMULATED[task], role="source")
        for seed in range(1, 1 + n_scored):
            yield simulated(seed, task, split="last-four-of-six" if six else "last-run", tiers=SIMULATED[task])
    for task in RUNS:
        split = "each-pair" if task == "four-classes" else "each-run"
        for subject in range(1, 110):
            one = ("s001",) if subject == 1 else ()
            first = ("mini",) if subject <= 8 and task == MAIN else ()
            yield real(subject, task, split=split, tiers=(*one, *first, *(("core",) if task == MAIN else ()), "full"))


def across_subjects(tasks: Sequence[str] = tuple(RUNS)) -> Iterator[Row]:
    """Train, validation and test are subjects: 16, 4 and 8 simulated ones; 1-70, 71-89 and 90-109 real ones."""
    for task in (MAIN, "fists-or-feet"):
        for seed in range(201, 221):
            part = "train" if seed < 217 else "validation"
            yield simulated(seed, task, split=part, tiers=SIMULATED[task], role="source")
        for seed in range(1, 9):
            yield simulated(seed, task, split="last-two", tiers=SIMULATED[task], role="new")
    for task in tasks:
        split = "last-four-of-six" if task == "four-classes" else "last-two"
        tiers = ("core", "full") if task == MAIN else ("full",)
        for subject in range(1, 110):
            role = "new" if subject >= 90 else "source"
            part = split if role == "new" else "train" if subject <= 70 else "validation"
            yield real(subject, task, split=part, tiers=tiers, role=role)


def suite(name: str, title: str, about: str, rows: list[Row], *, more: str, decoders: tuple[str, ...]) -> None:
    """Write one suite and read it again."""
    used = {row.split for row in rows}
    splits = [line for line in SPLITS.splitlines() if line.startswith("splits") or line.strip().split(":")[0] in used]
    sources = [row.name for row in rows if row.role == "source" and row.split == "train"]
    text = (
        f"# {about}\n# Written by tools/eeg_suites.py; decisions 0090 and 0091.\n"
        f"name: {name}\nversion: 1\ntitle: {title}\n{TASK}{more}pretraining_labels: true\npretraining:\n"
        + "".join(f"  - {one}\n" for one in sources)
        + "decoders:\n"
        + "".join(f"  - {one}\n" for one in decoders)
        + f"\n{LAYOUT}\n"
        + "\n".join(splits)
        + "\n\nsessions:\n"
        + "".join(row.text() for row in rows)
    )
    path = SUITES / f"{name}.yaml"
    path.write_text(text)
    load_suite(str(path))


def main() -> None:
    """Write them all."""
    everyone = BASELINES + DLINK
    suite(
        "eeg-motor-imagery",
        "EEG to imagined left or right fist within a subject, decided 2 s after the cue",
        "Motor imagery within a subject. Thirty trials are the subject's own; twelve others lend theirs (pretraining).",
        list(within_subject()),
        more="",
        decoders=everyone,
    )
    suite(
        "eeg-motor-imagery-cross-subject",
        "EEG to imagined left or right fist of a new subject, decided 2 s after the cue",
        "Motor imagery of subjects of whom nothing was learned; the last two runs of each are tested.",
        list(across_subjects()),
        more="fit: joint\n",
        decoders=everyone,
    )
    suite(
        "eeg-motor-imagery-new-subject",
        "EEG to imagined left or right fist of a new subject, one labelled minute, decided 2 s after the cue",
        "As eeg-motor-imagery-cross-subject, with one labelled minute of the new subject's first run to adapt to.",
        list(across_subjects([MAIN, "fists-or-feet"])),  # a minute is of one run, which holds two of four classes
        more="fit: joint\ncalibration_s: 60\n",
        decoders=everyone,
    )


if __name__ == "__main__":
    main()
