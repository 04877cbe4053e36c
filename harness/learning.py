"""Stages of learning: pretraining, fits and adaptations, each done once and then kept in the store by content."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

from harness.data.altered import blinded, last_bins, unlabelled
from harness.data.identity import content_id
from harness.data.suites import Session
from harness.errors import BadData
from harness.judge import cell as judge
from harness.judge.artifact import backend_of
from harness.judge.notes import Notes
from harness.judge.wire import session_from_dict, session_to_dict
from harness.locks import Lock
from harness.plan import Plan, Recordings
from harness.registry import DecoderRef
from harness.results import cells
from harness.results.assemble import Run
from harness.results.records import LearningStage, canonical, sha256
from harness.results.store import Store
from harness.types import Recording, SessionInfo

Purpose = Literal["score", "again", "blind"]
"""What for: to be scored; to learn the same again from the same seed; to learn nothing, from wrong labels."""


@dataclass(frozen=True)
class Share:
    """What the stages of one run have in common."""

    plan: Plan
    run: Run
    recordings: Recordings
    purpose: Purpose = "score"

    def candidate(self) -> judge.Candidate:
        """The decoder as the judge wants it."""
        return judge.Candidate(self.run.ref, self.run.parameters, self.run.causal, self.plan.profile)

    def moved(self, recordings: Recordings, refs: Mapping[str, DecoderRef]) -> "Share":
        """See `Learning.moved`."""
        run = replace(self.run, ref=refs.get(self.run.ref.entry_point, self.run.ref))
        return replace(self, plan=recordings.plan, run=run, recordings=recordings)


class Learning(ABC):
    """One stage that is, or will be, in the store.

    before: The stage whose artefact this one begins with.
    """

    stage: ClassVar[Literal["pretrain", "fit", "adapt"]]

    def __init__(
        self, share: Share, sessions: Sequence[Session], *, before: "Learning | None" = None, fold: int = 0
    ) -> None:
        self.share, self.sessions, self.before, self.fold = share, tuple(sessions), before, fold
        plan = share.plan
        self.key: str = cells.key(
            stage=self.stage,
            run=share.run.identity(),
            data=[content_id(s, plan.files[s.id]) for s in sessions],
            names=[(s.id, s.subject) for s in sessions],
            rules=[plan.suite.protocol_sha256(s) for s in sessions],
            more=self.rules(),
            profile=plan.profile.model_dump(mode="json"),
            purpose=share.purpose,
            before=before.key if before else None,
            fold=fold,
        )
        self.folder = _folder(plan.store, self.key)

    @abstractmethod
    def lesson(self) -> judge.Lesson:
        """The recordings that it is given."""

    def rules(self) -> dict[str, Any]:
        """What else decides the outcome."""
        return {}

    def do(self) -> None:
        """Learn, unless that was done."""
        with lock(self.share.plan.store, self.key):
            if self.is_due():
                self._learn()
        self.tidy()

    def tidy(self) -> None:
        """Clear away the notes of a finished fit; a run that was killed after its last word left some."""
        if self.notes.exists():
            with lock(self.share.plan.store, self.key):
                if (self.folder / "fit.json").exists() and self._kept()["status"] == "ok":
                    Notes(self.notes).remove()

    def is_due(self) -> bool:
        """Whether there is anything to do."""
        return is_due(self.share.plan, self.folder / "fit.json")

    @property
    def needs(self) -> "list[Learning]":
        """The stages whose artefacts it reads."""
        return [self.before] if self.before else []

    @property
    def reads(self) -> Sequence[Session]:
        """The sessions whose recordings it reads."""
        return self.sessions

    def moved(self, recordings: Recordings, refs: Mapping[str, DecoderRef]) -> "Learning":
        """The same stage, by its key, with another plan's store and recordings.

        Args:
            recordings: Of that plan.
            refs: Entry point -> where the decoder is now, for those that have moved too.
        """
        new = copy.copy(self)
        new.share = self.share.moved(recordings, refs)
        new.before = self.before.moved(recordings, refs) if self.before else None
        new.folder = _folder(recordings.plan.store, self.key)
        return new

    def _learn(self) -> None:
        fault = self.share.run.fault
        if fault:
            learned = judge.Fitted(fault.status, str(fault), b"", 0.0)
        else:
            before = self.before.read() if self.before else None
            with Notes(self.notes) as notes:
                learned = judge.learn(self.share.candidate(), self.lesson(), after=before, notes=notes)
                learned = replace(learned, fit_s=notes.total_s(learned.fit_s))
        self._keep(learned)

    def _keep(self, learned: judge.Fitted) -> None:
        kept = {
            "status": learned.status,
            "error": learned.error,
            "artifact": sha256(learned.artifact),
            "sessions": [session_to_dict(s) for s in learned.sessions],
            "history": [stage.model_dump() for stage in self._history(learned)],
        }
        cells.write_folder(self.folder, {"fit.json": canonical(kept), "artifact.safetensors": learned.artifact})

    def leave(self, content: bytes) -> None:
        """Keep what was learned elsewhere, as if this stage and those before it had learned it here.

        Args:
            content: The artefact; stages before this one are not read again and keep an empty one.
        """
        if self.before:
            self.before.leave(b"")
        self._keep(judge.Fitted("ok", None, content, 0.0, self._seen()))

    def _seen(self) -> list[SessionInfo]:
        """The sessions that what is learned here knows: an adaptation adds to those of the stage before."""
        earlier = self.before._seen() if self.before and self.stage == "adapt" else []
        return [*self.lesson().sessions, *earlier]

    @property
    def name(self) -> str:
        """What it is, for people."""
        names = ", ".join(s.id for s in self.sessions)
        return f"{self.stage} {self.share.run.ref.name} on {names}" + (f", fold {self.fold + 1}" if self.fold else "")

    @property
    def notes(self) -> Path:
        """Where it notes how far it is, until it is done."""
        return self.share.plan.store.root / "unfinished" / self.key

    def _history(self, learned: judge.Fitted) -> list[LearningStage]:
        own = LearningStage(
            stage=self.stage,
            key=self.key,
            seconds=learned.fit_s,
            sessions=tuple(s.id for s in self.sessions),
            labels=self.stage != "pretrain" or self.share.plan.suite.pretraining_labels,
            decoder=self.share.run.ref.name,
            artifact_sha256=sha256(learned.artifact),
            backend=backend_of(learned.artifact),
        )
        return [*(self.before.history if self.before else []), own]

    @property
    def history(self) -> list[LearningStage]:
        """All stages up to this one, as kept."""
        return [LearningStage.model_validate(stage) for stage in self._kept()["history"]]

    def read(self) -> judge.Fitted:
        """What the store holds of it; not kept here, for all artefacts of a run together may be large."""
        kept = self._kept()
        content = (self.folder / "artifact.safetensors").read_bytes()
        sessions = [session_from_dict(s) for s in kept["sessions"]]
        return judge.Fitted(kept["status"], kept["error"], content, kept["history"][-1]["seconds"], sessions)

    @property
    def outcome(self) -> str:
        """Hash of what was learned: a test pass belongs to it."""
        return str(self._kept()["artifact"])

    def _kept(self) -> Any:
        return cells.read_json(self.folder / "fit.json")

    def parts(self) -> tuple[list[Recording], list[Recording]]:
        """The train parts of the sessions, and the validation parts, those that are not empty."""
        found = [self.share.recordings(s, self.share.run.inputs, self.fold) for s in self.sessions]
        labels = blinded if self.share.purpose == "blind" else lambda part: part
        train, validation = ([one for p in found if len(one := p[part])] for part in ("train", "validation"))
        return list(map(labels, train)), list(map(labels, validation))


class Pretraining(Learning):
    """Once per suite and seed, from the train and validation parts of the suite's pretraining sessions."""

    stage = "pretrain"

    def lesson(self) -> judge.Lesson:
        recordings = [part for kind in self.parts() for part in kind]
        if not self.share.plan.suite.pretraining_labels:
            recordings = [unlabelled(r) for r in recordings]
        return judge.Lesson("pretrain", {"recordings": recordings})

    def rules(self) -> dict[str, Any]:
        return {"labels": self.share.plan.suite.pretraining_labels}


