"""What a record says of time and cost, from the cells of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np

from harness.data.protocol import Layout, Task
from harness.judge import artifact
from harness.judge.energy import energy_model, energy_nj
from harness.judge.hardware import bandwidth
from harness.results import records
from harness.score.cost import Operations, footprint_bytes
from harness.score.latency import delays, summarise
from harness.types import Delay

Kind = Literal["fast", "paced"]
ARRAYS: Mapping[Kind, str] = {"fast": "round_trip_ns", "paced": "paced_round_trip_ns"}


class Timing:
    """Round trips of a run's recordings, and what the noise guard said of them.

    seen: Cells as kept, with `session`, `fast` and `paced`.
    arrays: `session/name` -> (n_bins,) round trips in ns.
    """

    def __init__(self, seen: Sequence[Mapping[str, Any]], arrays: Mapping[str, np.ndarray], *, bin_s: float) -> None:
        self.seen, self.arrays, self.bin_s = seen, arrays, bin_s

    def latency(self, kind: Kind, *, session: str | None = None) -> records.Latency | None:
        """Of one recording or of all together; None where nothing of that kind was streamed."""
        chosen = [s for s in self.seen if s[kind] and session in (None, s["session"])]
        found = [self.arrays[f"{s['session']}/{ARRAYS[kind]}"] for s in chosen]
        summary = summarise(np.concatenate(found), bin_s=self.bin_s) if found else None
        if summary is None:
            return None
        spreads = [s[kind]["spread"] for s in chosen]
        spread = {q: (min(x[q][0] for x in spreads), max(x[q][1] for x in spreads)) for q in spreads[0]}
        return records.Latency(**asdict(summary), passes=max(s[kind]["n"] for s in chosen), spread=spread)

    def delays(self, task: Task, latency: records.Latency | None, answer: Delay, filter_s: float) -> dict[str, float]:
        """From neural activity to the answer, in ms, by its parts; empty where nothing was timed and none declared."""
        if latency is None and not answer.window_s:
            return {}
        # What looks ahead is never timed: its window is what makes it late.
        compute_ms = latency.p99 if latency else 0.0
        return delays(answer, bin_s=task.bin_s, lag_s=task.lag_s, filter_s=filter_s, compute_ms=compute_ms)

    def profile(self, label: str) -> records.Profile:
        """Medians of the calibrations, and whether the machine was disturbed."""
        passes = [s[kind] for s in self.seen for kind in ARRAYS if s[kind]]
        names = sorted({name for p in passes for name in p["calibration"]})
        medians = {n: float(np.median([p["calibration"][n] for p in passes if n in p["calibration"]])) for n in names}
        noisy = [p["why"] for p in passes if p["noisy"]]
        return records.Profile(name=label, calibration=medians, noisy=bool(noisy), noisy_why=noisy[0] if noisy else "")


def filter_delay_s(task: Task, layouts: Sequence[Layout], inputs: Sequence[str]) -> float:
    """By how much the filters before these inputs delay them, the slowest of all recordings."""
    # On the grid of samples, spikes are a bin older than need be.
    found = [task.bin_s if task.grid == "samples" else 0.0]
    for name in set(inputs) & set(task.signals):
        rule = task.signals[name]
        found += [rule.delay_s + layout.signals[rule.signal].delay_s for layout in layouts]
    return max(found)


class Costs:
    """What a run's recordings cost, the dearest of each.

    seen: Cells as kept, with `operations` and `packed_bytes`.
    learned: The arrays of each artefact; `artifact_bytes`: of the largest file.
    stages: Of learning, each once.
    """

    def __init__(
        self,
        seen: Sequence[Mapping[str, Any]],
        learned: Sequence[Mapping[str, np.ndarray]],
        *,
        artifact_bytes: int,
        stages: Sequence[records.LearningStage],
    ) -> None:
        self.seen, self.learned, self.artifact_bytes, self.stages = seen, learned, artifact_bytes, stages

    def record(self, *, bin_s: float, calibration: Mapping[str, float]) -> records.Cost:
        """All of it.

        Args:
            bin_s: Width of a bin.
            calibration: Of the machine, for the time that reading the artefact takes at least.
        """
        footprint = max((footprint_bytes(arrays) for arrays in self.learned), default=0)
        packed = [s["packed_bytes"] for s in self.seen if s["packed_bytes"] is not None]
        speed = self._bytes_per_s(calibration)
        return records.Cost(
            pretrain_s=self._seconds("pretrain"),
            fit_s=self._seconds("fit"),
            adapt_s=self._seconds("adapt"),
            parameters=max((artifact.n_parameters(arrays) for arrays in self.learned), default=0),
            artifact_bytes=self.artifact_bytes,
            footprint_bytes=footprint,
            packed_bytes=max(packed) if packed else None,
            memory_floor_ms=footprint / speed * 1e3 if speed else None,
            **self._operations(bin_s),
        )

    def _seconds(self, stage: str) -> float:
        return sum(one.seconds for one in self.stages if one.stage == stage)

    @staticmethod
    def _bytes_per_s(calibration: Mapping[str, float]) -> float | None:
        """How fast this machine read a matrix that is larger than most caches; None if nothing was calibrated."""
        before = {k.removeprefix("before."): v for k, v in calibration.items() if k.startswith("before.")}
        return bandwidth(before) * 1e9 if before else None

    def _operations(self, bin_s: float) -> dict[str, Any]:
        """Of the recording with most effective products in a bin; unknown if one recording's are."""
        known = [Operations(**s["operations"]) for s in self.seen]
        unknown = next((o for o in known if o.effective is None), None)
        dearest = unknown or max(known, key=lambda o: o.effective or 0.0)
        table = energy_model()
        return {
            "operations": dearest.how,
            "operations_why": dearest.why,
            **{f"{n}_per_s": _rate(getattr(dearest, n), bin_s) for n in ("macs", "acs", "dense", "elementwise")},
            "effective_per_bin": dearest.effective,
            "activation_sparsity": dearest.activation_sparsity,
            "connection_sparsity": dearest.connection_sparsity,
            "state_bytes": max((o.state_bytes for o in known if o.state_bytes is not None), default=None),
            "energy_nj_per_bin": energy_nj(dearest, table),
            "energy_model": f"{table.name}@{table.version}",
        }


def _rate(per_bin: float | None, bin_s: float) -> float | None:
    return None if per_bin is None else per_bin / bin_s


def worst_verdicts(seen: Sequence[Mapping[str, Any]]) -> dict[str, records.Verdict]:
    """Each audit rule's worst outcome over the recordings."""
    verdicts: dict[str, records.Verdict] = {}
    for cell in seen:
        for name, finding in cell["findings"].items():
            why = f"{cell['session']}: {finding['why']}" if finding["why"] else ""
            new = records.Verdict(ok=finding["ok"], why=why, max_difference=finding["max_difference"])
            old = verdicts.get(name)
            if old is None or _gravity(new) > _gravity(old):
                verdicts[name] = new
    return verdicts


def _gravity(verdict: records.Verdict) -> tuple[bool, float]:
    """Broken rules weigh more than kept ones, then the larger difference."""
    return not verdict.ok, verdict.max_difference or 0.0
