"""How a student learns from a frozen teacher's layers and answers, and from labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.dlink.losses import (
    answer_loss,
    label_loss,
    magnitude_loss,
    mimic_loss,
    phase_loss,
    spectra,
)
from baselines.dlink.router import LayerChoice, Router, entropy_shortfall, mixed
from baselines.dlink.student import Output, Student, stretching
from baselines.dlink.teacher import Teacher
from baselines.dlink.windows import Pool
from baselines.pretraining import Objective, Recipe, Training, device_to_train_on

BATCH_WINDOWS = 16
ENTROPY = 1.0
PROBE_DROPOUT = 0.5
IMITATION_FIRST = 0.2
"""Share of the updates before labels and the teacher's answers count: 10 epochs of 50."""


@dataclass(frozen=True)
class Terms:
    """Weights of the terms; cross entropy with labels has weight 1.

    answers: The teacher's answers. mimic: its features. spectral: their spectra over patches.
    compressed: The same of the map after compression. phase: of the phases, relative to that of the magnitudes.
    """

    answers: float = 1.0
    mimic: float = 1.0
    spectral: float = 0.5
    compressed: float = 0.25
    phase: float = 0.1


@dataclass(frozen=True)
class Lessons:
    """Windows, and what a frozen teacher says of each; asked once, before training.

    embedding: (n_windows, width) float32, mean over tokens.
    hidden: (n_windows, n_layers, n_channels, n_patches, width) float16.
    scores: (n_windows, n_classes) float32; None from a teacher that has learned no classes.
    """

    pool: Pool
    embedding: np.ndarray
    hidden: np.ndarray
    scores: np.ndarray | None


