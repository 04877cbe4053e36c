"""This project at CSP and LDA on the made-up subjects: as an evaluation, and without judge and worker."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import Decoder
from harness.data.prepare import prepare
from harness.data.suites import Session, Suite
from harness.evaluate import evaluate
from harness.judge.profiles import load_profile
from harness.plan import Plan
from harness.registry import construct, find
from harness.results.records import Record
from harness.results.store import Store
from harness.score.classification import balanced_accuracy
from tests.tiny import Quiet
from tools.peers.timing import Done, Rounds, serve, timed

MOABBS = Path(__file__).with_name("decoders") / "moabbs_csp_lda.py"
SUBJECTS, RUNS = ("S1",), 3
TASK = {
    "inputs": ("eeg",),
    "target": "side",
    "kind": "classification",
    "bin_s": 0.1,
    "signals": {"eeg": {"signal": "eeg", "samples_per_bin": 16}},
}
LAYOUT = {
    "signals": {"eeg": {"path": "acquisition/eeg"}},
    "trials": "intervals/trials",
    "targets": {"side": {"column": "class", "classes": {"left": ("left_fist",), "right": ("right_fist",)}}},
}


def suite(inputs: Path) -> Suite:
    """Each run of each subject tested once by a decoder that was fitted on its other two."""
    of_session = {"group": "g", "layout": "eeg", "split": "each", "tiers": ("local",)}
    sources = {name: {"host": "file", "path": str(inputs / f"{name}.nwb")} for name in SUBJECTS}
    return Suite.model_validate(
        {
            "name": "peers-eeg",
            "version": 1,
            "title": "Made-up motor imagery",
            "task": TASK,
            "metrics": ("balanced_accuracy",),
            "decoders": (),
            "layouts": {"eeg": LAYOUT},
            "splits": {"each": {"kind": "runs", "runs": RUNS}},
            "sessions": [{"id": n, "subject": n, "source": source, **of_session} for n, source in sources.items()],
        }
    )


def judged(inputs: Path) -> Done:
    """`harness eval` of csp-lda into an empty store: sandbox, audit, count, latency at the pace of the bins."""
    files = {name: inputs / f"{name}.nwb" for name in SUBJECTS}

    def run() -> Any:
        with tempfile.TemporaryDirectory() as folder:
            plan = Plan(suite(inputs), "local", files, [find("csp-lda")], load_profile("cpu-1"), Store(Path(folder)))
            return evaluate(plan, Quiet())[0]

    rounds = timed(run, rounds=1, warm=0)
    record: Record = rounds.found
    said = _said([s.scores["balanced_accuracy"] for s in record.sessions])
    # Workers are ended by the sandbox, and what processor time they took is not told.
    return Done(
        Rounds(rounds.seconds, ()), said["fits"], said | {"status": record.status, "isolation": record.isolation}
    )


def here(inputs: Path) -> Done:
    """Load, fit and step through every bin in this process, score: nothing is isolated, audited or paced."""
    return _unjudged(inputs, "csp-lda", rounds=2)


def same_pipeline(inputs: Path) -> Done:
    """The same with MOABB's own pipeline through `from_sklearn`."""
    return _unjudged(inputs, f"{MOABBS}:MoabbsCspLda", rounds=1)


def _unjudged(inputs: Path, name: str, *, rounds: int) -> Done:
    def run() -> Any:
        made = suite(inputs)
        return [float(np.mean([_fold(made, s, inputs, (name, i)) for i in range(RUNS)])) for s in made.sessions]

    measured = timed(run, rounds=rounds)
    said = _said(measured.found)
    return Done(measured, said["fits"], said)


def _said(scores: Sequence[float]) -> dict[str, Any]:
    return {"fits": len(SUBJECTS) * RUNS, "score": float(np.mean(scores)), "of_subject": list(scores)}


def _fold(made: Suite, session: Session, inputs: Path, of: tuple[str, int]) -> float:
    name, fold = of
    parts, decoder = (
        prepare(made, session, inputs / f"{session.id}.nwb", streams=("eeg",), fold=fold),
        construct(find(name), {}),
    )
    decoder.fit([parts.train], [parts.validation])
    outputs = Decoder.predict(decoder, parts.test.inputs, parts.test.session)[parts.test.scored]
    return balanced_accuracy(parts.test.targets[parts.test.scored], outputs)


if __name__ == "__main__":
    works = {"csp-lda": judged, "csp-lda-same": same_pipeline, "csp-lda-here": here}
    serve(works, ("neural-decoder-harness", "numpy", "scipy", "scikit-learn", "pyriemann"))
