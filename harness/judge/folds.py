"""Several tests of one recording, each by what was learned from its other runs, as one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness.judge.cell import Tested
from harness.judge.finding import worst
from harness.judge.passes import Passes, Whole
from harness.types import Inputs, Recording


def joined_parts(parts: Sequence[Recording]) -> Recording:
    """Test parts of one session, one after the other; each begins with a start."""
    if len(parts) == 1:
        return parts[0]
    names = parts[0].inputs.streams
    streams = {name: np.concatenate([part.inputs.streams[name] for part in parts]) for name in names}
    starts = np.concatenate([part.inputs.starts for part in parts])
    return replace(
        parts[0],
        inputs=Inputs(streams, starts, parts[0].inputs.bin_s),
        targets=np.concatenate([part.targets for part in parts]),
        scored=np.concatenate([part.scored for part in parts]),
        privileged={},
    )


def joined_tests(tests: Sequence[Tested]) -> Tested:
    """The tests of those parts: all answers, all round trips, the worst of each finding.

    If one failed, all did: a score of some of the runs would be another protocol's. Operations are those of the test
    with most of them; the paced pass is the first's, which alone has one.
    """
    if len(tests) == 1:
        return tests[0]
    names = dict.fromkeys(name for one in tests for name in one.findings)
    findings = {name: worst([one.findings[name] for one in tests if name in one.findings]) for name in names}
    failed = [(i, one) for i, one in enumerate(tests) if one.status != "ok"]
    timed = [one.fast for one in tests if one.fast]
    unknown = [one.operations for one in tests if one.operations.effective is None]
    packed = [one.packed_bytes for one in tests if one.packed_bytes is not None]
    whole = replace(
        tests[0],
        findings=findings,
        fast=_joined_passes(timed) if len(timed) == len(tests) else None,
        operations=unknown[0] if unknown else max((t.operations for t in tests), key=lambda o: o.effective or 0.0),
        packed_bytes=max(packed) if packed else None,
        isolation="sandbox" if all(one.isolation == "sandbox" for one in tests) else "process",
    )
    if failed:
        i, one = failed[0]
        return replace(whole, status=one.status, error=f"fold {i + 1}: {one.error}", outputs=one.outputs[:0])
    return replace(whole, outputs=np.concatenate([one.outputs for one in tests]))


def _joined_passes(passes: Sequence[Passes[Whole]]) -> Passes[Whole]:
    spread = {
        q: (min(one.spread[q][0] for one in passes), max(one.spread[q][1] for one in passes)) for q in passes[0].spread
    }
    return Passes(
        tuple(one for each in passes for one in each.all[:1]),
        np.concatenate([one.round_trip_ns for one in passes]),
        spread,
        passes[0].calibration,
        any(one.noisy for one in passes),
        next((one.why for one in passes if one.noisy), ""),
    )
