"""Checks of what not every decoder has: answers that come late, `pretrain` and `adapt`."""

from dataclasses import replace

import numpy as np

from harness.judge import artifact
from harness.judge.conformance_case import Broken, Case, refuse_not_finite
from harness.types import Delay


def delay_is_whole_bins(case: Case) -> str:
    """`delay` gives whole numbers of bins, the same before and after `fit`."""
    before, after = case.build().delay(), case.decoder.delay()
    plain = isinstance(before, Delay) and all(
        type(n) is int and n >= 0 for n in (before.look_ahead_bins, before.interpolation_bins)
    )
    if not plain or before != after:
        raise Broken(f"delay() is {before!r}, and {after!r} after fit; it may depend on hyper-parameters alone")
    return f"answers are about {before.bins} bins ago"


def unlabelled_pretraining_is_survived(case: Case) -> str:
    """`pretrain` copes with recordings without labels, and `fit` goes on from what it left."""
    given = case.data.pretraining
    blank = replace(given, targets=np.full_like(given.targets, np.nan), scored=np.zeros_like(given.scored))
    learned = case.pretrained(replace(case.data, pretraining=blank))
    decoder = case.from_pretraining(learned)
    decoder.fit([case.data.train], [case.data.validation])
    refuse_not_finite(case.respond(decoder, case.inputs))
    return f"{len(learned)} arrays learned from {len(blank)} bins without labels"


def adapts_to_a_new_session(case: Case) -> str:
    """After `adapt`, what is in `state` answers the new session in a fresh decoder."""
    calibration = case.data.pretraining
    adapted, fresh = case.restored(case.session), case.build()
    adapted.adapt(calibration)
    learned = artifact.unpack(artifact.pack(adapted.state()))
    fresh.restore(learned, [calibration.session, case.session])
    inputs = calibration.inputs
    expected, outputs = (
        np.stack([np.array(answer, np.float64) for _, answer in case.exchanges(one, inputs)])
        for one in (adapted, fresh)
    )
    refuse_not_finite(outputs)
    if not np.allclose(expected, outputs, rtol=1e-4, atol=1e-4 * np.abs(expected).max()):
        raise Broken("answers differ when restored from state() after adapt; keep all that adapt learns in state()")
    return f"{len(outputs)} bins answered after {len(calibration)} labelled ones"
