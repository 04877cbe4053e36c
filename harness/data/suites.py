"""A suite: which recordings, which task, which split, which metrics; read from YAML, unknown keys refused."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, NonNegativeFloat, PositiveInt, ValidationError, field_validator, model_validator

from harness.data.protocol import ClassesAt
from harness.data.protocol import Layout as Layout
from harness.data.protocol import Model as Model
from harness.data.protocol import Task as Task
from harness.data.shipped import SUFFIX as SUFFIX
from harness.data.shipped import known_suites as known_suites
from harness.data.shipped import shipped as shipped
from harness.data.sources import Dandi as Dandi
from harness.data.sources import File as File
from harness.data.sources import Physionet as Physionet
from harness.data.sources import Simulated as Simulated
from harness.data.sources import Source as Source
from harness.data.sources import Zenodo as Zenodo
from harness.data.split_rules import RunSplit, TrialSplit, WholeSplit, n_folds
from harness.data.split_rules import Split as Split
from harness.errors import UsageError

PINNED_TIERS = ("mini", "core", "full", "neurobench", "falcon", "falcon-minival", "xl")
"""Tiers of remote recordings; a row enters one only with a digest."""

METRIC_NAMES = {
    "regression": ("r2", "r2_weighted", "pearson", "rmse"),
    "classification": ("balanced_accuracy", "accuracy", "cohen_kappa", "f1_weighted"),
}
"""The metrics of `harness.score.metrics`, which stands beside this package and not below it, by the task's kind."""

M = TypeVar("M", bound=BaseModel)


class Session(Model):
    """One recording.

    role: `scored` sessions are fitted and scored; `source` ones only learned from; `new` ones only adapted to, and
        scored (docs/decisions/0071).
    tasks: The further tasks that it serves, and the main task's target if it serves that too; by default the main
        task alone.
    """

    id: str
    subject: str
    group: str
    layout: str
    split: str
    tiers: tuple[str, ...]
    source: Source
    tasks: tuple[str, ...] = ()
    role: Literal["scored", "source", "new"] = "scored"


