"""`harness list`: what there is."""

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer


class What(StrEnum):
    """Kinds of things."""

    suites = "suites"
    decoders = "decoders"
    sessions = "sessions"
    profiles = "profiles"
    tracks = "tracks"
    results = "results"


def command(
    what: Annotated[What, typer.Argument(help="What to list.")],
    suite: Annotated[str, typer.Option(help="For sessions: which suite.")] = "primate-reaching",
    store: Annotated[Path, typer.Option(help="For results: which folder.")] = Path("results"),
    json_: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List suites, decoders, sessions, profiles, tracks or results."""
    from harness.cli.show import show_rows

    listings: dict[What, Callable[[], list[dict[str, str]]]] = {
        What.suites: _suites,
        What.decoders: _decoders,
        What.sessions: lambda: _sessions(suite),
        What.profiles: _profiles,
        What.tracks: _tracks,
        What.results: lambda: _results(store),
    }
    show_rows(listings[what](), as_json=json_, nothing=f"no {what.value} here")


def _suites() -> list[dict[str, str]]:
    from harness.data.shipped import heading, known_suites

    headings = [heading(path) for path in known_suites().values()]
    return [
        {"suite": h.label, "title": h.title, "tiers": ", ".join(f"{t} ({n})" for t, n in h.tiers.items())}
        for h in headings
    ]


def _decoders() -> list[dict[str, str]]:
    from harness.registry import known

    return [{"decoder": r.name, "entry point": r.entry_point, "version": r.version} for r in known().values()]


def _sessions(suite: str) -> list[dict[str, str]]:
    from harness.data.suites import load_suite

    return [
        {"session": s.id, "subject": s.subject, "group": s.group, "host": s.source.host, "tiers": ", ".join(s.tiers)}
        for s in load_suite(suite).sessions
    ]


def _profiles() -> list[dict[str, str]]:
    from harness.data.suites import shipped
    from harness.judge.profiles import load_profile

    profiles = [load_profile(path.stem) for path in sorted(shipped("profiles").glob("*.yaml"))]
    return [{"profile": f"{p.name}@{p.version}", "description": p.description} for p in profiles]


def _tracks() -> list[dict[str, str]]:
    from harness.judge.budget import BUDGETS, shipped_tracks

    def budgets(track: object) -> str:
        limits = {name: getattr(track, name) for name in BUDGETS}
        return ", ".join(f"{name} <= {limit:g}" for name, limit in limits.items() if limit is not None)

    return [{"track": t.label, "description": t.description, "budgets": budgets(t)} for t in shipped_tracks()]


def _results(store: Path) -> list[dict[str, str]]:
    from harness.results.index import rows
    from harness.results.published import open_store

    return [_result(row) for row in rows(open_store(store))] if store.is_dir() else []


def _result(row: dict[str, Any]) -> dict[str, str]:
    """One record in words; a broken one has its problem instead of a score."""
    names = ("suite", "tier", "decoder", "seed", "status")
    score = "" if row["score"] is None else f"{row['metric']} {row['score']:.2f}"
    known = {name: "" if row[name] is None else str(row[name]) for name in names}
    return {"id": (row["id"] or "")[:12], **known, "score": score, "problem": row["problem"] or ""}
