"""Run a record again and say what came of it: the same, within its interval, or something else.

To run again is to evaluate again in a store of its own, with the learned arrays restored from the record's artefact or
learned anew; decision 0110.
"""

import tempfile
import time
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from harness.again import Again, answers_of, artifact_of, decoder_of
from harness.data.prepare import prepare
from harness.data.split_rules import n_folds
from harness.errors import BadData
from harness.evaluate import tests_of
from harness.judge import artifact
from harness.judge.folds import joined_parts
from harness.plan import Plan
from harness.results import cells
from harness.results.environment import environment
from harness.results.receipts import Compared, How, Receipt, Verdict, sealed
from harness.results.records import Record, SessionResult
from harness.results.scored import scores_of
from harness.results.store import Store
from harness.rounds import Watch, run_tests
from harness.score.metrics import metric
from harness.work import Test

TOLERANCE = 1e-4
"""Of a recording's largest answer: what another order of sums may change."""
SCORE_TOLERANCE = 1e-9
WORSE: Mapping[Verdict, int] = {"same": 0, "within-interval": 1, "differs": 2}


def rerun(again: Again, watch: Watch, *, retrain: bool, n_workers: int, only: Collection[str] = ()) -> Receipt:
    """Restore or train, stream, and compare with what the record's store holds.

    Args:
        again: See `ready`.
        watch: Is told of progress.
        retrain: Learn anew instead of restoring the artefact.
        n_workers: Fits at a time.
        only: These recordings; all by default.

    Raises:
        UsageError: If the decoder is not installed in the record's version.
        MissingData, BadData: If predictions or artefact are not there, or not the record's.
    """
    record = again.record
    ref, before = decoder_of(record), answers_of(again.store, record)
    started, clock = datetime.now(UTC), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="harness-verify-") as folder:
        plan = Plan(
            suite=again.suite,
            tier=record.tier,
            files=again.files,
            decoders=[ref],
            profile=again.profile,
            store=Store(Path(folder)),
            settings={name: value for name, value in record.decoder.parameters.items() if name != "seed"},
            seeds=(record.seed,),
            n_workers=n_workers,
        )
        tests = [test for test in tests_of(plan) if not only or test.session.id in only]
        if not retrain:
            _restore(tests, again)
        run_tests(plan, tests, watch)
        cell = {test.session.id: plan.store.cell(test.key) for test in tests}
        compared = [_compared(one, cell[one.session], before, record) for one in record.sessions if one.session in cell]
    how: How = "retrained" if retrain else "restored"
    return _receipt(record, how, compared, started, time.perf_counter() - clock)


def rescore_record(again: Again, names: Sequence[str] = ()) -> Receipt:
    """Score a record's predictions again, without the decoder.

    Args:
        again: See `ready`.
        names: Further metrics; those of the suite are always there.

    Raises:
        MissingData, BadData: If there are no predictions, or not the record's.
    """
    record, suite = again.record, again.suite
    wanted = list(dict.fromkeys([*suite.metrics, *(metric(name).name for name in names)]))
    answers = answers_of(again.store, record)
    started, clock = datetime.now(UTC), time.perf_counter()
    compared = []
    for session, stated in zip(again.sessions, record.sessions, strict=True):
        outputs = answers.get(f"{session.id}/outputs")
        if stated.status != "ok" or outputs is None:
            compared.append(Compared(session=session.id, verdict="same" if stated.status != "ok" else "differs"))
            continue
        folds = range(n_folds(suite.splits[session.split]))
        part = joined_parts([prepare(suite, session, again.files[session.id], fold=fold).test for fold in folds])
        if outputs.shape != part.targets.shape:
            raise BadData(
                f"the answers for {session.id!r} are {outputs.shape}, its test part has {part.targets.shape}; "
                f"they are of another recording or suite"
            )
        scores = scores_of(part, outputs, wanted)
        # A metric that is stated and not defined for these answers is a difference too.
        missing = stated.scores.keys() - scores.keys()
        worst = None if missing else max((abs(scores[n] - v) for n, v in stated.scores.items()), default=0.0)
        verdict: Verdict = "same" if worst is not None and worst <= SCORE_TOLERANCE else "differs"
        compared.append(Compared(session=session.id, verdict=verdict, max_difference=worst, scores=scores))
    return _receipt(record, "rescored", compared, started, time.perf_counter() - clock, tolerance=SCORE_TOLERANCE)


def _restore(tests: Sequence[Test], again: Again) -> None:
    """Leave the record's artefact in the plan's store, as the fits that it was made of."""
    content = artifact_of(again.store, again.record)
    arrays, bits = artifact.unpack(content), artifact.widths(content)
    for test in tests:
        for i, learning in enumerate(test.learned, 1):
            prefix = f"{test.session.id}/" + (f"fold-{i}/" if len(test.learned) > 1 else "")
            own = {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}
            own_bits = {name.removeprefix(prefix): n for name, n in bits.items() if name.startswith(prefix)}
            learning.leave(artifact.pack(own, bits=own_bits))


def _compared(then: SessionResult, cell: Path, before: Mapping[str, np.ndarray], record: Record) -> Compared:
    """One recording: its answers, or where these differ its score."""
    now = cells.read_json(cell / "cell.json")
    scores: dict[str, float] = now.get("scores", {})
    nothing = Compared(session=then.session, verdict="differs", scores=scores)
    if then.status != "ok" or now["status"] != "ok":
        return nothing.model_copy(update={"verdict": "same" if then.status == now["status"] else "differs"})
    old, new = before.get(f"{then.session}/outputs"), cells.npz_to_arrays(cell / "predictions.npz")["outputs"]
    if old is None or old.shape != new.shape:
        return nothing
    distance = np.abs(new.astype(np.float64) - old)
    # Not "larger": an answer that is no number, here or there, is a difference.
    far = np.flatnonzero(~(distance <= TOLERANCE * float(np.abs(old).max(initial=0.0))).all(axis=1))
    # Of few blocks an interval may miss its own score.
    ends = list(then.interval.get(record.metric, ()))
    ends += [then.scores[record.metric]] if record.metric in then.scores else []
    inside = bool(ends) and min(ends) <= scores.get(record.metric, np.nan) <= max(ends)
    verdict: Verdict = "same" if not far.size else "within-interval" if inside else "differs"
    return nothing.model_copy(
        update={
            "verdict": verdict,
            "max_difference": float(distance.max(initial=0.0)) if np.isfinite(distance).all() else None,
            "first_bin": int(far[0]) if far.size else None,
        }
    )


def _receipt(
    record: Record, how: How, compared: Sequence[Compared], started: datetime, seconds: float, *, tolerance: float = -1
) -> Receipt:
    exact = all(one.max_difference in (0, None) for one in compared)
    return sealed(
        Receipt(
            schema=1,
            record=record.id,
            how=how,
            verdict=max((one.verdict for one in compared), key=WORSE.__getitem__, default="same"),
            tolerance=tolerance if tolerance >= 0 else 0.0 if exact else TOLERANCE,
            sessions=list(compared),
            environment=environment(),
            started_utc=started.isoformat(timespec="seconds"),
            seconds=seconds,
        )
    )
