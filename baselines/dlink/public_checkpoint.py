"""Weights of the published CBraMod, by name, into a teacher of the `paper` preset.

Names and shapes are those of the public model's source and of a second program that reads its weights; the published
file itself was not at hand when this was written.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from baselines.dlink.teacher import Teacher
from harness import HarnessError

NAMES = {
    "embedding.hidden_patch": "patch_embedding.mask_encoding",
    "embedding.waveform": "patch_embedding.proj_in",
    "embedding.spectrum": "patch_embedding.spectral_proj.0",
    "embedding.position": "patch_embedding.positional_encoding.0",
    "layers.{i}.across_channels.enter.weight": "encoder.layers.{i}.self_attn_s.in_proj_weight",
    "layers.{i}.across_channels.enter.bias": "encoder.layers.{i}.self_attn_s.in_proj_bias",
    "layers.{i}.across_channels.leave": "encoder.layers.{i}.self_attn_s.out_proj",
    "layers.{i}.across_time.enter.weight": "encoder.layers.{i}.self_attn_t.in_proj_weight",
    "layers.{i}.across_time.enter.bias": "encoder.layers.{i}.self_attn_t.in_proj_bias",
    "layers.{i}.across_time.leave": "encoder.layers.{i}.self_attn_t.out_proj",
    "layers.{i}.widen": "encoder.layers.{i}.linear1",
    "layers.{i}.narrow": "encoder.layers.{i}.linear2",
    "layers.{i}.norm": "encoder.layers.{i}.norm1",
    "layers.{i}.perceptron_norm": "encoder.layers.{i}.norm2",
    "rebuild": "proj_out.0",
}
"""Ours -> public; `{i}` is the number of a layer, and a name stands for all that begins with it and a dot."""
WRAPPERS = ("module.", "model.", "backbone.")
"""What programs that trained the public model put before every name."""


def public_name(own: str) -> str:
    """What the public model calls one of our weights."""
    pieces = own.split(".")
    i = pieces[1] if pieces[0] == "layers" else ""
    for ours, theirs in NAMES.items():
        ours = ours.format(i=i)
        if own == ours or own.startswith(ours + "."):
            return theirs.format(i=i) + own.removeprefix(ours)
    raise KeyError(own)


def load_public(teacher: Teacher, path: str) -> None:
    """Put published weights into a teacher.

    Raises:
        HarnessError: If there is no such file, a weight is missing, or shapes differ.
    """
    found = _unwrapped(_read(Path(path)))
    own = teacher.state_dict()
    missing = [name for name in own if public_name(name) not in found]
    if missing:
        raise HarnessError(
            f"{path} lacks {len(missing)} of {len(own)} weights, {public_name(missing[0])!r} among them; it holds "
            f"{', '.join(sorted(found)[:5])}, ...; give the state dict of a pretrained CBraMod"
        )
    for name, weight in own.items():
        _check_shape(path, public_name(name), tuple(found[public_name(name)].shape), tuple(weight.shape))
    teacher.load_state_dict({name: found[public_name(name)] for name in own})


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise HarnessError(
            f"there is no file {path}; give checkpoint_path the file of a pretrained CBraMod, or leave it empty"
        )
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise HarnessError(
            f"{path} cannot be read as tensors alone ({type(error).__name__}: {error}); "
            f"save it again as a state dict with torch.save(model.state_dict(), ...)"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise HarnessError(
            f"{path} holds no mapping of names to tensors; save it with torch.save(model.state_dict(), ...)"
        )
    return found


def _unwrapped(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Names without the wrapper that all of them share, if they do."""
    found = dict(weights)
    for wrapper in WRAPPERS:
        if found and all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): weight for name, weight in found.items()}
    return found


def _check_shape(path: str, name: str, given: tuple[int, ...], wanted: tuple[int, ...]) -> None:
    if given != wanted:
        raise HarnessError(
            f"{name!r} of {path} has the shape {given} and this teacher needs {wanted}; a public checkpoint fits "
            f"preset='paper' alone (patches of 200 samples, width 200, 12 layers)"
        )