class Suite(Model):
    """One scored suite: a task on sessions. A changed number is a new version.

    fit: On each session, or on all of them together; sessions with the role `new` are in no fit.
    calibration_s: How much of a new session's train part, its end, a decoder may adapt to.
    pretraining: The sessions whose train and validation parts are learned from before any fit, with their labels if
        `pretraining_labels`.
    """

    name: str
    version: PositiveInt
    title: str
    task: Task
    further_tasks: Mapping[str, Task] = {}
    fit: Literal["each", "joint"] = "each"
    calibration_s: NonNegativeFloat = 0.0
    pretraining: tuple[str, ...] = ()
    pretraining_labels: bool = False
    metrics: Annotated[tuple[str, ...], Field(min_length=1)]
    seeds: tuple[int, ...] = (42, 123, 456)
    decoders: tuple[str, ...]
    layouts: Mapping[str, Layout]
    splits: Mapping[str, Split]
    sessions: tuple[Session, ...]

    @model_validator(mode="after")
    def stages_have_sessions(self) -> "Suite":
        if unknown := set(self.pretraining) - {s.id for s in self.sessions}:
            raise ValueError(f"pretraining session {min(unknown)!r} is none of the suite's sessions; list it there")
        new = [s.id for s in self.sessions if s.role == "new"]
        if new and self.fit == "each":
            raise ValueError(f"session {new[0]!r} has the role 'new', which needs `fit: joint` on the others")
        if self.pretraining_labels and (told := sorted(set(new) & set(self.pretraining))):
            raise ValueError(f"session {told[0]!r} has the role 'new' and would be pretrained on with labels")
        idle = [s.id for s in self.sessions if s.role == "source" and s.id not in self.pretraining]
        if idle and self.fit == "each":
            raise ValueError(f"nothing is learned from source {idle[0]!r}; list it in pretraining, or fit jointly")
        if self.calibration_s and not new:
            raise ValueError("calibration_s is given, but no session has the role 'new'; give it to those adapted to")
        return self

    @model_validator(mode="after")
    def tasks_fit_their_kind(self) -> "Suite":
        for task in (self.task, *self.further_tasks.values()):
            if wrong := [name for name in self.metrics if name not in METRIC_NAMES[task.kind]]:
                raise ValueError(f"metric {wrong[0]!r} is not of {task.kind}: {', '.join(METRIC_NAMES[task.kind])}")
            for name, layout in self.layouts.items():
                at = layout.targets.get(task.target)
                if at and isinstance(at, ClassesAt) != (task.kind == "classification"):
                    raise ValueError(f"target {task.target!r} of layout {name!r} does not fit a task of {task.kind}")
                if isinstance(at, ClassesAt) and not layout.trials:
                    raise ValueError(f"target {task.target!r} needs `trials` in layout {name!r}")
        return self

    @model_validator(mode="after")
    def splits_fit_their_sessions(self) -> "Suite":
        classes = self.task.kind == "classification"
        for s in self.sessions:
            rule = self.splits.get(s.split)
            if rule and classes != isinstance(rule, RunSplit | WholeSplit):
                raise ValueError(f"session {s.id!r}: split {s.split!r} does not fit a task of {self.task.kind}")
            if isinstance(rule, WholeSplit) and s.role != "source":
                raise ValueError(f"session {s.id!r}: split {s.split!r} leaves it no test; give it the role 'source'")
            if rule and n_folds(rule) > 1 and (self.fit == "joint" or s.id in self.pretraining):
                raise ValueError(f"session {s.id!r}: tests of each run need `fit: each`, and no pretraining on it")
        return self

    @property
    def label(self) -> str:
        """What records call it, e.g. `primate-reaching@1`."""
        return f"{self.name}@{self.version}"

    @field_validator("metrics")
    @classmethod
    def known_metrics_once(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        known = [name for names in METRIC_NAMES.values() for name in names]
        for i, name in enumerate(metrics):
            if name not in known:
                raise ValueError(f"metric {name!r} is none of {', '.join(known)}")
            if name in metrics[:i]:
                raise ValueError(f"metric {name!r} is listed twice")
        return metrics

    @model_validator(mode="after")
    def names_resolve(self) -> "Suite":
        if self.task.target in self.further_tasks:
            raise ValueError(f"further task {self.task.target!r} has the main task's name; give it another")
        seen: set[str] = set()
        for s in self.sessions:
            if s.id in seen:
                raise ValueError(f"session {s.id!r} is listed twice")
            seen.add(s.id)
            if s.layout not in self.layouts:
                raise ValueError(f"session {s.id!r}: layout {s.layout!r} is none of {', '.join(self.layouts)}")
            if s.split not in self.splits:
                raise ValueError(f"session {s.id!r}: split {s.split!r} is none of {', '.join(self.splits)}")
            if isinstance(self.splits[s.split], TrialSplit) and not self.layouts[s.layout].trials:
                raise ValueError(f"session {s.id!r}: split {s.split!r} needs `trials` in layout {s.layout!r}")
            if unknown := set(s.tasks) - {self.task.target, *self.further_tasks}:
                known = ", ".join((self.task.target, *self.further_tasks))
                raise ValueError(f"session {s.id!r}: task {min(unknown)!r} is none of {known}")
            if isinstance(s.source, Dandi | Zenodo) and not (s.source.sha256 or getattr(s.source, "md5", None)):
                scored = [t for t in s.tiers if t in PINNED_TIERS]
                if scored:
                    raise ValueError(f"session {s.id!r} has no digest, so it cannot be in tier {scored[0]!r}")
            if isinstance(s.source, File) and not s.source.sha256 and (pinned := set(s.tiers) & set(PINNED_TIERS)):
                raise ValueError(f"session {s.id!r} has no sha256, so it cannot be in tier {min(pinned)!r}")
        return self

    def tiers(self) -> dict[str, int]:
        """Tier -> number of sessions."""
        names = dict.fromkeys(t for s in self.sessions for t in s.tiers)
        return {name: sum(name in s.tiers for s in self.sessions) for name in names}

    def in_tier(self, tier: str) -> tuple[Session, ...]:
        """The sessions of a tier, whichever of the suite's tasks they serve.

        Raises:
            UsageError: If the suite has no such tier.
        """
        if tier not in self.tiers():
            raise UsageError(
                f"suite {self.label} has no tier {tier!r}; it has: {', '.join(self.tiers())}{self._waiting(tier)}"
            )
        return tuple(s for s in self.sessions if tier in s.tiers)

    def _waiting(self, tier: str) -> str:
        """What keeps recordings out of the tiers of pinned ones."""
        raws = {s.id: s.source.made_from for s in self.sessions if isinstance(s.source, File)}
        lacking = [f"{name} ({made.unknown})" for name, made in raws.items() if made and made.unknown]
        if tier not in PINNED_TIERS or not lacking:
            return ""
        return f". Real recordings wait for what is not known of their raw files: {'; '.join(lacking)}"

    def variants(self, tier: str | None = None) -> tuple["Suite", ...]:
        """One suite per task, each with the sessions that serve it: the main one, then `suite/task`.

        Args:
            tier: Leave out the tasks that no session of this tier serves.
        """
        main = self.task.target
        tasks = {self.name: (self.task, main)} | {
            f"{self.name}/{name}": (task, name) for name, task in self.further_tasks.items()
        }
        narrowed = (
            self.model_copy(
                update={
                    "name": label,
                    "task": task,
                    "further_tasks": {},
                    "sessions": tuple(s for s in self.sessions if name in (s.tasks or (main,))),
                }
            )
            for label, (task, name) in tasks.items()
        )
        return tuple(s for s in narrowed if tier is None or tier in s.tiers())

    def protocol_sha256(self, session: Session) -> str:
        """Hash of all that decides what `session` means in this suite, apart from its file's content."""
        rules = {
            "suite": self.label,
            "task": self.task.model_dump(mode="json"),
            "fit": self.fit,
            "metrics": self.metrics,
            "layout": self.layouts[session.layout].model_dump(mode="json"),
            "split": self.splits[session.split].model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(rules, sort_keys=True).encode()).hexdigest()


def load_suite(name: str) -> Suite:
    """Read a suite by its shipped name or from a YAML file.

    Raises:
        UsageError: If there is no such suite, or its file is no valid suite.
    """
    path = Path(name) if name.endswith((SUFFIX, ".yml")) else known_suites().get(name)
    if path is None or not path.is_file():
        raise UsageError(
            f"unknown suite {name!r}; known: {', '.join(known_suites())}; or give a .yaml file that exists"
        )
    return read_model(path, Suite)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain YAML in which no key is given twice: the second would silently replace the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if (key.tag, str(key.value)) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} is given twice", key.start_mark)
            seen.add((key.tag, str(key.value)))
        return dict(super().construct_mapping(node, deep))


def read_model(path: Path, model: type[M]) -> M:
    """Read one strict model from a YAML file.

    Raises:
        UsageError: Naming the file, the key and what is wrong with it.
    """
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}: {where or 'file'}: {first['msg']} (given: {str(first['input'])[:80]!r})") from None
    except (yaml.YAMLError, ValueError) as error:
        # A date or a number that Python cannot hold is a ValueError of its own.
        raise UsageError(f"{path} is no valid YAML: {error}") from None
