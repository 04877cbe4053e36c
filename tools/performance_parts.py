"""The parts of docs/performance.md about this project alone: its targets, and how training spends its time."""

from collections.abc import Iterator, Mapping
from typing import Any

from tools import markdown
from tools.bench_table import is_met, table


def targets(found: Mapping[str, Any]) -> Iterator[str]:
    """What `make bench` says.

    Args:
        found: As `tools.bench_table.record_of` makes it.
    """
    rows, machine = found["rows"], found["machine"]
    missed = [row for row in rows if not is_met(row)]
    yield "## Targets"
    yield (
        f"`{found['command']}` measures them, with pytest-benchmark files in `tests/perf`; measured {found['date']} on "
        f"{machine['processor']}, {machine['cores']} cores, Python {found['python']}, at commit `{found['commit']}` "
        f"([docs/results/bench.json](results/bench.json)). {len(rows) - len(missed)} of {len(rows)} are met."
    )
    yield table(rows)


def learning(found: Mapping[str, Any]) -> Iterator[str]:
    """How long an update takes, and what takes it.

    Args:
        found: As `tools/training_profile.py --keep` writes it.
    """
    yield "## Training"
    yield (
        "`tools/training_profile.py`, preset `small`, one thread, processor time. *Arithmetic* is the time that the "
        "products and convolutions of an update, forward and backward, would take at the rate of a large matrix "
        "product in the same run; what is above it goes into element-wise operations, products of small matrices, "
        "random masks and the optimiser."
    )
    heads = ("decoder", "loop", "ms an update", "GFLOP", "arithmetic ms", "times the arithmetic")
    yield markdown.table(heads, [[one["decoder"], one["name"], *_numbers(one)] for one in found["loops"]])
    shares = [[one["decoder"], f"{one['outside']:.0%}", _most(one)] for one in found["profiles"]]
    yield markdown.table(("decoder", "outside of PyTorch", "operations that take most"), shares)
    yield _equal_preset(found["loops"])


def _numbers(loop: Mapping[str, Any]) -> list[str]:
    times = loop["ms"] / loop["bare_ms"]
    return [f"{loop['ms']:.1f}", f"{loop['gflop']:.2f}", f"{loop['bare_ms']:.1f}", f"{times:.1f}"]


def _most(profiled: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.removeprefix('aten::')} {share:.0%}" for name, share in profiled["most"].items())


def _equal_preset(loops: list[Mapping[str, Any]]) -> str:
    """REALM's student against the cross-modal one."""
    ms = {(one["decoder"], one["name"].partition(".")[2]): one["ms"] for one in loops}
    realm = ms["realm", "learn_from_teacher"]
    other = ms["crossmodal-causal", "distil"]
    return (
        f"The two LFP students at equal preset: an update of REALM's distillation takes {realm:.1f} ms, one of the "
        f"cross-modal student {other:.1f} ms: {realm / other:.2f} of it. How long each trains in all is the presets' "
        f"choice, see [docs/results/lfp.md](results/lfp.md)."
    )
