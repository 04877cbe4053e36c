"""Training on labels, and the teacher's masked pretraining without them."""

from typing import Any

import numpy as np
import torch

from baselines.dlink.losses import label_loss
from baselines.dlink.student import Student
from baselines.dlink.teacher import Teacher, masked_patches
from baselines.dlink.windows import Pool
from baselines.pretraining import Objective, Recipe, Training, device_to_train_on


class Tuned(torch.nn.Module):
    """A teacher with a head on its last layer."""

    def __init__(self, teacher: Teacher, head: Any):
        super().__init__()
        self.teacher, self.head = teacher, head

    def forward(self, samples: Any) -> Any:
        """(batch, n_samples, n_channels) -> (batch, n_classes)."""
        return self.head(self.teacher(self.teacher.patches(samples)).hidden[-1])


class Answering(torch.nn.Module):
    """A student's scores alone."""

    def __init__(self, student: Student):
        super().__init__()
        self.student = student

    def forward(self, samples: Any) -> Any:
        """(batch, n_samples, n_channels) -> (batch, n_classes)."""
        return self.student(samples).scores


def learn_labels(model: Any, pool: Pool, recipe: Recipe, *, seed: int, checkpoint: Any) -> float:
    """Train a model that gives scores, in place; returns the loss on what is held out."""
    device = device_to_train_on()
    model.to(device)

    def loss(numbers: np.ndarray, rng: np.random.Generator) -> Any:
        return label_loss(model(pool.values(numbers, device)), pool.classes(numbers, device))

    final = Training(Objective(model, loss, pool.learned, pool.held_out), recipe, seed=seed).run(checkpoint)
    model.cpu()
    return final


def learn_by_masking(teacher: Teacher, pool: Pool, recipe: Recipe, *, seed: int, checkpoint: Any) -> float:
    """Half of all patches are hidden, and the teacher fills them in; in place. Returns the held-out loss."""
    device = device_to_train_on()
    teacher.to(device)

    def loss(numbers: np.ndarray, rng: np.random.Generator) -> Any:
        with torch.no_grad():  # what is filled in must not be made easier
            patches = teacher.patches(pool.values(numbers, device))
        mask = torch.from_numpy(masked_patches(tuple(patches.shape[:3]), rng)).to(device)
        return masking_loss(teacher, patches, mask)

    final = Training(Objective(teacher, loss, pool.learned, pool.held_out), recipe, seed=seed).run(checkpoint)
    teacher.cpu()
    return final


def masking_loss(teacher: Teacher, patches: Any, mask: Any) -> Any:
    """Mean squared error of the samples of hidden patches, (100 uV)^2."""
    rebuilt = teacher.rebuild(teacher(patches, mask).hidden[-1])
    return ((rebuilt - patches) ** 2)[mask].mean()
