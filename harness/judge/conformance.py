"""`harness check`: holds one decoder to the contract, on tiny made-up data, rule by rule."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from harness.decoder import Decoder
from harness.judge import conformance_budget as budget
from harness.judge import conformance_long as long
from harness.judge import conformance_rules as rules
from harness.judge import conformance_stages as stages
from harness.judge.conformance_case import Case, describe
from harness.registry import DecoderRef

Status = Literal["ok", "failed", "skipped"]
Capability = Literal["any", "causal", "deterministic", "pretrains", "adapts"]


@dataclass(frozen=True)
class Check:
    """One rule: a function that returns what it measured, or raises.

    needs: Which decoders it applies to.
    gate: Whether all later checks would be meaningless if this one fails.
    """

    run: Callable[[Case], str]
    needs: Capability = "any"
    gate: bool = False

    @property
    def name(self) -> str:
        return self.run.__name__

    @property
    def rule(self) -> str:
        return (inspect.getdoc(self.run) or "").partition("\n")[0]


@dataclass(frozen=True)
class CheckResult:
    """What became of one check. `message` holds the numbers, or what was broken and what to do."""

    name: str
    rule: str
    status: Status
    message: str


CHECKS: tuple[Check, ...] = (
    Check(rules.parameters_are_plain),
    Check(rules.fit_runs, gate=True),
    Check(rules.answers_are_finite_rows, gate=True),
    Check(rules.reset_forgets, "causal", gate=True),
    Check(rules.unscored_targets_are_ignored),
    Check(rules.fit_keeps_parameters),
    Check(rules.step_leaves_its_input_alone, "causal"),
    Check(rules.input_is_not_kept, "causal"),
    Check(rules.earlier_answers_stay, "causal"),
    Check(rules.answer_is_not_shared, "causal"),
    Check(rules.same_seed_gives_same_answers),
    Check(rules.seed_is_idle_if_deterministic, "deterministic"),
    Check(rules.predict_equals_step, "causal"),
    Check(rules.prefix_gives_prefix, "causal"),
    Check(rules.future_has_no_effect, "causal"),
    Check(rules.state_is_arrays),
    Check(rules.state_survives_a_fresh_process),
    Check(rules.empty_bins_are_answered),
    Check(stages.delay_is_whole_bins),
    Check(stages.unlabelled_pretraining_is_survived, "pretrains"),
    Check(stages.adapts_to_a_new_session, "adapts"),
    Check(long.long_segment_is_answered),
    Check(long.memory_is_bounded, "causal"),
    Check(long.step_time_is_steady, "causal"),
    Check(budget.size_fits_tracks),
)

NOT_APPLICABLE: Mapping[Capability, str] = {
    "causal": "causal = False: ranked on the offline track only, never on causal, realtime or implant",
    "deterministic": "deterministic = False: every seed is run",
    "pretrains": "has no pretrain: a suite's pretraining is skipped",
    "adapts": "has no adapt: new sessions are answered with what was fitted on others",
}


def run_checks(ref: DecoderRef, settings: Mapping[str, Any]) -> list[CheckResult]:
    """Hold a decoder to every rule. This runs the decoder author's code in this process.

    Args:
        ref: Which decoder.
        settings: Hyper-parameters, as values or as text.

    Raises:
        DecoderError: If the decoder cannot be imported.
        UsageError: If a setting does not fit it.
    """
    return list(iter_checks(ref, settings))


def iter_checks(ref: DecoderRef, settings: Mapping[str, Any]) -> Iterator[CheckResult]:
    """`run_checks`, one result as soon as it is there."""
    case = Case(ref, settings)
    closed_gate = ""
    for check in CHECKS:
        if closed_gate:
            result = CheckResult(check.name, check.rule, "skipped", f"needs {closed_gate}")
        elif not applies(check, case.kind, pretrains=case.has_pretraining):
            result = CheckResult(check.name, check.rule, "skipped", NOT_APPLICABLE[check.needs])
        else:
            result = _result(check, case)
        if check.gate and result.status == "failed":
            closed_gate = check.name
        yield result


def applies(check: Check, kind: type[Decoder], *, pretrains: bool = False) -> bool:
    """Whether a check has something to say about this kind of decoder."""
    return {
        "any": True,
        "causal": kind.causal,
        "deterministic": kind.deterministic,
        "pretrains": pretrains,
        "adapts": kind.adapt is not Decoder.adapt and kind.causal,
    }[check.needs]


def _result(check: Check, case: Case) -> CheckResult:
    # The decoder's code may raise anything; whatever it is, it is this check's finding.
    try:
        return CheckResult(check.name, check.rule, "ok", check.run(case))
    except (Exception, SystemExit) as error:
        return CheckResult(check.name, check.rule, "failed", describe(error))
