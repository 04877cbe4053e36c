"""Which stages of learning a run has, and in which order stages can be done."""

from collections.abc import Sequence
from dataclasses import replace

from harness.data.split_rules import n_folds
from harness.data.suites import Session
from harness.judge.worker import STAGES
from harness.learning import Adaptation, Fit, Learning, Pretraining, Share


def lessons(share: Share, sessions: Sequence[Session]) -> dict[str, list[Learning]]:
    """The last stage of learning for each fold of each scored session of a tier, by id; stages that a run lacks are
    left out.

    Args:
        share: What the stages have in common.
        sessions: The tier's.
    """
    suite, stages = share.plan.suite, share.run.stages
    pretrained = _pretraining(share, [s for s in sessions if s.id in suite.pretraining])
    old = [s for s in sessions if s.role != "new"]
    if suite.fit == "each":
        return {s.id: _each_fold(share, s, pretrained) for s in old if s.role == "scored"}
    fit: Learning = Fit(share, old, before=pretrained)
    new: dict[str, list[Learning]] = {
        s.id: [Adaptation(share, [s], before=fit) if suite.calibration_s and "adapt" in stages else fit]
        for s in sessions
        if s.role == "new"
    }
    return {s.id: [fit] for s in old if s.role == "scored"} | new


def _each_fold(share: Share, session: Session, pretrained: Learning | None) -> list[Learning]:
    folds = range(n_folds(share.plan.suite.splits[session.split]))
    return [Fit(share, [session], before=pretrained, fold=fold) for fold in folds]


def _pretraining(share: Share, sessions: Sequence[Session]) -> Learning | None:
    """The last stage of pretraining: of the decoders that this one begins with, the first of them first, then its own.

    Its own recordings are those of the suite's pretraining sessions; None if there are none, or nothing to do.
    """
    last: Learning | None = None
    for run in (*reversed(share.run.parents), share.run) if sessions else ():
        if "pretrain" in run.stages:
            last = Pretraining(replace(share, run=run), sessions, before=last)
    return last


def stages_of(last: Sequence[Learning]) -> list[list[Learning]]:
    """All stages that lead to the given ones, each once, in rounds: one needs what an earlier round leaves.

    In a round the longest work begins first: pretraining before fits.
    """
    found: dict[str, tuple[int, Learning]] = {}
    for one in last:
        chain = [one]
        while chain[-1].before is not None:
            chain.append(chain[-1].before)
        for depth, stage in enumerate(reversed(chain)):
            found.setdefault(stage.key, (depth, stage))
    rounds: list[list[Learning]] = [[] for _ in range(1 + max((depth for depth, _ in found.values()), default=-1))]
    for depth, stage in found.values():
        rounds[depth].append(stage)
    order = list(STAGES)
    return [sorted(stages, key=lambda s: order.index(s.stage)) for stages in rounds]
