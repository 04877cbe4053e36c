"""Test passes of an evaluation, each of which is done once and then lies in the store."""

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from filelock import FileLock

from harness.data.identity import content_id
from harness.data.prepare import look_ahead
from harness.data.split import Parts, find_leaks
from harness.data.suites import Session, Split
from harness.judge import cell as judge
from harness.judge.finding import Finding
from harness.judge.replies import WorkerFault
from harness.learning import Learning, Purpose, is_due, lock
from harness.results import cells
from harness.results.records import canonical
from harness.results.scored import cell_files
from harness.results.store import write_whole
from harness.score.metrics import metric
from harness.types import Recording


class Test:
    """One cell that is, or will be, in the store.

    learned: The last stage of learning before it.
    extra: The same stage of a full audit's other fits, by purpose; empty for the standard audit.
    paced: Whether this recording is streamed in real time too.
    """

    def __init__(self, learned: Learning, session: Session, *, extra: Mapping[Purpose, Learning], paced: bool) -> None:
        self.share, self.learned, self.session, self.extra, self.paced = learned.share, learned, session, extra, paced
        self.plan = learned.share.plan
        self.data = content_id(session, self.plan.files[session.id])
        asked = {"paced": paced, "audit": sorted(extra)}
        rules = self.plan.suite.protocol_sha256(session)
        self.key = cells.key(fit=learned.key, session=session.id, data=self.data, rules=rules, asked=asked)

    def do(self) -> str:
        with lock(self.plan.store, self.key):
            if self._is_due():
                self._test()
        return f"stream {self.session.id} through {self.share.run.ref.name}"

    def _is_due(self) -> bool:
        """Not run yet, wanted again, or run with what an earlier fit had learned."""
        outcome = self.plan.store.cell(self.key) / "cell.json"
        return is_due(self.plan, outcome) or cells.read_json(outcome)["artifact"] != self.learned.outcome

    def _test(self) -> None:
        suite, run = self.plan.suite, self.share.run
        parts = self.share.recordings(self.session, run.inputs)
        part, rule = parts.test, suite.splits[self.session.split]
        started = time.perf_counter()
        asked = judge.Asked(metric(suite.metrics[0]), paced=self.paced, delay=run.delay)
        tested = judge.test(self.share.candidate(), self.learned.read(), part, asked)
        more = {"parts_are_apart": _apart(parts, rule), "preparation_is_causal": self._prepared()}
        if tested.status == "ok":
            more |= self._fitted_again(part, asked)
        outputs = run.delay.aligned(tested.outputs, part.inputs)
        tested = replace(tested, outputs=outputs, findings={**tested.findings, **more})
        seconds = time.perf_counter() - started
        files = cell_files(tested, part, suite=suite, seconds=seconds, artifact=self.learned.outcome)
        cells.write_folder(self.plan.store.cell(self.key), files)

    def _fitted_again(self, part: Recording, asked: judge.Asked) -> dict[str, Finding]:
        """What a full audit adds."""
        rules = {
            "again": ("same_seed_gives_same_outputs", judge.same_fit),
            "blind": ("shuffled_labels_give_chance", judge.blind_fit),
        }
        found = {}
        for purpose, other in self.extra.items():
            name, rule = rules[purpose]
            try:
                found[name] = rule(self.share.candidate(), self.learned.read(), other.read(), part, asked)
            except WorkerFault as fault:
                found[name] = Finding(False, f"{fault.status}: {fault}")
        return found

    def _prepared(self) -> Finding:
        """Whether the recording's own bins look ahead: found out once, for it does not depend on a decoder."""
        plan = self.plan
        rules = plan.suite.protocol_sha256(self.session)
        path = plan.store.root / "preparations" / f"{cells.key(data=self.data, rules=rules)}.json"
        if not path.exists():
            why = look_ahead(plan.suite, self.session, plan.files[self.session.id])
            write_whole(path, canonical({"why": why}))
        why = cells.read_json(path)["why"]
        return Finding(not why, why)


def _apart(parts: Parts, rule: Split) -> Finding:
    """The audit's finding on train, validation and test: no scored bin in two of them, gaps kept."""
    leaks = find_leaks(parts, gap_s=rule.gap_s)
    return Finding(not leaks, "; ".join(leaks), None)


def alone() -> FileLock:
    """Only one test pass of this user at a time on this machine, whichever run it belongs to."""
    # Not where the environment says: runs with another TMPDIR would not wait for each other. Nor in /run/user, which
    # ends with a login while runs go on, or in the home folder, which several machines may share.
    return FileLock(Path("/tmp") / f"neural-decoder-harness-{os.geteuid()}.lock")
