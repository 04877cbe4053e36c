"""`harness hardware`: what this machine is, which profiles it can serve, and how fast it is."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from harness.judge.profiles import Profile

SAME = 1.05


def command(
    profile: Annotated[str | None, typer.Option(help="One profile, by name or YAML file, instead of all.")] = None,
    seconds: Annotated[float, typer.Option(min=0, help="How long to calibrate; 0: as short as around a run.")] = 1.0,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the machine, the profiles that it can serve, and its speed beside the reference machine's."""
    import json

    from harness.judge.profiles import known_profiles, load_profile

    profiles = [load_profile(name) for name in ([profile] if profile else known_profiles())]
    found = survey(profiles, seconds=seconds)
    if json_:
        typer.echo(json.dumps(found, indent=1))
    else:
        _show(found)


def survey(profiles: "list[Profile]", *, seconds: float) -> dict[str, Any]:
    """All that the command tells, for machines; the speed is of one pinned core, for so many seconds."""
    import os

    from harness.judge import hardware, sandbox

    with hardware.pinned(1), hardware.Guard() as guard:
        kernels = hardware.calibrate(seconds)
    return {
        "machine": hardware.fingerprint(),
        "isolation": {"level": sandbox.isolation(), "why": sandbox.why_no_sandbox()},
        "busy": {"now": guard.noisy, "why": guard.why, "load_1min": os.getloadavg()[0]},
        "calibration": kernels | {"memory_gb_per_s": hardware.bandwidth(kernels)},
        "profiles": [_served(p, kernels) for p in profiles],
    }


def compared(ratio: float) -> str:
    """A ratio of times, this machine's to the reference's, in words."""
    if max(ratio, 1 / ratio) < SAME:
        return "the same"
    return f"{ratio:.1f}x slower" if ratio > 1 else f"{1 / ratio:.1f}x faster"


def _served(profile: "Profile", kernels: dict[str, float]) -> dict[str, Any]:
    from harness.judge.hardware import why_not_served

    why, reference = why_not_served(profile), profile.reference
    times = reference.calibration.model_dump() if reference else {}
    return {
        "profile": profile.label,
        "served": not why,
        "why_not": why,
        "reference": reference.model_dump() if reference else None,
        "ratios": {name: kernels[name] / ms for name, ms in times.items()},
    }


def _show(found: dict[str, Any]) -> None:
    from harness.cli.show import show_rows

    isolation, busy, profiles = found["isolation"], found["busy"], found["profiles"]
    facts = {name: str(value) for name, value in found["machine"].items()} | {
        "isolation": f"{isolation['level']}{': ' if isolation['why'] else ''}{isolation['why']}",
        "busy now": f"{busy['why'] or 'no'} (load of the last minute: {busy['load_1min']:.2f})",
    }
    show_rows([{"machine": k, "": v} for k, v in facts.items()], as_json=False, nothing="")
    typer.echo()
    rows = [{"profile": p["profile"], "served here": "yes" if p["served"] else f"no: {p['why_not']}"} for p in profiles]
    show_rows(rows, as_json=False, nothing="")
    typer.echo()
    kernels = [_kernel_row(name, value, profiles) for name, value in found["calibration"].items()]
    show_rows(kernels, as_json=False, nothing="")
    references = [p["reference"] for p in profiles if p["reference"]]
    for machine, command in dict.fromkeys((r["machine"], r["command"]) for r in references):
        typer.echo(f"\nCompared with {machine}, measured by `{command}`.")


def _kernel_row(name: str, value: float, profiles: list[dict[str, Any]]) -> dict[str, str]:
    """One kernel here, and beside each profile's reference."""
    words = {p["profile"]: compared(p["ratios"][name]) if name in p["ratios"] else "" for p in profiles}
    return {"one core": name, "here": f"{value:.3g}", **words}