class Pupil(torch.nn.Module):
    """A student with what only its training needs: the router, and a probe that reads labels from mixed layers."""

    def __init__(self, student: Student, router: Router, n_patches: int):
        super().__init__()
        self.student, self.router = student, router
        if router.learns:
            n_features = student.spatial.in_features * router.width
            self.probe = torch.nn.Sequential(
                torch.nn.Dropout(PROBE_DROPOUT), torch.nn.Linear(n_features, student.head.out_features)
            )
        self.stretch: Any
        stretch = torch.from_numpy(stretching(n_patches, -(-n_patches // 2)))
        self.register_buffer("stretch", stretch, persistent=False)


def lessons_of(teacher: Teacher, head: Any, pool: Pool, *, last_only: bool) -> Lessons:
    """Ask the frozen teacher about every window.

    last_only: Keep the last layer alone, where no other is looked at.
    """
    device = device_to_train_on()
    teacher.eval().to(device)
    embedding, hidden, scores = [], [], []
    with torch.no_grad():
        for i in range(0, len(pool.windows), BATCH_WINDOWS):
            numbers = np.arange(i, min(i + BATCH_WINDOWS, len(pool.windows)))
            layers = teacher(teacher.patches(pool.values(numbers, device)))
            embedding.append(layers.embedding.mean(dim=(1, 2)).cpu().numpy())
            kept = layers.hidden[-1:] if last_only else layers.hidden
            hidden.append(torch.stack(kept, dim=1).half().cpu().numpy())
            scores += [] if head is None else [head.eval().to(device)(layers.hidden[-1]).cpu().numpy()]
    teacher.cpu()
    return Lessons(pool, np.concatenate(embedding), np.concatenate(hidden), np.concatenate(scores) if scores else None)


def learn_from_teacher(
    student: Student, lessons: Lessons, recipe: Recipe, *, terms: Terms, layers: LayerChoice, how: Mapping[str, Any]
) -> np.ndarray:
    """Train a student in place.

    Args:
        student: New.
        lessons: What it learns from.
        recipe: Length and pace.
        terms: Weights of the loss.
        layers: How the teacher's layers are mixed.
        how: `seed`, and `checkpoint` as `harness.Decoder.checkpoint`.

    Returns:
        (n_layers,) float32 mean weight of each layer over the windows learned from; empty if nothing is imitated.
    """
    device, pool = device_to_train_on(), lessons.pool
    pupil = Pupil(student, Router(layers, lessons.hidden.shape[-1]), student.clock.n_patches).to(device)

    def loss(numbers: np.ndarray, rng: np.random.Generator) -> Any:
        # What is held out is measured with all terms from the beginning, so that looks can be compared.
        is_early = pupil.training and training.done < IMITATION_FIRST * training.n_updates
        given = Given(lessons, numbers, device)
        return distillation_loss(pupil, given, terms, only_imitation=is_early and bool(student.teacher_width))

    training = Training(Objective(pupil, loss, pool.learned, pool.held_out), recipe, seed=how["seed"])
    training.run(how["checkpoint"])
    weights = mean_router(pupil, lessons, device) if student.teacher_width else np.zeros(0, np.float32)
    student.cpu()
    return weights


class Given:
    """What a batch is made of, as tensors; see `Lessons` for shapes."""

    def __init__(self, lessons: Lessons, numbers: np.ndarray, device: str):
        self.samples = lessons.pool.values(numbers, device)
        self.labels = lessons.pool.classes(numbers, device)
        self.embedding = torch.from_numpy(lessons.embedding[numbers]).to(device)
        self.hidden = torch.from_numpy(lessons.hidden[numbers]).to(device).float()
        self.scores = None if lessons.scores is None else torch.from_numpy(lessons.scores[numbers]).to(device)


def distillation_loss(pupil: Pupil, given: Given, terms: Terms, *, only_imitation: bool) -> Any:
    """The weighted sum of the terms; those of labels and answers are left out where there are none."""
    output = pupil.student(given.samples)
    total = imitation_loss(pupil, output, given, terms) if output.imitation is not None else 0 * output.scores.sum()
    if only_imitation:
        return total
    total = total + label_loss(output.scores, given.labels)
    return total if given.scores is None else total + terms.answers * answer_loss(given.scores, output.scores)


def imitation_loss(pupil: Pupil, output: Output, given: Given, terms: Terms) -> Any:
    """The terms that look at features, and those that the router learns from.

    The student does not move the lesson: else the router would choose the layer that is easiest to imitate.
    """
    weights, soft = pupil.router(given.embedding, given.hidden.flatten(2, 3))
    lesson = mixed(weights, given.hidden)
    # Of what is held out, the student's terms alone are measured: the probe shall not say when it stops.
    routing = routing_loss(pupil, lesson, soft, given) if pupil.router.learns and pupil.training else 0.0
    lesson = lesson.detach()
    total = routing + terms.mimic * mimic_loss(output.imitation, lesson)
    if terms.spectral:
        total = total + terms.spectral * spectral_loss(output.imitation, lesson, terms.phase)
    if terms.compressed:
        back = torch.einsum("sr,bprd->bpsd", pupil.stretch, output.compressed)
        # The lesson is seen from the same places; the student shall move its map there, and not the places.
        place = pupil.student.spatial
        seen = torch.einsum("pc,bcsd->bpsd", place.weight.detach(), lesson) + place.bias.detach()[:, None, None]
        total = total + terms.compressed * spectral_loss(back, seen, terms.phase)
    return total


def routing_loss(pupil: Pupil, lesson: Any, soft: Any, given: Given) -> Any:
    """What the router learns from: labels, read from the mixed layers by a linear probe, and not to collapse."""
    seen = pupil.probe(lesson.mean(dim=2).flatten(1))
    return label_loss(seen, given.labels) + ENTROPY * entropy_shortfall(soft)


def spectral_loss(imitation: Any, lesson: Any, phase: float) -> Any:
    """Distance of spectra over patches: of magnitudes, and with this weight of phases."""
    found, wanted = spectra(imitation), spectra(lesson)
    loss = magnitude_loss(found, wanted)
    return loss + phase * phase_loss(found, wanted) if phase else loss


def mean_router(pupil: Pupil, lessons: Lessons, device: str) -> np.ndarray:
    """(n_layers,) mean weight of each layer over the windows learned from."""
    found = []
    with torch.no_grad():
        for i in range(0, len(lessons.pool.learned), BATCH_WINDOWS):
            given = Given(lessons, lessons.pool.learned[i : i + BATCH_WINDOWS], device)
            found.append(pupil.router(given.embedding, given.hidden.flatten(2, 3))[0].cpu().numpy())
    return np.concatenate(found).mean(axis=0).astype(np.float32)
