"""The terms that a student learns by, each alone.

Features are (batch, n_channels, n_patches, width), spectra are over the axis of patches.
"""

from typing import Any

import torch

SMOOTHING = 0.1
"""Of labels."""
TEMPERATURE = 2.0
SPECTRUM_PATCHES = 16
"""Shorter rows of patches are padded with zeros to so many."""
SMOOTH_L1 = 0.5


def label_loss(scores: Any, labels: Any) -> Any:
    """Cross entropy with smoothed labels of the windows that have one (label >= 0); 0 if none has."""
    found = torch.nn.functional.cross_entropy(
        scores, labels, ignore_index=-1, label_smoothing=SMOOTHING, reduction="sum"
    )
    return found / (labels >= 0).sum().clamp(min=1)


def answer_loss(taught: Any, scores: Any) -> Any:
    """tau^2 KL(teacher || student) of softened answers, (batch, n_classes) logits each."""
    teacher = torch.log_softmax(taught / TEMPERATURE, dim=-1)
    student = torch.log_softmax(scores / TEMPERATURE, dim=-1)
    divergence = torch.nn.functional.kl_div(student, teacher, reduction="batchmean", log_target=True)
    return TEMPERATURE**2 * divergence


def mimic_loss(imitation: Any, lesson: Any) -> Any:
    """1 - cosine of features, and half a smooth L1 distance of the same normalised."""
    alignment = 1 - torch.nn.functional.cosine_similarity(imitation, lesson, dim=-1)
    normal = [torch.nn.functional.layer_norm(x, x.shape[-1:]) for x in (imitation, lesson)]
    return alignment.mean() + SMOOTH_L1 * torch.nn.functional.smooth_l1_loss(*normal)


def spectra(features: Any) -> Any:
    """Complex spectra over patches: (batch, n_channels, n_frequencies, width)."""
    return torch.fft.rfft(features, n=max(SPECTRUM_PATCHES, features.shape[2]), dim=2)


def magnitude_loss(imitation: Any, lesson: Any) -> Any:
    """Mean distance of log(1 + magnitude); both (batch, n_channels, n_frequencies, width), complex."""
    return (torch.log1p(magnitude(lesson)) - torch.log1p(magnitude(imitation))).abs().mean()


def phase_loss(imitation: Any, lesson: Any) -> Any:
    """1 - cosine of the difference in phase, weighted by the lesson's magnitude along frequencies; complex spectra."""
    size = magnitude(lesson)
    agreement = (lesson * imitation.conj()).real / (size * magnitude(imitation))
    weights = size / size.sum(dim=2, keepdim=True)
    return (weights * (1 - agreement)).sum(dim=2).mean()


def magnitude(spectrum: Any) -> Any:
    """|x|, with a gradient where x is 0."""
    return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-8)
