"""The documentation is run: its commands parse, its Python works, its links lead somewhere."""

import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")
ELSEWHERE = ("http://", "https://", "mailto:", "#")
SHELL = ("bash", "sh", "shell", "console")
PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for path in [
        *ROOT.glob("*.md"),
        *(p for name in ("docs", "datasets", "submissions", "leaderboard_app") for p in (ROOT / name).rglob("*.md")),
    ]
)


@dataclass(frozen=True)
class Line:
    """One shell line of a page, continuations joined."""

    page: str
    text: str


def blocks(page: str, *languages: str) -> list[str]:
    """The fenced code blocks of a page in these languages."""
    return [code for language, code in FENCE.findall((ROOT / page).read_text()) if language in languages]


def shell_lines(code: str) -> list[str]:
    """Commands of a shell block, without prompt, comments and what follows a pipe, `&&` or `;`."""
    joined = code.replace("\\\n", " ").splitlines()
    parts = [part for line in joined for part in re.split(r"&&|\||;", line.strip().removeprefix("$ "))]
    return [text for part in parts if (text := part.strip()) and not text.startswith("#")]


def documented(program: str) -> list[Line]:
    """Every use of a program in the documentation's shell blocks."""
    lines = [Line(page, text) for page in PAGES for code in blocks(page, *SHELL) for text in shell_lines(code)]
    return [line for line in lines if Path(line.text.split()[0]).name == program]


def parse(command: Any, arguments: list[str], *, name: str = "harness", parent: Any = None) -> None:
    """Parse a command line as Typer does, down to the last command, without running it."""
    context = command.make_context(name, list(arguments), parent=parent)
    if hasattr(command, "resolve_command"):
        rest = [*getattr(context, "_protected_args", []), *context.args]
        name, command, rest = command.resolve_command(context, rest)
        parse(command, rest, name=name, parent=context)


def problem_with(text: str) -> str:
    """What Typer says against a `harness ...` line; empty if nothing."""
    import typer

    from harness.cli import app

    arguments = shlex.split(text, comments=True)[1:]
    if not arguments or "--help" in arguments or "--version" in arguments:
        return ""
    try:
        parse(typer.main.get_command(app), arguments)
    except Exception as error:
        return str(error) or type(error).__name__
    return ""


@pytest.mark.parametrize("line", documented("harness"), ids=lambda line: f"{line.page}: {line.text}")
def test_a_documented_command_is_one_that_exists(line):
    problem = problem_with(line.text)
    assert not problem, f"{line.page} says `{line.text}`, but: {problem}"


@pytest.mark.parametrize(
    "text, accepted",
    [
        ("harness list suites", True),
        ("harness list suites  # all of them", True),
        ("harness eval --suite primate-reaching --tier mini", True),
        ("harness evl --suite primate-reaching", False),
        ("harness eval --sweet primate-reaching", False),
        ("harness data gt", False),
    ],
)
def test_a_command_that_does_not_exist_is_noticed(text, accepted):
    assert (problem_with(text) == "") is accepted, problem_with(text)


@pytest.mark.parametrize("line", documented("make"), ids=lambda line: f"{line.page}: {line.text}")
def test_a_documented_make_target_exists(line):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    wanted = [
        word for word in shlex.split(line.text, comments=True)[1:] if "=" not in word and not word.startswith("-")
    ]
    assert set(wanted) <= set(targets), f"{line.page} says `{line.text}`; the Makefile has: {', '.join(targets)}"


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_the_python_of_a_page_runs(page, tmp_path):
    script = tmp_path / "page.py"
    script.write_text("\n".join(blocks(page, "python")))
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"the Python of {page}, run from top to bottom, ends with:\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES)
def test_links_inside_the_repository_lead_somewhere(page):
    text = FENCE.sub("", (ROOT / page).read_text())
    targets = [a or b for a, b in LINK.findall(text) if not (a or b).startswith(ELSEWHERE)]
    missing = [t for t in targets if not ((ROOT / page).parent / t.partition("#")[0]).exists()]
    assert not missing, f"{page} links to what does not exist: {', '.join(missing)}"


@pytest.mark.parametrize(
    "what, pattern, last_line",
    [
        ("a picture", r"!\[|<img ", 5),
        ("the first command", r"^\s*(\$ )?(make|harness|pip|python3?|\.venv/bin/harness) \w", 15),
        ("the first score", r"(?<![\d.])-?0\.\d{2,3}(?![\d.])", 25),
    ],
)
def test_the_readme_comes_to_the_point(what, pattern, last_line):
    lines = (ROOT / "README.md").read_text().splitlines()
    found = [i for i, line in enumerate(lines, start=1) if re.search(pattern, line)]
    assert found and found[0] <= last_line, f"README.md needs {what} by line {last_line}; first at line {found[:1]}"


def test_continued_prompted_and_chained_shell_lines_are_all_seen():
    code = "$ harness eval \\\n  --suite a\n# harness nothing\nmake demo && harness board | cat\n"
    assert shell_lines(code) == ["harness eval    --suite a", "make demo", "harness board", "cat"]
