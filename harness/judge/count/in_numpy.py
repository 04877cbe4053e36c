"""Counting what a decoder computes in NumPy.

Once a `NumpyCounter` is installed, what a decoder makes is a `Counted` array, which tells of each call of NumPy.
Values are computed on plain views, so they are the same bits. In a counted bin three things are refused, since their
operations would be missing: functions of which no cost is known, arrays that were made where nobody could see how,
and many numbers that leave NumPy for Python's own arithmetic.

Not seen are products of the few numbers that may leave (`float(x)`, results of `math`), of memory read through the
buffer protocol or `np.nditer`, and calls without any counted operand whose result enters no later operation.
"""

import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from harness.judge.count.foreign import own_modules
from harness.judge.count.numpy_arrays import Counted, Plain, switch_off, switch_on
from harness.judge.count.numpy_calls import Calls
from harness.judge.count.numpy_products import Books
from harness.judge.count.numpy_tables import MAKERS, named
from harness.judge.count.tally import Tally


class NumpyCounter:
    """Sees the operations of one decoder in this process; one is installed at a time.

    own_roots: Folders or files of the decoder's source. Names in its modules are replaced too (`from numpy import
        zeros`), and a refusal names the line there.
    """

    def __init__(self, own_roots: Sequence[Path] = ()) -> None:
        self._own_roots = own_roots
        self._calls = Calls(own_roots)
        self._storages: Collection[int] = ()
        self._replaced: list[tuple[Any, str, Any, Any]] = []

    def install(self) -> None:
        """From now on, arrays that are made through NumPy's namespace are counted ones."""
        Counted.calls = self._calls
        makers = {id(make): self._making(make) for make in named(MAKERS)}
        for owner in (np, *own_modules(self._own_roots)):
            for name, value in list(vars(owner).items()):
                if id(value) in makers:
                    self._replace(owner, name, makers[id(value)])
            if owner is not np:
                self.adopt(owner)
        self._watch_torch()

    def uninstall(self) -> None:
        """NumPy is as it was; counted arrays that are left stay usable."""
        while self._replaced:
            owner, name, before, now = self._replaced.pop()
            if getattr(owner, name, None) is now:
                setattr(owner, name, before)

    def __enter__(self) -> "NumpyCounter":
        self.install()
        return self

    def __exit__(self, *_: object) -> None:
        self.uninstall()

    def wrap(self, arrays: Mapping[str, Plain], *, learned: bool) -> dict[str, Plain]:
        """The same memory as counted arrays; `learned`: they come from the artefact."""
        for array in arrays.values() if learned else ():
            self._calls.learned.add(array)
        return {name: array.view(Counted) for name, array in arrays.items()}

    def adopt(self, owner: object) -> None:
        """Make plain arrays among the attributes of a module, class or object counted ones, until `uninstall`."""
        for name, value in list(getattr(owner, "__dict__", {}).items()):
            if type(value) is np.ndarray:
                self._replace(owner, name, value.view(Counted))
            elif isinstance(value, type) and value.__module__ == getattr(owner, "__name__", None):
                self.adopt(value)

    def learn_storages(self, pointers: Collection[int]) -> None:
        """Data pointers of PyTorch's learned tensors: their `.numpy()` is learned as well."""
        self._storages = frozenset(pointers)

    def check_answer(self, answer: object) -> None:
        """Refuse, in a counted bin, an answer that was made where nobody saw how.

        Raises:
            UncountedOperation: If it is an array, and no counted one.
        """
        self._calls.refuse_plain(answer)

    @contextmanager
    def on(self, tally: Tally) -> Iterator[None]:
        """Count into `tally`: around one `step` and the look at its answer."""
        self._watch_torch()
        self._calls.begin(Books(tally, self._calls.learned))
        switch_on()
        try:
            yield
        finally:
            switch_off()
            self._calls.books = None

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        self._replaced.append((owner, name, getattr(owner, name), value))
        setattr(owner, name, value)

    def _making(self, make: Callable[..., Any]) -> Callable[..., Any]:
        calls = self._calls

        @functools.wraps(make)
        def made(*args: Any, **kwargs: Any) -> Any:
            if calls.busy:
                return make(*args, **kwargs)
            source = args[0] if args else None
            calls.refuse_plain(source)
            result = make(*args, **kwargs)
            if type(result) is np.ndarray:
                result = result.view(Counted)
            keeps = type(source) is Counted and not make.__name__.endswith("_like")
            return calls.same_values(source, result) if keeps else result

        return made

    def _watch_torch(self) -> None:
        torch = sys.modules.get("torch")
        if torch is None or any(owner is torch.Tensor for owner, *_ in self._replaced):
            return
        inherited = torch.Tensor.numpy

        def numpy(tensor: Any, **options: Any) -> Any:
            array = inherited(tensor, **options)
            if self._storages and tensor.untyped_storage().data_ptr() in self._storages:
                self._calls.learned.add(array)
            return array if self._calls.busy else array.view(Counted)

        self._replace(torch.Tensor, "numpy", numpy)
