"""The audit in plain words: what each rule asks, and what came of it over all seeds."""

from collections.abc import Sequence

import pandas as pd

from harness.results.records import Record, Verdict

MEANING = {
    "restart_changes_nothing": "The same bins after a reset get the same answers.",
    "future_has_no_effect": "Other bins later on leave earlier answers as they are.",
    "noise_session_gives_chance": "From noise it decodes no more than chance: it does not know the recording by heart.",
    "memory_is_bounded": "What it holds in memory does not grow while it streams.",
    "step_time_is_steady": "A step late in the stream takes no longer than an early one.",
    "counted_as_judged": "While its operations are counted it answers as when it was scored.",
    "declaration_holds": "What it declares of its bits and operations can be true.",
    "same_in_two_processes": "Another process with the same artefact gives the same answers.",
    "rests_between_bins": "It does not work between an answer and the next bin, where no clock runs.",
    "parts_are_apart": "Train, validation and test share no scored bin and keep a gap.",
    "preparation_is_causal": "No bin of the prepared recording knows of a later time.",
    "same_seed_gives_same_outputs": "Fitted again with the same seed it gives the same answers.",
    "shuffled_labels_give_chance": "Fitted on labels of other times it decodes no more than chance.",
}
"""Rule -> what it asks, in short; docs/protocol.md has them as equations."""


def audited(records: Sequence[Record]) -> pd.DataFrame:
    """One row for each rule, broken ones first: `rule`, `ok`, `meaning`, `why` (of the first seed that has a word)."""
    verdicts: dict[str, list[tuple[int, Verdict]]] = {}
    for record in records:
        for rule, verdict in record.audit.items():
            verdicts.setdefault(rule, []).append((record.seed, verdict))
    order = {rule: i for i, rule in enumerate(MEANING)}
    rows = [
        {"rule": rule, "ok": all(v.ok for _, v in seen), "meaning": MEANING.get(rule, ""), "why": _why(seen)}
        for rule, seen in sorted(verdicts.items(), key=lambda item: order.get(item[0], len(order)))
    ]
    table = pd.DataFrame(rows, columns=["rule", "ok", "meaning", "why"])
    return table.sort_values("ok", kind="stable", ignore_index=True)


def _why(seen: Sequence[tuple[int, Verdict]]) -> str:
    """The word of a seed that broke the rule, else of one that could not be told."""
    said = sorted((v.ok, seed, v.why) for seed, v in seen if v.why)
    if not said:
        return ""
    _, seed, why = said[0]
    return why if len(seen) == 1 else f"seed {seed}: {why}"
