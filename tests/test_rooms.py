"""The house rules: who may import whom, where heavy libraries live, how large things grow."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import harness

ROOT = Path(__file__).parent.parent
PACKAGES = ("harness", "baselines", "leaderboard_app", "tools")
FLOORS = (
    ("errors", "types"),
    ("checkpoint", "disk"),
    ("locks",),
    ("decoder",),
    ("optimiser", "registry"),
    ("torch_training",),
    ("torch_decoder",),
    ("adapters", "data", "score", "source"),
    ("judge",),
    ("results",),
    ("engine",),
    ("plan",),
    ("learning",),
    ("lessons", "work"),
    ("cluster",),
    ("rounds",),
    ("evaluate",),
    ("again",),
    ("verify",),
    ("submit", "new"),
    ("cli",),
    ("__main__",),
)
"""From the bottom to the top: a room imports itself and lower floors only."""
HEIGHT = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
HEAVY_ROOMS = {
    "h5py": ("harness/data/nwb", "harness/data/mat.py"),
    "pynwb": ("harness/data/nwb",),
    "hdmf": ("harness/data/nwb",),
    "torch": (
        *("baselines/", "harness/optimiser.py", "harness/torch_decoder.py"),
        *("harness/torch_training.py", "harness/adapters/torch.py"),
        "harness/judge/count/",
    ),
    "streamlit": ("leaderboard_app/",),
    "altair": ("leaderboard_app/",),
    "vl_convert": ("leaderboard_app/",),
    "distributed": ("harness/cluster/",),
    "dask_jobqueue": ("harness/cluster/",),
}
"""Library -> the only files that may import it; tests and tools are free."""
RESULTS_READ = ("records", "store", "index", "shown", "published", "reading", "receipts", "signing", "names")
DATA_READ = ("cards", "contamination", "shipped")
"""Modules of harness.results and harness.data that the leaderboard may use: none of them runs a decoder."""
MOST_LINES = {"harness/judge/stream.py": 80, "leaderboard_app/app.py": 150}
FILES = sorted(path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*.py"))

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def nodes(source: str) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(source)))


def imports(source: str) -> list[str]:
    """Dotted names that a module imports, anywhere in it: `from a import b` gives `a.b`."""
    names: list[str] = []
    for node in nodes(source):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            names += [f"{start}.{alias.name}" for alias in node.names]
    return names


def room(dotted: str) -> str:
    """`harness.data.nwb` -> data; names of the public face live at the bottom."""
    part = dotted.partition(".")[2].partition(".")[0]
    return part if part in HEIGHT else "types"


def upward(file: str, source: str) -> list[str]:
    """Imports of a file in harness/ that climb, or leave harness for a package that is built on it."""
    own = room(file.removesuffix(".py").replace("/", "."))
    wrong = []
    for name in imports(source):
        top = name.split(".")[0]
        climbs = top == "harness" and room(name) != own and HEIGHT[room(name)] >= HEIGHT[own]
        if climbs or top in ("baselines", "submissions", "leaderboard_app", "tests", "tools", ""):
            wrong.append(name)
    return wrong


def foreign(file: str, source: str) -> list[str]:
    """Imports of harness and neighbours that baselines and the leaderboard are not allowed."""
    kept = (f"harness.results.{name}" for name in RESULTS_READ)
    rules_and_words = ("harness.score", "harness.judge.budget", *(f"harness.data.{name}" for name in DATA_READ))
    allowed = {
        "baselines/": (
            *("baselines", "harness.optimiser", "harness.torch_decoder", "harness.torch_training"),
            *(f"harness.{name}" for name in harness.__all__),
        ),
        "leaderboard_app/": ("leaderboard_app", "harness.errors", *kept, *rules_and_words),
    }
    rules = next(names for start, names in allowed.items() if file.startswith(start))
    ours = (n for n in imports(source) if n.split(".")[0] in ("", *PACKAGES, "submissions"))
    return [n for n in ours if not any(n == rule or n.startswith(f"{rule}.") for rule in rules)]


def out_of_room(file: str, source: str) -> list[str]:
    """Heavy libraries that a file imports though their room is elsewhere."""
    used = {name.split(".")[0] for name in imports(source)} & set(HEAVY_ROOMS)
    return sorted(lib for lib in used if not file.startswith((*HEAVY_ROOMS[lib], "tools/")))


def body_lines(function: Function) -> int:
    """Lines of a function's body without its docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def n_arguments(function: Function) -> int:
    a = function.args
    names = [x.arg for x in (*a.posonlyargs, *a.args, *a.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def functions(file: str) -> Iterator[Function]:
    return (node for node in nodes(read(file)) if isinstance(node, Function))


@cache
def read(file: str) -> str:
    return (ROOT / file).read_text()


def test_imports_inside_harness_go_down_only():
    files = [f for f in FILES if f.startswith("harness/") and f != "harness/__init__.py"]
    assert {f: upward(f, read(f)) for f in files if upward(f, read(f))} == {}


def test_every_room_of_harness_has_a_floor():
    rooms = {Path(file).parts[1].removesuffix(".py") for file in FILES if file.startswith("harness/")}
    assert rooms - {"__init__"} <= set(HEIGHT)


def test_decoders_and_leaderboard_use_only_what_they_may_know():
    files = [f for f in FILES if f.startswith(("baselines/", "leaderboard_app/"))]
    assert {f: foreign(f, read(f)) for f in files if foreign(f, read(f))} == {}


def test_heavy_libraries_stay_in_their_rooms():
    assert {f: out_of_room(f, read(f)) for f in FILES if out_of_room(f, read(f))} == {}


@pytest.mark.parametrize(
    "file, source, caught",
    [
        ("harness/data/x.py", "from harness.judge import stream", True),
        ("harness/data/x.py", "from harness import judge", True),
        ("harness/data/x.py", "def f():\n    import harness.cli.eval", True),
        ("harness/score/x.py", "from harness.data.suites import Suite", True),
        ("harness/judge/x.py", "import baselines", True),
        ("harness/judge/x.py", "from ..results import store", True),
        ("harness/judge/x.py", "from harness.data.suites import Suite", False),
        ("harness/judge/x.py", "import harness\nfrom harness import Inputs\nfrom harness.judge import wire", False),
    ],
)
def test_the_import_rule_catches_a_climb(file, source, caught):
    assert bool(upward(file, source)) is caught


@pytest.mark.parametrize(
    "file, source, caught",
    [
        ("baselines/x.py", "from harness.types import Inputs", True),
        ("baselines/x.py", "from harness import registry", True),
        ("baselines/x.py", "from harness import Decoder\nfrom harness.torch_decoder import train", False),
        ("leaderboard_app/x.py", "from harness.judge.host import Worker", True),
        ("leaderboard_app/x.py", "import baselines.gru", True),
        ("leaderboard_app/x.py", "from harness.results.store import Store", False),
    ],
)
def test_the_neighbour_rule_catches_a_private_import(file, source, caught):
    assert bool(foreign(file, source)) is caught


def test_the_heavy_rule_catches_an_import_inside_a_function():
    assert out_of_room("harness/judge/x.py", "def f():\n    from torch import nn\n    import h5py") == ["h5py", "torch"]
    assert out_of_room("harness/data/nwb_file.py", "import h5py") == []


def test_no_module_is_longer_than_its_limit():
    lines = {f: len(read(f).splitlines()) for f in FILES}
    assert {f: n for f, n in lines.items() if n > MOST_LINES.get(f, 300)} == {}


def test_no_function_body_is_longer_than_fifty_lines():
    assert [(f, one.name) for f in FILES for one in functions(f) if body_lines(one) > 50] == []


def test_no_function_outside_the_command_line_takes_more_than_six_arguments():
    files = [f for f in FILES if not f.startswith("harness/cli/")]
    assert [(f, one.name) for f in files for one in functions(f) if n_arguments(one) > 6] == []


def test_sizes_are_counted_without_docstring_and_self():
    node = ast.parse('def f(self, a, /, b, *, c):\n    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n').body[0]
    assert isinstance(node, ast.FunctionDef)
    assert (body_lines(node), n_arguments(node)) == (2, 3)


def test_the_folder_datasets_holds_no_python():
    assert list((ROOT / "datasets").rglob("*.py")) == []


def test_the_folder_datasets_does_not_shadow_the_package_of_that_name():
    code = "import datasets; print(datasets.Dataset.__name__)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("Dataset\n", 0), done.stderr
