"""The judge of the Neural Decoder Harness, and the public face for decoder authors."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.adapters.falcon import from_falcon
    from harness.adapters.sklearn import from_sklearn
    from harness.adapters.torch import from_torch
    from harness.decoder import Decoder
    from harness.errors import HarnessError
    from harness.types import Bin, Cost, Delay, Inputs, Recording, SessionInfo, StreamInfo

__version__ = "0.1.0"

__all__ = [
    "Bin",
    "Cost",
    "Decoder",
    "Delay",
    "HarnessError",
    "Inputs",
    "Recording",
    "SessionInfo",
    "StreamInfo",
    "from_falcon",
    "from_sklearn",
    "from_torch",
]


_HOMES = {
    "harness.decoder": ("Decoder",),
    "harness.errors": ("HarnessError",),
    "harness.types": ("Bin", "Cost", "Delay", "Inputs", "Recording", "SessionInfo", "StreamInfo"),
    "harness.adapters.falcon": ("from_falcon",),
    "harness.adapters.sklearn": ("from_sklearn",),
    "harness.adapters.torch": ("from_torch",),
}


def __getattr__(name: str) -> Any:
    """Load a public name when it is asked for: types bring NumPy, adapters PyTorch or SciPy, `--help` needs none."""
    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = getattr(importlib.import_module(module), name)
            return globals()[name]
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
