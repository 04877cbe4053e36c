"""Work of a decoder that no counting of NumPy or PyTorch operations sees: other libraries, threads, processes.

`Watch` looks at every call during a few steps. Functions compiled by Cython or Fortran and calls through ctypes
give no sign when they are called; they are recognised by their type in the globals and attributes that a function of
the decoder names.
"""

import functools
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any

import numpy as np

from harness.judge.count.tally import UncountedOperation

COUNTED_PACKAGES = ("numpy", "torch", "harness", "builtins")
CALLING_OTHERS = ("numpy", "torch", "importlib", "_frozen_importlib", "_frozen_importlib_external")
HIDING_PACKAGES = ("ctypes", "_ctypes", "multiprocessing", "_multiprocessing", "subprocess", "_posixsubprocess")
"""Of the standard library, which otherwise may be called."""
SILENT_PACKAGES = ("ctypes", "_ctypes", "_cffi_backend", "numba")
STARTING = ("start_new_thread", "start_joinable_thread", "fork", "forkpty", "posix_spawn", "posix_spawnp", "system")
"""Built-in functions that start a thread or a process."""
STANDARD_LIBRARY = Path(os.__file__).parent
HERE = Path(__file__).parent


def decoder_line(own_roots: Sequence[Path], frame: FrameType | None = None) -> str:
    """`file.py:line` of the innermost frame of the decoder, or else outside of NumPy and the judge."""
    frame = frame or sys._getframe(1)
    outside = None
    while frame is not None:
        file, line = frame.f_code.co_filename, f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
        if _inside(file, own_roots):
            return line
        if outside is None and not _inside(file, (HERE, Path(np.__file__).parent)) and not file.startswith("<"):
            outside = line
        frame = frame.f_back
    return outside or "an unknown line"


def own_modules(own_roots: Sequence[Path]) -> list[ModuleType]:
    """Modules that were imported from these folders or files."""
    loaded = list(sys.modules.values())
    return [m for m in loaded if isinstance(m, ModuleType) and _inside(getattr(m, "__file__", None), own_roots)]


class Watch:
    """Refuses work that cannot be counted, around a step or a few in this thread; it may be used again.

    own_roots: Folders or files of the decoder's Python source.

    Raises:
        UncountedOperation: Naming the first such call, also if the decoder caught the error itself.
    """

    def __init__(self, own_roots: Sequence[Path]) -> None:
        self.own_roots = own_roots
        self.refused: UncountedOperation | None = None
        self._others: dict[CodeType, str] = {}
        self._own: dict[CodeType, str] = {}

    def __enter__(self) -> "Watch":
        _refuse_running_threads(self.own_roots)
        self.refused = None
        self._own.clear()  # What its names stand for may change from step to step.
        self._before = sys.getprofile()
        sys.setprofile(self._look)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.setprofile(self._before)
        if self.refused is not None:
            raise self.refused

    def _look(self, frame: FrameType, event: str, called: Any) -> None:
        if self.refused is not None or event not in ("call", "c_call"):
            return
        foreign = self._foreign_code(frame) if event == "call" else _foreign_builtin(called)
        if foreign and not self._is_inner(frame):
            line = decoder_line(self.own_roots, frame)
            self.refused = UncountedOperation(
                f"{foreign} at {line}: what it computes is not counted; use NumPy or PyTorch there, or declare `cost()`"
            )
            raise self.refused

    def _foreign_code(self, frame: FrameType) -> str:
        code = frame.f_code
        known = self._others.get(code, self._own.get(code))
        if known is None:
            # Methods that a dataclass generates have no file, but the globals of their module.
            file = frame.f_globals.get("__file__") if code.co_filename.startswith("<") else code.co_filename
            if _inside(file, self.own_roots):
                known = self._own[code] = _silent(frame)
            else:
                name = frame.f_globals.get("__name__") or "?"
                foreign = not _is_allowed(name) or _is_site_package(code.co_filename, name)
                known = self._others[code] = f"{name}.{code.co_name}" if foreign else ""
        return known

    def _is_inner(self, frame: FrameType | None) -> bool:
        """Whether a library that is counted, or an import, needs this call for itself."""
        while frame is not None and not _inside(frame.f_code.co_filename, self.own_roots):
            if str(frame.f_globals.get("__name__")).partition(".")[0] in CALLING_OTHERS:
                return True
            frame = frame.f_back
        return False


def _silent(frame: FrameType) -> str:
    """A function named in this frame's code whose calls give no sign."""
    names = frame.f_code.co_names
    owner = frame.f_locals.get(frame.f_code.co_varnames[0]) if frame.f_code.co_argcount else None
    todo, seen = [frame.f_globals, getattr(owner, "__dict__", {})], set[int]()
    while todo:
        scope = todo.pop()
        seen.add(id(scope))
        inner = [vars(m) for name in names if isinstance(m := scope.get(name), ModuleType)]
        todo += [held for held in inner if id(held) not in seen]
        silent = [name for name in names if name in scope and _is_silent(scope[name])]
        if silent:
            kind = type(scope[silent[0]])
            return f"{silent[0]} ({kind.__module__}.{kind.__name__})"
    return ""


def _is_silent(held: Any) -> bool:
    kind = type(held)
    compiled = kind.__name__ == "fortran" or kind.__module__.startswith("_cython")
    ours = str(getattr(held, "__module__", None)).partition(".")[0] in COUNTED_PACKAGES
    return (compiled and not ours) or kind.__module__.partition(".")[0] in SILENT_PACKAGES


def _foreign_builtin(called: Any) -> str:
    owner = getattr(called, "__self__", None)
    module = getattr(called, "__module__", None) or type(owner).__module__
    name = getattr(called, "__name__", "?")
    starts = name in STARTING and module in ("_thread", "posix", "nt")
    return f"{module}.{name}" if starts or not _is_allowed(module) else ""


def _is_allowed(module: str) -> bool:
    top = module.partition(".")[0]
    return top not in HIDING_PACKAGES and (top in COUNTED_PACKAGES or top in sys.stdlib_module_names)


def _is_site_package(file: str, name: str) -> bool:
    """Whether a file only calls itself after the standard library."""
    if file.startswith("<") or name.partition(".")[0] in COUNTED_PACKAGES:
        return False
    return not _inside(file, (STANDARD_LIBRARY,)) or "site-packages" in file


def _refuse_running_threads(own_roots: Sequence[Path]) -> None:
    others = sys._current_frames()
    # A frame that refers to itself would keep all that called it, and the decoder with that.
    del others[threading.get_ident()]
    for top in others.values():
        frame: FrameType | None = top
        while frame is not None:
            if _inside(frame.f_code.co_filename, own_roots):
                raise UncountedOperation(
                    f"a thread runs at {Path(frame.f_code.co_filename).name}:{frame.f_lineno}: what it computes is "
                    f"not counted; do the work in `step`, or declare `cost()`"
                )
            frame = frame.f_back


def _inside(file: str | None, roots: Sequence[Path]) -> bool:
    names, beginnings = _named(tuple(roots))
    return file is not None and (file in names or file.startswith(beginnings))


@functools.lru_cache
def _named(roots: tuple[Path, ...]) -> tuple[frozenset[str], tuple[str, ...]]:
    """Names of these files or folders, and how names of what is in them begin."""
    names = frozenset(map(str, roots))
    return names, tuple(f"{name}{os.sep}" for name in names)
