"""Second stage: a student learns to say in every bin what its teacher says, who sees the whole window."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from baselines.pretraining import Objective, Recipe, Training, device_to_train_on
from baselines.realm.encoder import Encoder
from baselines.realm.windows import Batch, Pool
from harness import HarnessError

RECONSTRUCTED_SHARE = 0.3
BATCH_WINDOWS = 16


@dataclass(frozen=True)
class Weights:
    """Of the three terms: alignment with the teacher, reconstruction of the input, behaviour where it is labelled."""

    alignment: float = 1.0
    reconstruction: float = 1.0
    task: float = 0.0


@dataclass(frozen=True)
class Lessons:
    """Windows, and what a frozen teacher says about each.

    taught: (n_windows, n_bins, width) float32, embeddings before the teacher's final normalisation.
    """

    pool: Pool
    taught: np.ndarray


class Student(torch.nn.Module):
    """An encoder with the two heads that its training needs and that are dropped afterwards."""

    def __init__(self, encoder: Encoder, n_outputs: int):
        super().__init__()
        width, n_channels = encoder.shape.width, encoder.shape.n_channels
        self.encoder = encoder
        self.reconstruct = torch.nn.Sequential(
            torch.nn.Linear(width, width), torch.nn.GELU(), torch.nn.Linear(width, n_channels)
        )
        self.answer = torch.nn.Linear(width, n_outputs)


def learn_from_teacher(
    student: Encoder, lessons: Lessons, recipe: Recipe, *, weights: Weights, seed: int, checkpoint: Any
) -> float:
    """Train a student in place.

    Args:
        student: Its tokenizer is the teacher's to begin with.
        lessons: Windows and what the teacher says about them.
        recipe: Length and pace.
        weights: Of the terms of the loss.
        seed: Decides heads, order and what is reconstructed.
        checkpoint: As `harness.Decoder.checkpoint`.

    Returns:
        Loss on what is held out.

    Raises:
        HarnessError: If the task has a weight and no bin is labelled.
    """
    device, pool = device_to_train_on(), lessons.pool
    if weights.task and not any(np.isfinite(s.targets).any() for s in pool.stretches):
        raise HarnessError(
            f"the behaviour was given a weight of {weights.task} in distillation (task), and no bin of the "
            f"{len({s.session for s in pool.stretches})} pretraining sessions is labelled; set "
            f"`pretraining_labels: true` in the suite, or task=0"
        )
    model = Student(student, pool.stretches[0].targets.shape[1]).to(device)

    def loss(numbers: np.ndarray, rng: np.random.Generator) -> Any:
        shown = rng.random((len(numbers), pool.window_bins)) < RECONSTRUCTED_SHARE
        lesson = torch.from_numpy(lessons.taught[numbers]).to(device)
        return distillation_loss(
            model, pool.batch(numbers, device), lesson, torch.from_numpy(shown).to(device), weights
        )

    final = Training(Objective(model, loss, pool.learned, pool.held_out), recipe, seed=seed).run(checkpoint)
    student.cpu()
    return final


def lessons_of(teacher: Encoder, pool: Pool) -> Lessons:
    """Ask the frozen teacher about every window, once for all epochs."""
    device = device_to_train_on()
    teacher.eval().to(device)
    found = []
    with torch.inference_mode():
        for i in range(0, len(pool.windows), BATCH_WINDOWS):
            batch = pool.batch(np.arange(i, min(i + BATCH_WINDOWS, len(pool.windows))), device)
            found.append(teacher.hidden(batch.values, batch.present).cpu().numpy())
    teacher.cpu()
    return Lessons(pool, np.concatenate(found))


def distillation_loss(model: Student, batch: Batch, lesson: Any, shown: Any, weights: Weights) -> Any:
    """The weighted sum of the terms; labels are read only if the task has a weight.

    lesson: (batch, n_bins, width). shown: (batch, n_bins) bool, the bins that are reconstructed.
    """
    hidden = model.encoder.hidden(batch.values, batch.present)
    alignment = 1 - torch.nn.functional.cosine_similarity(hidden, lesson, dim=-1)
    counted = shown[..., None] * batch.present[:, None]
    errors = (model.reconstruct(hidden) - batch.values) ** 2 * counted
    loss = weights.alignment * alignment.mean() + weights.reconstruction * errors.sum() / counted.sum()
    if not weights.task:
        return loss
    labelled = ~batch.targets.isnan()
    mistakes = model.answer(model.encoder.backbone.norm(hidden)) - batch.targets.nan_to_num()
    return loss + weights.task * (mistakes**2 * labelled).sum() / labelled.sum().clamp(min=1)
