"""Test passes of an evaluation, each of which is done once and then lies in the store."""

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.data.identity import content_id
from harness.data.prepare import look_ahead
from harness.data.split import Parts, find_leaks
from harness.data.suites import Session, Split
from harness.judge import cell as judge
from harness.judge.finding import Finding
from harness.judge.folds import joined_parts, joined_tests
from harness.judge.replies import WorkerFault
from harness.judge.turn import Turn, machine
from harness.learning import Learning, Purpose, is_due, lock
from harness.plan import Recordings
from harness.registry import DecoderRef
from harness.results import cells, shown
from harness.results.records import LearningStage, canonical, sha256
from harness.results.scored import cell_files
from harness.results.store import write_whole
from harness.score.metrics import metric
from harness.types import Recording


class Test:
    """One cell that is, or will be, in the store.

    learned: The last stage of learning before it, of each fold.
    extra: The same stage of a full audit's other fits, by purpose; empty for the standard audit.
    paced: Whether this recording is streamed in real time too.
    """

    def __init__(
        self,
        learned: Sequence[Learning],
        session: Session,
        *,
        extra: Mapping[Purpose, Sequence[Learning]],
        paced: bool,
    ) -> None:
        self.learned, self.session, self.extra, self.paced = learned, session, extra, paced
        self.share = learned[0].share
        self.plan = self.share.plan
        self.data = content_id(session, self.plan.files[session.id])
        asked = {"paced": paced, "audit": sorted(extra)}
        rules = self.plan.suite.protocol_sha256(session)
        fits = [one.key for one in learned]
        self.key = cells.key(fits=fits, session=session.id, data=self.data, rules=rules, asked=asked)

    def do(self) -> None:
        """Test, unless that was done; what is timed waits until no other test pass is at work on this machine."""
        with lock(self.plan.store, self.key):  # First: who waits for another's test must not keep it from its turn.
            if self.is_due():
                with machine() as mine:
                    self._test(mine)

    def tidy(self) -> None:
        """Nothing: a test pass leaves its cell or nothing."""

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"stream {self.session.id} through {self.share.run.ref.name}"

    @property
    def folder(self) -> Path:
        """Where the cell is, or will be."""
        return self.plan.store.cell(self.key)

    @property
    def needs(self) -> list[Learning]:
        """The stages whose artefacts it reads."""
        return [*self.learned, *(one for learned in self.extra.values() for one in learned)]

    @property
    def reads(self) -> Sequence[Session]:
        """The sessions whose recordings it reads."""
        return [self.session]

    def moved(self, recordings: Recordings, refs: Mapping[str, DecoderRef]) -> "Test":
        """See `Learning.moved`."""
        new = copy.copy(self)
        new.learned = [one.moved(recordings, refs) for one in self.learned]
        new.extra = {purpose: [one.moved(recordings, refs) for one in more] for purpose, more in self.extra.items()}
        new.share = new.learned[0].share
        new.plan = new.share.plan
        return new

    def is_due(self) -> bool:
        """Not run yet, wanted again, or run with what an earlier fit had learned."""
        outcome = self.folder / "cell.json"
        return is_due(self.plan, outcome) or cells.read_json(outcome)["artifact"] != self.outcome

    @property
    def outcome(self) -> str:
        """Hash of what was learned in all folds."""
        found = [one.outcome for one in self.learned]
        return found[0] if len(found) == 1 else sha256("".join(found).encode())

    @property
    def folders(self) -> list[Path]:
        """Where the artefact of each fold is."""
        return [one.folder for one in self.learned]

    @property
    def history(self) -> list[LearningStage]:
        """All stages behind it, each once."""
        return list({stage.key: stage for one in self.learned for stage in one.history}.values())

    def _test(self, turn: Turn) -> None:
        started = time.perf_counter()
        folds = [self._tested(i, turn) for i in range(len(self.learned))]
        part, tested = joined_parts([part for part, _ in folds]), joined_tests([tested for _, tested in folds])
        tested = replace(tested, outputs=self.share.run.delay.aligned(tested.outputs, part.inputs))
        seconds = time.perf_counter() - started
        files = cell_files(
            tested, part, suite=self.plan.suite, session=self.session, seconds=seconds, artifact=self.outcome
        )
        shown.keep(self.plan.store, self.plan.suite, self.session, part, self.data)
        cells.write_folder(self.folder, files)

    def _tested(self, fold: int, turn: Turn) -> tuple[Recording, judge.Tested]:
        """One fold: its test part, and what came of it."""
        suite, run = self.plan.suite, self.share.run
        parts = self.share.recordings(self.session, run.inputs, fold)
        asked = judge.Asked(metric(suite.metrics[0]), paced=self.paced and not fold, delay=run.delay)
        tested = judge.test(self.share.candidate(), self.learned[fold].read(), parts.test, asked, turn=turn)
        rule = suite.splits[self.session.split]
        more = {"parts_are_apart": _apart(parts, rule), "preparation_is_causal": self._prepared()}
        if tested.status == "ok":
            more |= self._fitted_again(parts.test, asked, fold)
        return parts.test, replace(tested, findings={**tested.findings, **more})

    def _fitted_again(self, part: Recording, asked: judge.Asked, fold: int) -> dict[str, Finding]:
        """What a full audit adds."""
        rules = {
            "again": ("same_seed_gives_same_outputs", judge.same_fit),
            "blind": ("shuffled_labels_give_chance", judge.blind_fit),
        }
        found = {}
        for purpose, other in self.extra.items():
            name, rule = rules[purpose]
            try:
                learned, again = self.learned[fold].read(), other[fold].read()
                found[name] = rule(self.share.candidate(), learned, again, part, asked)
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