class Fit(Learning):
    """On one session, or on several together."""

    stage = "fit"

    def lesson(self) -> judge.Lesson:
        train, validation = self.parts()
        return judge.Lesson("fit", {"train": train, "validation": validation})


class Adaptation(Learning):
    """To a new session, from the last labelled seconds of its train part."""

    stage = "adapt"

    def lesson(self) -> judge.Lesson:
        return judge.Lesson("adapt", {"recording": [self._calibration()]})

    def rules(self) -> dict[str, Any]:
        return {"calibration_s": self.share.plan.suite.calibration_s}

    def _calibration(self) -> Recording:
        ((train,), _) = self.parts()
        wanted_s, bin_s = self.share.plan.suite.calibration_s, train.session.bin_s
        n_bins = round(wanted_s / bin_s)
        if not 1 <= n_bins <= len(train):
            raise BadData(
                f"session {train.session.id!r} has {len(train) * bin_s:g} s to train on, from which {wanted_s:g} s of "
                f"calibration_s cannot be taken; give at least one bin and no more than there is"
            )
        return last_bins(train, n_bins)


def _folder(store: Store, key: str) -> Path:
    return store.root / "fits" / key[:2] / key


def is_due(plan: Plan, outcome: Path) -> bool:
    """Whether a stage or cell has to be run: it is not there, or finished work of its kind is wanted again."""
    if plan.rerun == "all" or not outcome.exists():
        return True
    return plan.rerun == "failed" and cells.read_json(outcome)["status"] != "ok"


def lock(store: Store, key: str) -> Lock:
    """One process at a time works on what this key stands for."""
    return store.lock(key)
